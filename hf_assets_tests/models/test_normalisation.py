"""One rule normalises every autoencoder, and a row of the table says where a family departs from it."""

import json

import diffusers
import pytest
import torch

from hf_assets.errors import ModelError
from hf_assets.models import families, normalisation
from hf_assets.models.components import vae_fingerprint
from hf_assets.models.families import Latents
from hf_assets.models.inputs import spatial_multiple
from hf_assets.models.normalisation import LatentSettings, Rule
from hf_assets_tests.models.conftest import resolved


class Config:
    def __init__(self, **values):
        vars(self).update(values)


class Autoencoder(torch.nn.Module):
    """Only what the rule reads: a configuration, and buffers or statistics."""

    def __init__(self, bn=None, buffers=None, **config):
        super().__init__()
        self.config = Config(**config)
        if bn is not None:
            self.bn = bn
        for name, value in (buffers or {}).items():
            self.register_buffer(name, torch.tensor(value))


@pytest.mark.parametrize(
    ("vae", "expected"),
    [
        (Autoencoder(), [3.0, 5.0]),
        (Autoencoder(scaling_factor=2.0), [6.0, 10.0]),
        (Autoencoder(scaling_factor=2.0, shift_factor=1.0), [4.0, 8.0]),
        (Autoencoder(latents_mean=[1.0, 1.0], latents_std=[2.0, 4.0]), [1.0, 1.0]),  # Wan, Qwen-Image
        (Autoencoder(latents_mean=[1.0, 1.0], latents_std=[2.0, 4.0], scaling_factor=3.0), [3.0, 3.0]),  # Mochi
        (Autoencoder(buffers={"latents_mean": [1.0, 3.0], "latents_std": [2.0, 2.0]}, scaling_factor=1.0), [1.0, 1.0]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("axes", [(1, 1), (1, 1, 1)])
def test_one_rule_normalises_every_autoencoder(vae, expected, axes):
    z = torch.tensor([3.0, 5.0]).view(1, 2, *axes)
    normalised = normalisation.normalise(vae, z)
    assert normalised.flatten().tolist() == expected
    torch.testing.assert_close(normalisation.denormalise(vae, normalised), z)


class AutoencoderRAE(Autoencoder):
    """By its name only: its `encode` normalises."""


def batch_norm(mean, variance):
    bn = torch.nn.BatchNorm2d(len(mean))
    bn.running_mean, bn.running_var = torch.tensor(mean), torch.tensor(variance)
    return bn


FLUX_2 = Autoencoder(bn=batch_norm([0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 4.0]), batch_norm_eps=0.0)
SCALED = Autoencoder(scaling_factor=2.0, shift_factor=1.0)
STANDARDISED = Autoencoder(latents_mean=[1.0, 1.0], latents_std=[2.0, 4.0], scaling_factor=3.0)
PER_FRAME = Autoencoder(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[1.0, 2.0, 1.0, 2.0])
RULES = [Latents(), Latents(ignores_shift=True), Latents(factor=0.5), Latents(ignores_factor=True)]


@pytest.mark.parametrize(
    ("vae", "rule", "expected"),
    [
        (SCALED, Rule(Latents(ignores_shift=True)), [6.0, 10.0]),  # Kandinsky 5
        (SCALED, Rule(Latents(factor=0.5)), [1.0, 2.0]),  # the upscaler of Stable Diffusion
        (SCALED, Rule(multiplier=0.5), [2.0, 4.0]),  # Sana Sprint
        (STANDARDISED, Rule(), [3.0, 3.0]),  # Mochi
        (STANDARDISED, Rule(Latents(ignores_factor=True)), [1.0, 1.0]),  # GLM-Image
        (STANDARDISED, Rule(multiplier=0.5), [1.5, 1.5]),  # Cosmos 1
        (AutoencoderRAE(scaling_factor=2.0, latents_mean=[1.0, 1.0], latents_std=[2.0, 2.0]), Rule(), [3.0, 5.0]),
    ],
)  # fmt: skip
def test_a_family_departs_from_the_rule_as_its_row_says(vae, rule, expected):
    z = torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    assert normalisation.normalise(vae, z, rule).flatten().tolist() == expected


def test_cosmos_has_numbers_for_each_channel_and_latent_frame():
    """`pipeline_cosmos_text2world.py`: view(1, channels, -1, 1, 1), and as many frames as there are."""
    normalised = normalisation.normalise(PER_FRAME, torch.full((1, 2, 1, 1, 1), 5.0))
    assert normalised.flatten().tolist() == [4.0, 2.0]


def test_batch_norm_statistics_apply_to_patches_of_two_by_two():
    z = torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]])  # one channel; its cells become channels row by row
    normalised = normalisation.normalise(FLUX_2, z)
    assert normalised.flatten().tolist() == [0.0, 0.0, 0.0, 1.0]
    assert normalised.shape == (1, 4, 1, 1)


def test_ernie_has_another_epsilon_than_its_configuration():
    vae = Autoencoder(bn=batch_norm([0.0] * 4, [3.0] * 4), batch_norm_eps=6.0)
    assert normalisation.normalise(vae, torch.ones(1, 1, 2, 2), Rule(Latents(batch_norm_eps=1.0)))[0, 0].item() == 0.5


def test_ideogram_orders_the_channels_of_a_patch_by_place():
    """Against its decoding: `z.view(b, h, w, patch, patch, channels).permute(0, 5, 1, 3, 2, 4)`."""
    z = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    patches = normalisation.patchify(z, patch_first=True)
    tokens = patches.permute(0, 2, 3, 1)
    assert torch.equal(tokens.reshape(2, 2, 3, 2, 2, 3).permute(0, 5, 1, 3, 2, 4).reshape(z.shape), z)
    assert not torch.equal(patches, normalisation.patchify(z))


def test_bria_takes_the_patches_apart_again():
    """Against `BriaFibo2Pipeline.prepare_image_latents`."""
    z = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    normalised = normalisation.normalise(FLUX_2, z, Rule(Latents(undoes_patches=True)))
    theirs = diffusers.BriaFibo2Pipeline._unpatchify_latents(normalisation.normalise(FLUX_2, z))
    assert torch.equal(normalised, theirs)


@pytest.mark.parametrize("multiplier", [1.0, 0.5])
@pytest.mark.parametrize(
    ("vae", "shape", "row"),
    [
        *[(SCALED, (2, 2, *axes), row) for axes in [(3,), (2, 2), (2, 2, 2)] for row in RULES],
        *[(STANDARDISED, (2, 2, *axes), row) for axes in [(2, 2), (2, 2, 2)] for row in RULES],
        *[(FLUX_2, (2, 1, 4, 4), Latents(patch_first=first, undoes_patches=undoes))
          for first in (False, True) for undoes in (False, True)],
        (PER_FRAME, (1, 2, 2, 2, 2), Latents()),
    ],
)  # fmt: skip
def test_normalising_can_be_undone_and_a_draw_normalised_in_parts(vae, shape, row, multiplier):
    generator, rule = torch.Generator().manual_seed(0), Rule(row, multiplier)
    mean, deviation = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)
    normalised = normalisation.normalise(vae, mean, rule)
    torch.testing.assert_close(normalisation.denormalise(vae, normalised, rule), mean)
    drawn = normalised + normalisation.normalise_deviation(vae, deviation, rule)
    torch.testing.assert_close(drawn, normalisation.normalise(vae, mean + deviation, rule))


# The table's rows, by the pipelines' names


def as_class(folder, name, **files):
    """The folder's pipeline under another class name, with other contents of some configurations."""
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))
    for file, content in files.items():
        (folder / file).mkdir(exist_ok=True)
        (folder / file / f"{file}_config.json").write_text(json.dumps(content))
    return resolved(folder)


@pytest.mark.parametrize(("config", "sigma"), [({"sigma_data": 0.25}, 0.25), ({}, 0.5)])
def test_sigma_data_is_that_of_the_scheduler(copied, config, sigma):
    folder = copied("sana")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "SCMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    pipeline = as_class(folder, "SanaSprintPipeline", scheduler=config)
    assert normalisation.rule_of(pipeline).multiplier == sigma
    assert vae_fingerprint(pipeline) != vae_fingerprint(as_class(folder, "SanaPipeline"))


def test_a_scheduler_without_sigma_data_is_said_in_one_line(copied):
    with pytest.raises(ModelError, match=r"its FlowMatchEulerDiscreteScheduler has no sigma_data.*: give it"):
        normalisation.rule_of(as_class(copied("sana"), "SanaSprintPipeline"))


def test_kandinsky_3_reads_pictures_as_it_makes_them(copied):
    """`pipeline_kandinsky3_img2img.py` takes the encoder's latents as they are, by the same denoiser."""
    folder = copied("kandinsky3")
    made = resolved(folder)
    rule, multiple = normalisation.rule_of(made), spatial_multiple(made)
    read = as_class(folder, "Kandinsky3Img2ImgPipeline")
    assert (normalisation.rule_of(read), spatial_multiple(read)) == (rule, multiple)
    assert rule.family.ignores_factor


def test_every_exception_is_one_of_a_pipeline_that_diffusers_has():
    departing = [name for name, family in families.FAMILIES.items() if family.latents != Latents()]
    assert len(departing) >= 10
    assert all(hasattr(diffusers, name) for name in departing)
    assert all(hasattr(diffusers, name) for name in families.AUTOENCODERS)


def test_only_a_pipeline_without_a_row_is_spoken_of():
    assert families.unlisted("StableDiffusionPipeline") is None
    assert families.unlisted("AltDiffusionPipeline") == (
        "AltDiffusionPipeline is not in the table of families: its latents follow the general rule (docs/latents.md)"
    )


def test_the_fingerprint_knows_what_is_stored(built):
    pipeline = resolved(built("sd15"))
    settings = [LatentSettings(kind=kind, tiling=tiling) for kind in ("mode", "moments", "sample") for tiling in (0, 1)]
    assert len({vae_fingerprint(pipeline, each) for each in settings}) == 6
    assert vae_fingerprint(pipeline) == vae_fingerprint(pipeline, LatentSettings())

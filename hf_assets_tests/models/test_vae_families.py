"""Each family's VAE side against the pipeline's own way, from the Hub through the store."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import diffusers
import pytest
import torch

from hf_assets.errors import ModelError
from hf_assets.models import model_loading
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.models.vae import load_vae
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.models.conftest import resolved
from hf_assets_tests.store.samples import HEADER, column

Formula = Callable[[Any, torch.Tensor], torch.Tensor]


def plain(vae, z):
    """Stable Audio, ACE-Step."""
    return z


def plain_picture(vae, z):
    """`train_text_to_image_decoder.py` of Kandinsky 2.2, and the decoding in `pipeline_kandinsky3.py`."""
    return z


def scaled(vae, z):
    """`pipeline_stable_diffusion.py` and most others, from their decoding."""
    return z * vae.config.scaling_factor


def shifted(vae, z):
    """`pipeline_flux.py`."""
    return (z - vae.config.shift_factor) * vae.config.scaling_factor


def patched(vae, z):
    """`pipeline_flux2.py`."""
    z = diffusers.Flux2Pipeline._patchify_latents(z)
    mean, deviation = (each.view(1, -1, 1, 1) for each in (vae.bn.running_mean, vae.bn.running_var))
    return (z - mean) / torch.sqrt(deviation + vae.config.batch_norm_eps)


def standardised(vae, z):
    """`pipeline_wan.py`, `pipeline_mochi.py`."""
    config = vae.config
    mean, deviation = (torch.tensor(each).view(1, -1, 1, 1, 1) for each in (config.latents_mean, config.latents_std))
    return (z - mean) / deviation


def one_frame(vae, z):
    """`pipeline_qwenimage.py`: as Wan, and then without the frame axis."""
    return standardised(vae, z)[:, :, 0]


def standardised_by_buffers(vae, z):
    """`pipeline_ltx.py`."""
    return diffusers.LTXPipeline._normalize_latents(z, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)


class Expected(NamedTuple):
    """Sides are 2 and 3 times the multiple; videos have 1 + 2 strides of frames, audio 3 steps.

    Attributes:
        shape: of the latents of one sample.
        multiple: what sides must be multiples of, the frames' stride, or the samples of audio per step.
    """

    formula: Formula
    shape: tuple[int, ...]
    multiple: int
    stride: int = 1


FAMILIES = {
    "acestep": Expected(plain, (8, 3), 1920),
    "auraflow": Expected(scaled, (4, 4, 6), 16),
    "chroma": Expected(shifted, (16, 4, 6), 16),
    "cogvideox": Expected(scaled, (4, 3, 4, 6), 16, 4),
    "cogview4": Expected(scaled, (16, 4, 6), 16),
    "flux": Expected(shifted, (16, 4, 6), 16),
    "flux2": Expected(patched, (128, 2, 3), 16),
    "flux2_klein": Expected(patched, (128, 2, 3), 16),
    "hidream": Expected(shifted, (16, 4, 6), 16),
    "hunyuandit": Expected(scaled, (4, 2, 3), 8),  # its tiny transformer's configuration gives no patch
    "hunyuanimage": Expected(scaled, (8, 2, 3), 32),
    "hunyuanvideo": Expected(scaled, (4, 3, 4, 6), 16, 4),
    "hunyuanvideo15": Expected(scaled, (8, 3, 2, 3), 16, 4),
    "kandinsky3": Expected(plain_picture, (4, 16, 24), 64),
    "kolors": Expected(scaled, (4, 2, 3), 8),
    "krea2": Expected(one_frame, (16, 4, 6), 16),
    "ltx": Expected(standardised_by_buffers, (8, 3, 2, 3), 32, 8),
    "ltx2": Expected(standardised_by_buffers, (8, 3, 2, 3), 32, 8),
    "lumina2": Expected(shifted, (16, 4, 6), 16),
    "mochi": Expected(standardised, (12, 3, 4, 6), 16, 6),
    "ovis": Expected(shifted, (16, 4, 6), 16),
    "pixart": Expected(scaled, (4, 4, 6), 16),
    "qwenimage": Expected(one_frame, (16, 4, 6), 16),
    "sana": Expected(scaled, (4, 2, 3), 32),
    "sd15": Expected(scaled, (4, 2, 3), 8),
    "sd3": Expected(shifted, (16, 4, 6), 16),
    "sdxl": Expected(scaled, (4, 2, 3), 8),
    "stableaudio": Expected(plain, (8, 3), 1920),
    "wan": Expected(standardised, (16, 3, 4, 6), 16, 4),
    "zimage": Expected(shifted, (16, 4, 6), 16),
}
# One for each class of autoencoder and rule.
WITH_DISTRIBUTION = ["cogvideox", "flux", "flux2", "hunyuanimage", "hunyuanvideo", "hunyuanvideo15", "ltx", "ltx2",
                     "mochi", "qwenimage", "sdxl", "stableaudio", "wan"]  # fmt: skip


def media(expected: Expected) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    if expected.formula is plain:
        return torch.rand(1, 2, 3 * expected.multiple, generator=generator) * 2 - 1
    frames = (1 + 2 * expected.stride,) if len(expected.shape) == 4 else ()
    sides = (2 * expected.multiple, 3 * expected.multiple)
    return torch.randint(0, 256, (1, 3, *frames, *sides), dtype=torch.uint8, generator=generator)


def as_read(pixels: torch.Tensor) -> torch.Tensor:
    """-1 to 1, as `VaeImageProcessor.normalize` makes it."""
    return pixels if pixels.is_floating_point() else pixels / 255 * 2 - 1


def own_vae(folder):
    """Loaded as the pipeline itself loads it."""
    index = diffusers.DiffusionPipeline.load_config(folder)
    with model_loading.quiet():
        name = "movq" if "movq" in index else "vae"
        return getattr(diffusers, index[name][1]).from_pretrained(folder, subfolder=name).eval()


def posterior(vae, pixels):
    read = as_read(pixels)
    reads_frames = read.ndim == 4 and any(isinstance(layer, torch.nn.Conv3d) for layer in vae.modules())
    return vae.encode(read.unsqueeze(2) if reads_frames else read)


def test_every_tiny_family_is_here():
    assert FAMILIES.keys() == tiny_pipelines.FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_latents_come_from_the_hub_through_the_store_as_the_pipeline_makes_them(built, hub, tmp_path, family):
    expected, folder, repository = FAMILIES[family], built(family), f"vae/{family}"
    pixels = media(expected)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hub.commit(repository, files, repo_type="model")
    pipeline = resolve_pipeline(PipelineSource(repository=repository))
    with load_vae(pipeline, "cpu", torch.float32) as vae:
        latents = vae.encode(pixels)
        decoded = vae.decode(latents)
        reads = vae.reads
    store = TensorStore(tmp_path)
    store.write([Sample("key", {"latents": latents[0]})], HEADER)
    stored = TensorReader(tmp_path, column(["key"]))[0]["latents"]

    own = own_vae(folder)
    with torch.inference_mode():
        output = posterior(own, pixels)
        if isinstance(own, diffusers.VQModel):
            z = output.latents
            by_hand = own.decode(z, force_not_quantize=True).sample
        else:
            z = output.latent_dist.mode() if hasattr(output, "latent_dist") else output.latent
            by_hand = own.decode(z).sample
    torch.testing.assert_close(stored, expected.formula(own, z)[0], rtol=0, atol=1e-5)
    assert stored.shape == expected.shape
    if expected.formula is plain:
        assert (reads.makes, reads.hop_samples, reads.num_channels) == ("audio", expected.multiple, 2)
        torch.testing.assert_close(decoded, by_hand.clamp(-1, 1), rtol=0, atol=1e-4)
    else:
        assert reads.makes == ("video" if len(expected.shape) == 4 else "image")
        assert reads.spatial_multiple == expected.multiple
        assert reads.temporal_stride == expected.stride or reads.makes == "image"
        levels = ((by_hand + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).view(pixels.shape)
        torch.testing.assert_close(decoded, levels, rtol=0, atol=1)

    weights = {file for file in hub.files_sent(repository) if file.endswith(".safetensors")}
    name = "movq" if family == "kandinsky3" else "vae"
    assert weights == {f"{name}/diffusion_pytorch_model.safetensors"}


@pytest.mark.parametrize("family", WITH_DISTRIBUTION)
def test_moments_and_draws_are_those_of_the_autoencoders_distribution(built, family):
    expected, folder = FAMILIES[family], built(family)
    pixels = media(expected)
    pair = torch.cat([pixels.flip(-1), pixels])  # one sample's draw is the same in any batch
    with load_vae(resolved(folder), "cpu", torch.float32, LatentSettings(kind="moments")) as vae:
        mean, deviation = (tensor[1] for tensor in vae.encode_each(pair, [1, 2]).values())
        vae.settings = LatentSettings(kind="sample")
        drawn = vae.encode_each(pair, [1, 2])["latents"][1]
    own = own_vae(folder)
    with torch.inference_mode():
        distribution = posterior(own, pixels).latent_dist

    def of_one(z):
        return expected.formula(own, z)[0]

    close = {"rtol": 0, "atol": 1e-4}
    torch.testing.assert_close(drawn, of_one(distribution.sample(torch.Generator().manual_seed(2))), **close)
    torch.testing.assert_close(mean, of_one(distribution.mean), **close)
    nothing = torch.zeros_like(distribution.mean)
    torch.testing.assert_close(deviation, of_one(nothing + distribution.std) - of_one(nothing), **close)


@pytest.mark.parametrize("kind", ["moments", "sample"])
def test_an_autoencoder_without_a_distribution_gives_its_latents_only(built, kind):
    with pytest.raises(ModelError, match=f'AutoencoderDC gives no distribution, .* "mode", not "{kind}"'):
        load_vae(resolved(built("sana")), "cpu", torch.float32, LatentSettings(kind=kind))


# family -> module and class of the modular block, its input, its output, and whether it draws
BLOCKS = {
    "flux": ("flux", "FluxVaeEncoderStep", "processed_image", "image_latents", True),
    "flux2": ("flux2", "Flux2VaeEncoderStep", "condition_images", "image_latents", False),
    "flux2_klein": ("flux2", "Flux2VaeEncoderStep", "condition_images", "image_latents", False),
    "ltx": ("ltx", "LTXVaeEncoderStep", "image", "image_latents", True),
    "qwenimage": ("qwenimage", "QwenImageVaeEncoderStep", "processed_image", "image_latents", False),
    "sd3": ("stable_diffusion_3", "StableDiffusion3VaeEncoderStep", "processed_image", "image_latents", True),
    "sdxl": ("stable_diffusion_xl", "StableDiffusionXLVaeEncoderStep", "image", "image_latents", True),
    "wan": ("wan", "WanVaeEncoderStep", "resized_image", "first_frame_latents", False),
    "zimage": ("z_image", "ZImageVaeImageEncoderStep", "image", "image_latents", True),
}


@pytest.mark.parametrize("family", BLOCKS)
def test_latents_are_those_of_modular_diffusers(built, family):
    module, name, takes, gives, draws = BLOCKS[family]
    block = getattr(importlib.import_module(f"diffusers.modular_pipelines.{module}.encoders"), name)()
    pixels = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    read = as_read(pixels)
    with model_loading.quiet():
        modular = block.init_pipeline(str(built(family)))
        modular.load_components(names=["vae"], torch_dtype=torch.float32)
        given = {takes: [read] if takes == "condition_images" else read, "height": 64, "width": 96, "num_frames": 1}
        wanted = {each.name for each in block.inputs}
        given = {name: value for name, value in given.items() if name in wanted}
        state = modular(**given, generator=torch.Generator().manual_seed(5))
    theirs = state.get(gives)
    theirs = theirs[0] if isinstance(theirs, list) else theirs
    settings = LatentSettings(kind="sample" if draws else "mode")
    with load_vae(resolved(built(family)), "cpu", torch.float32, settings) as vae:
        ours = vae.encode_each(pixels, [5])["latents"]
    torch.testing.assert_close(ours, theirs.view(ours.shape), rtol=0, atol=1e-5)

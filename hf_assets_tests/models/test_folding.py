"""Pictures through autoencoders for videos, in 2-D: the same values with fewer operations."""

import copy

import diffusers
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hf_assets.models import folding
from hf_assets.models.vae import load_vae
from hf_assets_tests.models.conftest import resolved
from hf_assets_tests.tiny_pipelines import autoencoders

# Their real architectures, with a twelfth of the channels.
REAL = {
    "qwen-image": lambda: diffusers.AutoencoderKLQwenImage(base_dim=8),
    "wan 2.1": lambda: diffusers.AutoencoderKLWan(base_dim=8),
    "wan 2.2": lambda: diffusers.AutoencoderKLWan(
        base_dim=8, decoder_base_dim=8, z_dim=16, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        latents_mean=[0.0] * 16, latents_std=[1.0] * 16, scale_factor_spatial=16,
    ),
}  # fmt: skip


def made(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return REAL[name]().eval()


def encoded(vae, frames=1):
    media = torch.rand(2, 3, frames, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        return vae.encode(media).latent_dist.mode()


@pytest.mark.parametrize("name", REAL)
def test_a_picture_gets_the_same_latents_and_is_decoded_alike(name):
    plain = made(name)
    folded = copy.deepcopy(plain)
    num_layers = sum(isinstance(layer, torch.nn.Conv3d) for layer in plain.modules())
    assert folding.fold(folded) == num_layers - 2  # two halve the frames, and see no frame that comes alone
    assert folding.fold(folded) == 0  # once
    z = encoded(plain)
    torch.testing.assert_close(encoded(folded), z, rtol=0, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(folded.decode(z).sample, plain.decode(z).sample, rtol=0, atol=1e-5)


def test_clips_whose_first_frame_comes_alone_get_the_same_latents():
    plain = made("wan 2.1")
    folded = copy.deepcopy(plain)
    folding.fold(folded)
    torch.testing.assert_close(encoded(folded, 9), encoded(plain, 9), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [diffusers.AutoencoderKLQwenImage, diffusers.AutoencoderKLWan])
def test_a_picture_takes_a_third_of_the_operations(kind):
    """Of the encoders as they are, without memory for their weights."""
    counts = []
    for folded in (False, True):
        with torch.device("meta"):
            vae = kind().eval()
            media = torch.empty(1, 3, 1, 256, 256)
        if folded:
            folding.fold(vae)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            vae.encode(media)
        counts.append(counter.get_total_flops())
    assert counts[0] / counts[1] == pytest.approx(2.86, abs=0.03)


@pytest.mark.parametrize("build", [autoencoders.ltx, autoencoders.kl_flux], ids=["ltx", "flux"])
def test_what_does_not_fit_stays_as_it_is(build):
    """LTX repeats the first frame where Wan puts zeros."""
    assert folding.fold(build()) == 0


class Reaches(torch.nn.Conv3d):
    """As Wan's, but for one thing at a time."""

    def __init__(self, padding=(1, 1, 1, 1, 2, 0), **settings):
        super().__init__(2, 2, 3, **settings)
        self._padding = padding

    def forward(self, x, cache_x=None):
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "fits"),
    [
        (Reaches(), True),
        (Reaches(stride=(2, 1, 1)), True),  # one frame is one step
        (Reaches(padding=(1, 1, 1, 1, 1, 1)), False),  # not causal
        (Reaches(padding=(0, 1, 1, 1, 2, 0)), False),  # other edges
        (Reaches(dilation=(2, 1, 1)), False),
        (Reaches(padding_mode="replicate"), False),
        (torch.nn.Conv3d(2, 2, 3), False),
    ],
)
def test_a_layer_fits_only_with_zeros_before_the_first_frame(layer, fits):
    assert folding.fold(layer) == int(fits)


def test_the_vae_of_a_pipeline_is_folded(built):
    with load_vae(resolved(built("qwenimage")), "cpu", torch.float32) as vae:
        assert folding.fold(vae.model) == 0
        assert any(isinstance(layer.forward, folding._Folded) for layer in vae.model.modules())

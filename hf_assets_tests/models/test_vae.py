import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline

from hf_assets.models.inputs import spatial_multiple
from hf_assets.models.vae import load_vae
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.models.conftest import resolved

FAMILIES = sorted(tiny_pipelines.COMPLETE)

# (shift, scale) of `latents = (mean - shift) * scale`, and what sides must be multiples of.
RULES = {
    "flux": ((0.1159, 0.3611), 16),  # latents are packed 2 x 2
    "sd15": ((0.0, 0.18215), 8),
    "sd3": ((0.0609, 1.5305), 16),  # the transformer's patch is 2
    "sdxl": ((0.0, 0.13025), 8),
}


def pixels(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_latents_are_the_scaled_mean_of_the_posterior(built, family):
    images = pixels(2, 3, 64, 48)
    with load_vae(resolved(built(family)), "cpu", torch.float32) as vae:
        encoded = vae.encode(images)
    whole = DiffusionPipeline.from_pretrained(built(family)).vae
    shift, scale = RULES[family][0]
    with torch.inference_mode():
        expected = (whole.encode(images / 127.5 - 1).latent_dist.mean - shift) * scale
    assert encoded.shape == (2, whole.config.latent_channels, 8, 6)
    torch.testing.assert_close(encoded, expected, rtol=0, atol=1e-5)


def test_encoding_twice_gives_the_same_bits(built):
    with load_vae(resolved(built("sdxl")), "cpu", torch.float32) as vae:
        once = vae.encode(pixels(2, 3, 64, 64))
    with load_vae(resolved(built("sdxl")), "cpu", torch.float32) as vae:
        assert torch.equal(once, vae.encode(pixels(2, 3, 64, 64)))


def test_black_is_minus_one_and_white_is_one(built):
    seen = []
    with load_vae(resolved(built("sd15")), "cpu", torch.float32) as vae:
        vae._model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].unique().tolist()))
        vae.encode(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
        vae.encode(torch.full((1, 3, 16, 16), 255, dtype=torch.uint8))
    assert seen == [[-1.0], [1.0]]


def test_half_precision_can_be_retried_in_float32(built):
    with load_vae(resolved(built("sdxl")), "cpu", torch.float32) as vae:
        exact = vae.encode(pixels(1, 3, 64, 64))
    with load_vae(resolved(built("sdxl")), "cpu", torch.bfloat16) as vae:
        half, retried = (
            vae.encode(pixels(1, 3, 64, 64)),
            vae.encode_each(pixels(1, 3, 64, 64), [0], in_float32=True)["latents"],
        )
        again = vae.encode(pixels(1, 3, 64, 64))
    assert half.dtype == retried.dtype == torch.bfloat16
    assert torch.equal(half, again)  # the retry left the VAE as it was
    assert (retried.float() - exact).abs().mean() < (half.float() - exact).abs().mean()


@pytest.mark.parametrize("family", FAMILIES)
def test_spatial_multiple_needs_no_weights(copied, family):
    folder = copied(family)
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes(b"")
    assert spatial_multiple(resolved(folder)) == RULES[family][1]


def test_decoding_undoes_the_scaling(built):
    """Random weights give no picture back, so this compares with the decoder fed by hand."""
    with load_vae(resolved(built("flux")), "cpu", torch.float32) as vae:
        encoded = vae.encode(pixels(2, 3, 32, 48))
        decoded = vae.decode(encoded)
    whole = AutoencoderKL.from_pretrained(built("flux"), subfolder="vae")
    with torch.inference_mode():
        by_hand = whole.decode(encoded / 0.3611 + 0.1159).sample
    assert decoded.shape == (2, 3, 32, 48)
    assert decoded.dtype == torch.uint8
    torch.testing.assert_close(decoded, ((by_hand + 1) * 127.5).round().clamp(0, 255).to(torch.uint8), rtol=0, atol=1)

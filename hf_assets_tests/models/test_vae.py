import json

import diffusers
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline

from hf_assets.errors import ModelError
from hf_assets.models.inputs import spatial_multiple
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline
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
        vae.model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].unique().tolist()))
        vae.encode(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
        vae.encode(torch.full((1, 3, 16, 16), 255, dtype=torch.uint8))
    assert seen == [[-1.0], [1.0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["sdxl", "wan", "stableaudio"])
def test_half_precision_can_be_retried_in_float32(built, family, dtype):
    media = pixels(1, 3, 32, 32) if family != "stableaudio" else torch.rand(1, 2, 3840)
    with load_vae(resolved(built(family)), "cpu", torch.float32) as vae:
        exact = vae.encode(media)
    with load_vae(resolved(built(family)), "cpu", dtype) as vae:
        half = vae.encode(media)
        retried = vae.encode(media, in_float32=True)
        again = vae.encode(media)
    assert half.dtype == retried.dtype == dtype
    assert torch.equal(half, again)  # the retry left the VAE as it was
    assert torch.equal(retried, exact.to(dtype))
    assert not torch.equal(half, retried)


def test_tiles_change_large_media_only_where_they_are_wanted(built):
    large = pixels(1, 3, 96, 96)
    made = {}
    for tiling in (False, True):
        with load_vae(resolved(built("sdxl")), "cpu", torch.float32, LatentSettings(tiling=tiling)) as vae:
            made[tiling] = vae.encode(large), vae.encode(large[..., :64, :64])
    assert made[True][0].shape == made[False][0].shape
    assert not torch.equal(made[True][0], made[False][0])
    assert torch.equal(made[True][1], made[False][1])  # one tile


def test_an_autoencoder_that_knows_no_tiles_says_so(built, tmp_path):
    diffusers.VQModel(norm_num_groups=4, block_out_channels=(8,)).save_pretrained(tmp_path / "vq")
    source = PipelineSource(repository=str(built("sd15")), vae=ComponentSource(repository=str(tmp_path / "vq")))
    with pytest.raises(ModelError, match="can't encode in tiles: set vae_tiling to false"):
        load_vae(resolve_pipeline(source), "cpu", torch.float32, LatentSettings(tiling=True))


def test_pictures_of_a_video_are_encoded_one_by_one(copied):
    """AnimateDiff: an autoencoder for images in a pipeline that makes videos."""
    folder = copied("sd15")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "AnimateDiffPipeline"}))
    video = pixels(2, 3, 11, 16, 24)
    with load_vae(resolved(folder), "cpu", torch.float32, LatentSettings(kind="sample")) as vae:
        encoded, drawn = vae.encode(video), vae.encode_each(video, [1, 2])["latents"]
        decoded, picture = vae.decode(encoded), vae.encode(video[:, :, 4])
        alone = vae.encode_each(video[1:], [2])["latents"]
    assert encoded.shape == drawn.shape == (2, 4, 11, 2, 3)
    assert decoded.shape == video.shape
    torch.testing.assert_close(picture, encoded[:, :, 4:5], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, drawn[1:], rtol=0, atol=1e-5)


def test_a_picture_is_one_frame_to_a_pipeline_that_makes_videos(built):
    with load_vae(resolved(built("wan")), "cpu", torch.float32) as vae:
        picture = pixels(1, 3, 32, 32)
        assert torch.equal(vae.encode(picture), vae.encode(picture[:, :, None]))
        assert vae.encode(picture).shape == (1, 16, 1, 4, 4)


@pytest.mark.parametrize(
    ("family", "shape", "message"),
    [
        ("wan", (1, 3, 4, 32, 32), "4 frames are not 1 . k x 4"),
        ("qwenimage", (1, 3, 5, 32, 32), "makes images, not videos"),
        ("sd15", (1, 4, 32, 32), "pixels are not RGB"),
    ],
)
def test_what_does_not_fit_is_never_encoded(built, family, shape, message):
    with load_vae(resolved(built(family)), "cpu", torch.float32) as vae, pytest.raises(AssertionError, match=message):
        vae.encode(pixels(*shape))


@pytest.mark.parametrize("family", FAMILIES)
def test_spatial_multiple_needs_no_weights(copied, family):
    folder = copied(family)
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes(b"")
    assert spatial_multiple(resolved(folder)) == RULES[family][1]


def test_decoding_undoes_the_scaling(built):
    """Random weights give no image back, so this compares with the decoder fed by hand."""
    with load_vae(resolved(built("flux")), "cpu", torch.float32) as vae:
        encoded = vae.encode(pixels(2, 3, 32, 48))
        decoded = vae.decode(encoded)
    whole = AutoencoderKL.from_pretrained(built("flux"), subfolder="vae")
    with torch.inference_mode():
        by_hand = whole.decode(encoded / 0.3611 + 0.1159).sample
    assert decoded.shape == (2, 3, 32, 48)
    assert decoded.dtype == torch.uint8
    torch.testing.assert_close(decoded, ((by_hand + 1) * 127.5).round().clamp(0, 255).to(torch.uint8), rtol=0, atol=1)

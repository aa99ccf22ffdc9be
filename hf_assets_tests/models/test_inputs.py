"""What can be given to a pipeline's VAE is measured without its weights."""

import inspect
import json
import warnings

import diffusers
import pytest

from hf_assets.errors import ModelError
from hf_assets.models import families
from hf_assets.models.inputs import VaeInput, input_of, spatial_multiple
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline
from hf_assets_tests.models.conftest import resolved

HUNYUAN_IMAGE = {"in_channels": 3, "out_channels": 3, "latent_channels": 64, "block_out_channels": [128] * 6,
                 "layers_per_block": 2, "spatial_compression_ratio": 32, "sample_size": 384}  # fmt: skip
EIGHT_PX = {"block_out_channels": [32] * 4, "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4}  # fmt: skip

# autoencoder class -> its configuration, where the default one doesn't do; pixels a cell and frames a latent frame
PICTURES = {
    "AutoencoderDC": ({}, 32, 1),
    "AutoencoderKL": (EIGHT_PX, 8, 1),
    "AutoencoderKLCogVideoX": ({}, 8, 4),
    "AutoencoderKLCosmos": ({}, 8, 8),
    "AutoencoderKLFlux2": ({}, 16, 1),  # its patches of 2 x 2 cells are cells of the latents
    "AutoencoderKLHunyuanImage": (HUNYUAN_IMAGE, 32, 1),
    "AutoencoderKLHunyuanVideo": ({}, 8, 4),
    "AutoencoderKLHunyuanVideo15": ({}, 16, 4),
    "AutoencoderKLKVAE": ({}, 8, 1),
    "AutoencoderKLKVAEVideo": ({}, 8, 4),
    "AutoencoderKLLTX2Video": ({}, 32, 8),
    "AutoencoderKLLTXVideo": ({}, 32, 8),
    "AutoencoderKLMagvit": ({}, 8, 4),
    "AutoencoderKLMiniMaxH3": ({}, 32, 4),  # 16, but this pipeline's processor counts its six blocks
    "AutoencoderKLMochi": ({}, 8, 6),
    "AutoencoderKLQwenImage": ({}, 8, 4),
    "AutoencoderKLQwenImage21": ({}, 16, 1),  # one frame only, with an alpha channel
    "AutoencoderKLWan": ({}, 8, 4),
    "AutoencoderRAE": ({}, 16, 1),
    "AutoencoderTiny": ({}, 8, 1),
    "Kandinsky6SRVAE": ({}, 16, 4),
}
# -> sample rate, channels, samples a step
SOUND = {
    "AutoencoderKLKVAEAudio": (48000, 1, 960),
    "AutoencoderOobleck": (44100, 2, 2048),
    "AutoencoderSAME": (44100, 2, 4096),
    "LongCatAudioDiTVae": (24000, 1, 2048),
}
REFUSED = {
    "AutoencoderKLAllegro": "encodes with it in tiles of 24 frames",
    "AutoencoderKLLTX2Audio": "encodes no waveforms .*and not its spectrogram",
    # Where one was made before in the same process, on the CPU, its mel filters are kept there (diffusers 0.42).
    "MMAudioVAE": "encodes no waveforms .*and not its spectrogram|can't be made a MMAudioVAE",
    "UNet2DConditionModel": "holds a UNet2DConditionModel, which is no autoencoder",
    "TomorrowsAutoencoder": "needs the class TomorrowsAutoencoder of diffusers, .*upgrade diffusers",
}


@pytest.fixture
def with_vae(built, tmp_path):
    """class, configuration -> a pipeline with such an autoencoder in its place, without weights in it."""

    def pipeline(name, config=None):
        (tmp_path / "config.json").write_text(json.dumps({"_class_name": name, **(config or {})}))
        (tmp_path / "diffusion_pytorch_model.safetensors").touch()
        return resolve_pipeline(
            PipelineSource(repository=str(built("sd15")), vae=ComponentSource(repository=str(tmp_path)))
        )

    return pipeline


@pytest.mark.parametrize("name", PICTURES)
def test_the_factors_of_every_autoencoder_are_measured(with_vae, name):
    config, cell_px, stride = PICTURES[name]
    reads = input_of(with_vae(name, config))
    assert (reads.spatial_multiple, reads.temporal_stride) == (cell_px, stride)
    assert reads.num_channels == (4 if name == "AutoencoderKLQwenImage21" else 3)


@pytest.mark.parametrize("name", SOUND)
def test_the_rate_and_the_steps_of_sound_are_measured(with_vae, name):
    reads = input_of(with_vae(name))
    assert reads.makes == "audio"
    assert (reads.sample_rate_hz, reads.num_channels, reads.hop_samples) == SOUND[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_autoencoder_of_media_is_said_in_one_line(with_vae, name):
    with pytest.raises(ModelError, match=REFUSED[name]) as error:
        input_of(with_vae(name))
    assert "\n" not in str(error.value)


def test_a_spectrogram_is_no_picture(with_vae):
    with pytest.raises(ModelError, match="AutoencoderKL encodes neither images nor videos nor waveforms"):
        input_of(with_vae("AutoencoderKL", {**EIGHT_PX, "in_channels": 1}))  # AudioLDM 2


def test_a_configuration_of_another_class_is_said_in_one_line(with_vae):
    with pytest.raises(ModelError, match="can't be made a AutoencoderKL"):
        input_of(with_vae("AutoencoderKL", {"down_block_types": ["NoSuchBlock"]}))


def test_a_pipeline_that_makes_sound_takes_no_pictures(built):
    with pytest.raises(ModelError, match="makes audio: choose a pipeline that makes images or videos"):
        spatial_multiple(resolved(built("stableaudio")))


def test_a_vae_that_is_code_in_the_repository_is_refused(copied):
    folder = copied("sd15")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "vae": ["my_vae", "MyVae"]}))
    (folder / "vae" / "my_vae.py").write_text("raise SystemExit")
    with pytest.raises(ModelError, match="MyVae") as error:
        input_of(resolved(folder))
    assert "\n" not in str(error.value)


def test_a_vae_of_another_library_is_refused(copied):
    folder = copied("sd15")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "vae": ["transformers", "CLIPTextModel"]}))
    with pytest.raises(ModelError, match="holds a CLIPTextModel, which is no autoencoder: name one with the key vae"):
        input_of(resolved(folder))


@pytest.mark.parametrize(("frames", "fitting"), [(1, 1), (2, 1), (4, 1), (5, 5), (8, 5), (9, 9), (17, 17), (18, 17)])
def test_frames_that_fit_are_one_and_whole_strides(frames, fitting):
    assert VaeInput("video", 3, temporal_stride=4).fitting_frames(frames) == fitting


@pytest.mark.parametrize(("samples", "fitting"), [(99, 0), (100, 100), (199, 100), (200, 200)])
def test_samples_that_fit_are_whole_steps(samples, fitting):
    assert VaeInput("audio", 2, sample_rate_hz=1000, hop_samples=100).fitting_samples(samples) == fitting


def test_the_denoisers_patch_counts(copied):
    folder = copied("wan")
    config = json.loads((folder / "transformer" / "config.json").read_text())
    for patch, multiple in (([1, 2, 2], 16), ([1, 4, 4], 32), (None, 8)):
        (folder / "transformer" / "config.json").write_text(json.dumps({**config, "patch_size": patch}))
        assert input_of(resolved(folder)).spatial_multiple == multiple


# What makes images and what makes videos is read from the pipelines' constructors; these make something else of it.
ODD = {
    "Cosmos2TextToImagePipeline",  # images with a frame axis, as its denoiser reads them
    "CosmosTextToWorldPipeline",
    "Kandinsky6SRPipeline",  # images, whose VAE it gives pixels of another range: it is refused
}


@pytest.mark.parametrize("name", sorted(families.FAMILIES))
def test_what_a_pipeline_makes_is_what_its_row_says(name):
    """The rule is tried where no VAE is needed: a row says `video` exactly where a video processor is made."""
    with warnings.catch_warnings(action="ignore"):  # importing Kolors warns
        kind = getattr(diffusers, name)
    makes = families.FAMILIES[name].makes
    has_processor = "self.video_processor" in inspect.getsource(kind.__init__)
    assert makes == "audio" or has_processor == (makes == "video") or name in ODD

"""Audio as a medium: what the VAE's configuration decides, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from hf_assets import schema
from hf_assets.config import loading
from hf_assets.errors import MediaError, ModelError
from hf_assets.kinds.audio import AudioMedium
from hf_assets.models import autoencoders
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.audio_files import encoded, tone, wav


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in ("stableaudio", "sd15"):
        tiny_pipelines.build(family, folder / family)
    return folder


def medium(folder: Path, model: Path, **entry: Any) -> AudioMedium:
    dataset = {"id": "a", "type": "huggingface", "dataset_type": "audio", "dataset_name": "user/a", **entry}
    file = folder / "datasets.json"
    file.write_text(json.dumps({"model": {"pretrained_model_name_or_path": str(model)}, "datasets": [dataset]}))
    return AudioMedium(loading.load(file).recipes[0])


def one_clip(sounds: AudioMedium, data: bytes) -> dict[str, Any]:
    facts = pa.Table.from_pylist([{"row": 0, "media_hash": "a", **sounds.probe(data)}])
    media = sounds.describe(facts)
    assert media.schema == schema.AUDIO_MEDIA
    (sample,) = sounds.assign(media).to_pylist()
    found: dict[str, Any] = sample
    return found


def test_a_clip_is_decoded_as_the_vae_reads_it(models: Path, tmp_path: Path) -> None:
    sounds = medium(tmp_path, models / "stableaudio", audio={"duration_interval": 0.5})
    data = wav(440, 1.2, rate=22_050, channels=1)
    sample = one_clip(sounds, data)
    assert (sample["sample_rate_hz"], sample["num_channels"], sample["mixed_to"]) == (44_100, 2, 1)
    decoded = sounds.decode(data, {name: sample[name] for name in sounds.decoded})
    assert decoded.shape == (2, 44_100 // 1_920 * 1_920) == (2, sample["num_samples"])
    assert decoded.dtype == torch.float32
    exact = tone(440, 1.2, rate=44_100).T[:, : sample["num_samples"]]
    assert np.abs(decoded.numpy() - exact)[:, 200:-200].max() < 1e-4


def test_a_stereo_clip_can_be_mixed_to_mono_before(models: Path, tmp_path: Path) -> None:
    left = tone(440, 1.0) * np.array([1, 0], np.float32)
    data = encoded(left, "WAV", subtype="FLOAT")
    sounds = medium(tmp_path, models / "stableaudio", audio={"channels": 1})
    sample = one_clip(sounds, data)
    decoded = sounds.decode(data, {name: sample[name] for name in sounds.decoded})
    assert torch.equal(decoded[0], decoded[1])
    assert torch.allclose(decoded[0], torch.from_numpy(left[: sample["num_samples"], 0] / 2))


def test_a_picture_shows_the_whole_clip(models: Path, tmp_path: Path) -> None:
    picture = medium(tmp_path, models / "stableaudio").thumbnail(wav(440, 0.5))
    assert picture is not None
    assert np.ptp(np.asarray(picture)) > 100
    with pytest.raises(MediaError):
        medium(tmp_path, models / "stableaudio").thumbnail(b"no sound")


def test_a_pipeline_of_pictures_reads_no_sound(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"AutoencoderKL reads no audio: choose a pipeline that makes audio"):
        one_clip(medium(tmp_path, models / "sd15"), wav(440, 1.0))


def test_more_channels_than_the_vae_reads_have_no_effect_and_are_refused(models: Path, tmp_path: Path) -> None:
    mono = tmp_path / "mono"
    tiny_pipelines.build("stableaudio", mono)
    config = json.loads((mono / "vae" / "config.json").read_text())
    (mono / "vae" / "config.json").write_text(json.dumps({**config, "audio_channels": 1}))
    with pytest.raises(ModelError, match=r"audio.channels is 2, but AutoencoderOobleck .* reads 1: leave"):
        one_clip(medium(tmp_path, mono, audio={"channels": 2}), wav(440, 1.0))
    assert one_clip(medium(tmp_path, mono), wav(440, 1.0))["mixed_to"] == 1


@pytest.mark.parametrize(
    "change", [{"sample_rate_hz": 48_000}, {"num_channels": 1}, {"num_samples": 1_921}], ids=lambda change: str(change)
)
def test_clips_that_were_cut_for_another_vae_are_refused(change: dict[str, int], models: Path, tmp_path: Path) -> None:
    sounds = medium(tmp_path, models / "stableaudio")
    pipeline = resolve_pipeline(PipelineSource(repository=str(models / "stableaudio")))
    sample = one_clip(sounds, wav(440, 1.0))
    sounds.check(pa.Table.from_pylist([sample]), pipeline)
    with pytest.raises(ModelError, match="materialize buckets again"):
        sounds.check(pa.Table.from_pylist([{**sample, **change}]), pipeline)
    assert "3 s are 68 steps of 1,920 samples" in sounds.examples(pipeline)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sampling_rate": 44_100, "audio_channels": 2, "downsampling_ratios": [2, 4, 4, 8, 8]}, (44_100, 2, 2_048)),
        ({"sample_rate": 24_000, "in_channels": 1, "downsampling_ratio": 2_048}, (24_000, 1, 2_048)),
        (
            {"sampling_rate": 44_100, "audio_channels": 2, "encoder_strides": [16], "patch_size": 256},
            (44_100, 2, 4_096),
        ),
        ({"sample_rate": 16_000, "in_channels": 2, "mel_bins": 64}, None),  # of spectrograms
        ({"latent_channels": 4, "block_out_channels": [8, 8]}, None),
    ],
)
def test_what_a_vae_reads_is_in_its_configuration(config: dict[str, Any], expected: Any) -> None:
    assert autoencoders.audio_config(config) == expected

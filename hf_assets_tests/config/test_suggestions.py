"""What an unknown key may have been meant to be: the spelling is mended, the meaning isn't changed."""

from pathlib import Path

import pytest

from hf_assets.config.config_file import Dataset
from hf_assets.config.suggestions import suggest
from hf_assets.config.trainer_keys import TRAINER_ONLY
from hf_assets.stages.frames import FrameRules
from hf_assets_tests.config.simpletuner_files import HUB, mistakes

KEYS = [*Dataset.model_fields, *TRAINER_ONLY]
VIDEO = list(FrameRules.model_fields)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("resoluton", "resolution"),
        ("capton_column", "caption_column"),
        ("captioncolumn", "caption_column"),
        ("captionColumn", "caption_column"),
        ("column_caption", "caption_column"),
        ("caption_columns", "caption_column"),
        ("repeat", "repeats"),
        ("image_dir", "instance_data_dir"),
        ("data_dir", "instance_data_dir"),
        ("bucket_alignment", "aspect_bucket_alignment"),
        ("aspect_bucket_alignement", "aspect_bucket_alignment"),
        ("cache_vae", "cache_dir_vae"),
        ("text_column", "caption_column"),
        ("maximum_width", None),
        ("end_steps", "end_step"),
        ("stop_step", None),
        ("aspect_ratio", None),  # the smallest or the largest
        ("image_size", None),
        ("", None),
    ],
)
def test_a_key_of_a_dataset(key: str, meant: str | None) -> None:
    assert suggest(key, KEYS) == meant


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("frame_rate", None),
        ("framerate", None),
        ("fps", None),
        ("frames", None),
        ("num_frame", "num_frames"),
        ("minframes", "min_frames"),
        ("max_num_frames", None),
        ("frames_interval", "frame_interval"),
        ("isi2v", "is_i2v"),
    ],
)
def test_a_key_of_videos(key: str, meant: str | None) -> None:
    assert suggest(key, VIDEO, KEYS) == meant


@pytest.mark.parametrize(
    ("one", "other"), [("min", "max"), ("start", "end"), ("width", "height"), ("minimum", "maximum")]
)
def test_a_word_of_ours_is_no_misspelling_of_another(one: str, other: str) -> None:
    """Every key with such a word, without its twin being known."""
    for key in KEYS + VIDEO:
        if other in (twin := key.replace(one, other)).split("_") and twin != key:
            known = [name for name in KEYS + VIDEO if name != key and other not in name]
            assert suggest(twin, [*known, key], KEYS) in (None, twin), twin


def test_whether_a_word_is_ours_decides() -> None:
    assert suggest("weight_px", ["height_px"]) == "height_px"
    assert suggest("weight_px", ["height_px"], ["weight"]) is None


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("num_frames", "video.num_frames"),
        ("is_i2v", "video.is_i2v"),
        ("duration_interval", "audio.duration_interval"),
        ("quality_thresholds", "filter_func.quality_thresholds"),
        ("split_on", "caption_shuffle.split_on"),
    ],
)
def test_a_key_of_a_block_that_stands_outside_of_it(key: str, meant: str, tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, {**HUB, "dataset_type": "video", key: 1})
    assert line.startswith(f'multidatabackend.json: [0].{key}: is not a known key here; did you mean "{meant}"?')

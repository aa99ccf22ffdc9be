"""Each key that SimpleTuner's own examples use, with a value that it may have, and what becomes of it here.

The verdicts: `ours` is honoured, `trainer` is listed as the trainer's, `left out` with a line of its own, or the reason
why that value is refused.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from hf_assets.config import trainer_keys
from hf_assets.config.config_file import Dataset, TextEmbeds
from hf_assets.errors import ConfigError
from hf_assets_tests.config.simpletuner_files import HUB, LOCAL, TEXTS, pair

OURS, TRAINER, LEFT_OUT = "ours", "trainer", "left out"

IMAGES = {**HUB, "caption_column": "text"}
VIDEOS = {**HUB, "dataset_type": "video"}
AUDIO = {**HUB, "dataset_type": "audio"}
FOLDER = LOCAL
PLACES = {"images": IMAGES, "videos": VIDEOS, "audio": AUDIO, "folder": FOLDER, "texts": TEXTS}

# key of config.json -> a value, and the verdict.
OF_CONFIG: dict[str, tuple[Any, str]] = {
    "model_family": ("flux", OURS),
    "model_type": ("lora", TRAINER),
    "seed": (42, OURS),
    "hub_model_id": ("my-lora", TRAINER),
    "vae_batch_size": (1, TRAINER),
    "base_model_precision": ("int8-quanto", TRAINER),
    "validation_prompt": ("a cat", TRAINER),
    "mixed_precision": ("bf16", TRAINER),
    "validation_seed": (42, TRAINER),
    "validation_resolution": ("1024x1024", TRAINER),
    "model_flavour": ("base-1.0", OURS),
    "caption_dropout_probability": (0.1, OURS),
    "validation_prompt_library": (True, TRAINER),
    "validation_negative_prompt": ("blurry", TRAINER),
    "quantize_via": ("cpu", TRAINER),
    "resolution": (512, OURS),
    "compress_disk_cache": (True, TRAINER),
    "resolution_type": ("pixel_area", OURS),
    "vae_enable_tiling": (True, OURS),
    "vae_enable_slicing": (True, TRAINER),
    "minimum_image_size": (0, OURS),
    "validation_num_video_frames": (89, TRAINER),
    "pretrained_model_name_or_path": ("user/model", OURS),
    "text_encoder_batch_size": (8, TRAINER),
    "aspect_bucket_rounding": (2, OURS),
    "context_parallel_size": (8, TRAINER),
    "vae_enable_temporal_roll": (True, TRAINER),
    "text_encoder_1_precision": ("int8-quanto", TRAINER),
    "sdnq_use_quantized_matmul": (True, TRAINER),
    "text_cache_disable": (False, TRAINER),
    "text_cache_ondemand": (True, TRAINER),
    "ramtorch_text_encoder": (True, TRAINER),
    "framerate": (24, OURS),
    "user_prompt_library": ("prompts.json", TRAINER),
    "pretrained_vae_model_name_or_path": ("user/vae", OURS),
    "vae_enable_patch_conv": (True, TRAINER),
    "context_parallel_comm_strategy": ("allgather", TRAINER),
    "ideogram_prompt_enhancer_head_id": ("user/head", TRAINER),
    "ideogram_prompt_upsample": (True, "a language model would rewrite captions before they are encoded"),
    "vae_cache_ondemand": (True, TRAINER),
    "vae_cache_disable": (False, TRAINER),
    "quantize_activations": (True, TRAINER),
    "minimax_music_lm_max_frames": (100, TRAINER),
    "aspect_bucket_alignment": (32, OURS),
    "text_encoder_4_precision": ("int4-quanto", TRAINER),
    "pretrained_t5_model_name_or_path": ("user/t5", OURS),
    "pretrained_clip_model_name_or_path": ("user/clip", "another text encoder than the pipeline's own can't be put in"),
    "ltx2_first_frame_conditioning_probability": (0.5, TRAINER),
    "ltx2_prefix_conditioning_frames": (3, TRAINER),
    # of the docs
    "tokenizer_max_length": (256, OURS),
    "t5_padding": ("zero", "the padding of captions stays as the pipeline makes it"),
    "vae_dtype": ("fp32", OURS),
    "caption_strategy": ("instanceprompt", OURS),
    "instance_prompt": ("sks", OURS),
    "maximum_image_size": (2048, OURS),
    "target_downsample_size": (1024, OURS),
    "max_upscale_threshold": (0.5, OURS),
    "learning_rate": (1e-4, TRAINER),
    "optimizer": ("adamw_bf16", TRAINER),
    "max_train_steps": (100, TRAINER),
}

# place, key of an entry -> a value, and the verdict.
OF_ENTRIES: list[tuple[str, str, Any, str]] = [
    ("images", "id", "b", OURS),
    ("images", "type", "huggingface", OURS),
    ("images", "type", "aws", "aws_bucket_name: is missing; name the bucket of the media"),
    ("images", "type", "csv", "media at the addresses of a table are not fetched"),
    ("images", "type", "webshart", 'use "huggingface", which reads shards of the WebDataset format'),
    ("images", "dataset_type", "image", OURS),
    ("images", "dataset_type", "eval", OURS),
    ("images", "dataset_type", "conditioning", LEFT_OUT),
    ("images", "metadata_backend", "huggingface", OURS),
    ("folder", "metadata_backend", "discovery", OURS),
    ("folder", "metadata_backend", "json", OURS),
    ("images", "caption_strategy", "huggingface", OURS),
    ("folder", "caption_strategy", "textfile", OURS),
    ("folder", "caption_strategy", "filename", OURS),
    ("folder", "caption_strategy", "instanceprompt", OURS),
    ("folder", "parquet", {"path": "a.parquet", "filename_column": "id", "identifier_includes_extension": False}, OURS),
    ("images", "cache_dir_vae", "cache/vae/{model_family}/{id}", OURS),
    ("images", "dataset_name", "user/b", OURS),
    ("images", "crop", True, OURS),
    ("images", "resolution", 512, OURS),
    ("images", "resolution", "512", OURS),
    ("images", "resolution_type", "pixel", OURS),
    ("images", "resolution_type", "pixel_area", OURS),
    ("images", "resolution_type", "area", "resolution: is 1024 megapixels"),  # the usual resolution is in pixels
    ("images", "minimum_image_size", 512, OURS),
    ("images", "maximum_image_size", 2048, OURS),
    ("images", "target_downsample_size", 1024, OURS),
    ("texts", "default", True, OURS),
    ("texts", "cache_dir", "cache/text/{model_family}", OURS),
    ("images", "cache_dir", "cache/hf", OURS),
    ("images", "crop_style", "random", OURS),
    ("images", "crop_style", "center", OURS),
    ("images", "crop_aspect", "square", OURS),
    ("images", "crop_aspect", "preserve", OURS),
    ("images", "huggingface.caption_column", "text", OURS),
    ("images", "huggingface.dataset_name", "user/a", OURS),
    ("images", "huggingface.image_column", "img", OURS),
    ("images", "huggingface.file_extension", "jpg", TRAINER),
    ("videos", "huggingface.video_column", "mp4", OURS),
    ("videos", "video.num_frames", 49, OURS),
    ("videos", "video.min_frames", 49, OURS),
    ("videos", "video.is_i2v", True, OURS),
    ("videos", "video.bucket_strategy", "aspect_ratio", OURS),
    ("videos", "video.bucket_strategy", "resolution_frames", OURS),
    ("images", "repeats", 10, TRAINER),
    ("images", "repeats", "10", TRAINER),
    ("images", "instance_prompt", "sks", OURS),
    ("images", "instance_prompt", None, OURS),
    ("audio", "audio.duration_interval", 3.0, OURS),
    ("audio", "audio.bucket_strategy", "duration", OURS),
    ("audio", "audio.channels", 2, OURS),
    ("audio", "audio.max_duration_seconds", 30, OURS),
    ("audio", "audio.sample_rate", 48000, TRAINER),
    ("audio", "audio.auto_split", True, TRAINER),
    ("audio", "audio.allow_zero_audio", True, TRAINER),
    ("videos", "audio.auto_split", True, LEFT_OUT),
    ("videos", "audio.sample_rate", 16000, LEFT_OUT),
    ("images", "caption_column", "text", OURS),
    ("images", "image_column", "img", OURS),
    ("images", "text_embeds", "texts", OURS),
    ("images", "conditioning.type", "canny", LEFT_OUT),
    ("images", "conditioning.conditioning_type", "controlnet", LEFT_OUT),
    ("images", "conditioning.captions", ["a"], LEFT_OUT),
    ("images", "conditioning.params.low_threshold", 100, LEFT_OUT),
    ("images", "conditioning.params.high_threshold", 200, LEFT_OUT),
    ("folder", "instance_data_dir", "datasets/a", OURS),
    ("images", "split", "train", OURS),
    ("images", "crop_aspect_buckets", [1.0, 0.75], OURS),
    ("images", "max_num_samples", 100, OURS),
    ("texts", "cache_file_suffix", "-x", TRAINER),
    ("folder", "disable_multiline_split", True, OURS),
    ("images", "grounding.enabled", True, LEFT_OUT),
    *(("texts", key, value, TRAINER) for key, value in {"crop": False, "crop_style": "center"}.items()),
    *(
        (place, key, value, TRAINER)
        for place in ("images", "videos", "audio", "folder", "texts")
        for key, value in {
            "vae_cache_clear_each_epoch": True,
            "skip_file_discovery": "",
            "preserve_data_backend_cache": False,
            "write_batch_size": 128,
            "delete_nsfw_images": False,
            "metadata_update_interval": 65,
            "conditioning_image_embed_batch_size": 1,
            "cache_dir_conditioning_image_embeds": "x",
            "text_cache_ondemand": True,
        }.items()
    ),
]


def with_value(entry: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The entry with a key, which may lie in blocks, and what SimpleTuner wants beside it."""
    first, _, rest = key.partition(".")
    made = {**entry, first: with_value(entry.get(first, {}), rest, value) if rest else value}
    beside = {"maximum_image_size": "target_downsample_size", "target_downsample_size": "maximum_image_size"}
    if first in beside:
        made[beside[first]] = value
    if value == "instanceprompt":
        made["instance_prompt"] = "sks"
    if first == "parquet":
        made["caption_strategy"] = "parquet"
    return made


def verdict(entry: dict[str, Any], folder: Path, **settings: Any) -> tuple[str, str]:
    """What becomes of the files, and what is said of it."""
    caches = [TEXTS] if entry["id"] != TEXTS["id"] else []
    try:
        config = pair(folder, entry, *caches, **settings)
    except ConfigError as error:
        [line] = str(error).splitlines()
        return "refused", line
    return "loads", "\n".join(config.notes)


@pytest.mark.parametrize("key", sorted(OF_CONFIG))
@pytest.mark.parametrize("dashes", ["", "--"])
def test_a_key_of_config_json(key: str, dashes: str, tmp_path: Path) -> None:
    value, expected = OF_CONFIG[key]
    more = {"maximum_image_size": "target_downsample_size", "target_downsample_size": "maximum_image_size"}
    beside = {more[key]: value} if key in more else {"instance_prompt": "sks"} if key == "caption_strategy" else {}
    settings = {"model_family": None} if key == "model_family" and dashes else {}
    found, said = verdict(IMAGES, tmp_path, **settings, **{dashes + key: value}, **beside)
    if expected in (OURS, TRAINER):
        assert found == "loads", said
        assert (re.search(rf"\b{key}\b", said) is not None) is (expected == TRAINER)
        assert (key in trainer_keys.HONOURED) is (expected == OURS)
    else:
        assert found == "refused"
        assert expected in said
        assert f"config.json: {dashes}{key}: " in said


@pytest.mark.parametrize(("place", "key", "value", "expected"), OF_ENTRIES)
def test_a_key_of_an_entry(place: str, key: str, value: Any, expected: str, tmp_path: Path) -> None:
    found, said = verdict(with_value(PLACES[place], key, value), tmp_path, model_family="ltxvideo")
    name = key.removeprefix("huggingface.")
    match expected:
        case "ours":
            assert found == "loads", said
            assert f"only: {name}" not in said
        case "trainer":
            assert found == "loads", said
            assert re.search(rf"only: .*\b{re.escape(name)}\b", said)
        case "left out":
            assert found == "loads", said
            assert "is left out: " in said or "is for the trainer only, as dataset_type is" in said
        case _:
            assert found == "refused"
            assert expected in said


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", sorted(trainer_keys.TRAINER_ONLY))
def test_a_trainer_s_key_refuses_no_entry(place: str, key: str, tmp_path: Path) -> None:
    found, said = verdict({**PLACES[place], key: True if key == "is_regularisation_data" else 1}, tmp_path)
    assert found == "loads", said
    assert key in said


def test_each_key_of_ours_is_a_key_and_each_of_the_trainer_s_is_none() -> None:
    names = {key.removeprefix("huggingface.").split(".")[0] for *_, key, _, verdict in OF_ENTRIES if verdict == OURS}
    assert names <= {*trainer_keys.OF_DATASETS, *TextEmbeds.model_fields}
    assert set(trainer_keys.OF_DATASETS) <= set(Dataset.model_fields)
    assert not trainer_keys.TRAINER_ONLY & {*Dataset.model_fields, *TextEmbeds.model_fields}
    verdicts = [set(trainer_keys.HONOURED), set(trainer_keys.REFUSED), set(trainer_keys.OF_THE_TRAINER)]
    assert sum(map(len, verdicts)) == len(set.union(*verdicts))

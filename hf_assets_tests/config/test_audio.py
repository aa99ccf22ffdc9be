"""Datasets of audio in the config file: which recipe is made of them, and which mistakes are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_assets.config import loading
from hf_assets.config.config_file import ONLY_FOR
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.config.settings import AudioSettings
from hf_assets.errors import ConfigError
from hf_assets.stages.audio import AudioRules

MODEL = {"pretrained_model_name_or_path": "user/model"}
ENTRY = {"id": "a", "type": "huggingface", "dataset_type": "audio", "dataset_name": "user/a"}
# The example of SimpleTuner's page on Hugging Face datasets, as it stands there.
EXAMPLE = """{
    "id": "audio-dataset",
    "type": "huggingface",
    "dataset_type": "audio",
    "dataset_name": "my-audio-data",
    "audio_column": "audio",
    "config": {
        "audio_caption_fields": ["tags"],
        "lyrics_column": "lyrics"
    }
}"""


def recipe_of(folder: Path, entry: dict[str, Any], **more: Any) -> Recipe:
    file = folder / "datasets.json"
    file.write_text(json.dumps({"model": MODEL, "datasets": [{**entry, **more}]}))
    (recipe,) = loading.load(file).recipes
    return recipe


def said(folder: Path, **edit: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe_of(folder, ENTRY, **edit)
    line = str(caught.value)
    return line.removeprefix(f"{folder / 'datasets.json'}: datasets[0].")


def test_the_pages_example_works_as_it_stands(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, json.loads(EXAMPLE))
    assert (recipe.kind, recipe.media_column) == ("audio", "audio")
    assert recipe.captions.joined_columns == ("tags",)
    assert recipe.captions.columns_of_captions == ()
    assert recipe.captions.lyrics_columns == ("lyrics", "norm_lyrics")
    assert recipe.required_columns == ("tags",)
    assert recipe.optional_columns == ("lyrics", "norm_lyrics")
    assert recipe.settings == AudioSettings()


def test_prompt_and_lyrics_have_usual_columns_which_may_be_missing(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, ENTRY)
    assert recipe.required_columns == ()
    assert recipe.optional_columns == ("prompt", "tags", "lyrics", "norm_lyrics")


def test_a_caption_column_is_used_where_it_is_named(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, ENTRY, caption_column="text")
    assert (recipe.captions.columns_of_captions, recipe.captions.joined_if_there) == (("text",), ())
    both = recipe_of(tmp_path, ENTRY, caption_column="text", audio_caption_fields=["mood"])
    assert both.required_columns == ("text", "mood")


def test_the_captions_of_a_folder_lie_beside_its_clips(tmp_path: Path) -> None:
    folder = {"id": "a", "type": "local", "dataset_type": "audio", "instance_data_dir": "songs"}
    recipe = recipe_of(tmp_path, folder, caption_strategy="textfile")
    assert recipe.captions.columns_of_captions == ("caption",)
    assert recipe.captions.joined_if_there == recipe.captions.joined_columns == ()


def test_rows_are_sampled_by_the_columns_of_the_prompt(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, ENTRY, max_num_samples=3).optional_columns[:2] == ("prompt", "tags")
    named = recipe_of(tmp_path, ENTRY, max_num_samples=3, audio_caption_fields=["mood"])
    assert named.filter.sampled_by == ("mood",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"audio_column": "sound"}, {"config": {"audio_column": "sound"}}),
        ({"audio_column": "sound"}, {"huggingface": {"audio_column": "sound"}, "config": {"audio_column": "sound"}}),
        ({"audio": {"duration_interval": 3}}, {"audio": {"duration_interval": 3.0, "truncation_mode": "beginning"}}),
        ({"lyrics_column": "lyrics"}, {}),
        ({"config": {}}, {}),
        ({"config": {"dataset_type": "audio"}}, {}),
    ],
)
def test_the_same_said_otherwise_is_the_same_recipe(one: dict[str, Any], other: dict[str, Any], tmp_path: Path) -> None:
    assert recipe_of(tmp_path, ENTRY, **one) == recipe_of(tmp_path, ENTRY, **other)


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        ({"audio_column": "sound"}, lambda recipe: recipe.media_column),
        ({"audio_caption_fields": ["tags"]}, lambda recipe: recipe.captions),
        ({"audio_caption_fields": ["prompt", "tags"]}, lambda recipe: recipe.captions),  # now they have to be there
        ({"lyrics_column": "text"}, lambda recipe: recipe.captions),
        ({"audio": {"duration_interval": 2}}, lambda recipe: recipe.settings),
        ({"audio": {"min_duration_seconds": 2}}, lambda recipe: recipe.settings),
        ({"audio": {"max_duration_seconds": 2}}, lambda recipe: recipe.settings),
        ({"audio": {"truncation_mode": "random"}}, lambda recipe: recipe.settings),
        ({"audio": {"channels": 1}}, lambda recipe: recipe.settings),
    ],
)
def test_a_key_changes_the_version_of_what_reads_it_and_of_nothing_else(
    edit: dict[str, Any], part: Any, tmp_path: Path
) -> None:
    before, after = recipe_of(tmp_path, ENTRY), recipe_of(tmp_path, ENTRY, **edit)
    assert code_version(1, part(before)) != code_version(1, part(after))
    parts = ("media_column", "captions", "settings", "filter", "model")
    assert sum(code_version(1, getattr(before, one)) != code_version(1, getattr(after, one)) for one in parts) == 1


def test_every_key_of_sound_is_tested() -> None:
    assert set(ONLY_FOR["audio",]) == {"audio_column", "audio", "audio_caption_fields", "lyrics_column"}
    tested = {"duration_interval", "min_duration_seconds", "max_duration_seconds", "truncation_mode", "channels"}
    assert set(AudioRules.model_fields) == tested | {"bucket_strategy"}  # which has one value


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"audio": 3}, "audio: is 3; write an object"),
        ({"audio": {"duration_interval": 0}}, "audio.duration_interval: is 0; write 0.01 or more"),
        ({"audio": {"duration_interval": "3 s"}}, 'audio.duration_interval: is "3 s"; write a number'),
        ({"audio": {"bucket_strategy": "x"}}, 'audio.bucket_strategy: is "x"; use "duration"'),
        ({"audio": {"truncation_mode": "middle"}}, 'audio.truncation_mode: is "middle"; use "beginning", "end"'),
        ({"audio": {"channels": 6}}, "audio.channels: is 6; use 1 or 2"),
        ({"audio": {"max_duration_seconds": 0}}, "audio.max_duration_seconds: is 0; write a number above 0"),
        ({"audio": {"max_durations": 9}}, 'audio.max_durations: is not a known key; did you mean "max_duration_'),
        (
            {"audio": {"min_duration_seconds": 5, "max_duration_seconds": 4}},
            "audio.min_duration_seconds: is 5, above max_duration_seconds of 4; swap them",
        ),
        ({"audio_caption_fields": []}, "audio_caption_fields: is []; write something"),
        ({"audio_caption_fields": "tags"}, 'audio_caption_fields: is "tags"; '),
        ({"lyrics_column": None}, "lyrics_column: is null; write text"),
        ({"config": 3}, "config: is 3; write an object"),
        ({"config": {"lyric_column": "x"}}, 'config.lyric_column: is not a known key; did you mean "lyrics_column"?'),
        (
            {"config": {"resolution": 3}},
            'config.resolution: has no effect where dataset_type is "audio"; remove it, or',
        ),
        (
            {"audio_column": "a", "config": {"audio_column": "b"}},
            'config.audio_column: is "b", but datasets[0].audio_column is "a"; keep one',
        ),
        (
            {"huggingface": {"audio_column": "a"}, "config": {"audio_column": "b"}},
            'config.audio_column: is "b", but datasets[0].huggingface.audio_column is "a"; keep one',
        ),
        ({"filter_func": {"min_width": 3}}, "filter_func.min_width: has no effect on audio; remove it"),
        *[({key: None}, key) for key in ("crop", "image_column", "aspect_bucket_alignment")],
    ],
)
def test_a_mistake_is_named_with_its_path(edit: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert said(tmp_path, **edit).startswith(message)


@pytest.mark.parametrize("key", [*ONLY_FOR["image", "video"], "image_column", "video", "fps_column"])
def test_keys_of_pictures_have_no_effect_on_sound(key: str, tmp_path: Path) -> None:
    values: dict[str, Any] = {"resolution_type": "pixel", "crop": True, "crop_style": "corner", "crop_aspect": "square"}
    values |= {"crop_aspect_buckets": [1.0], "video": {}}
    edit = {key: values.get(key, "x" if key.endswith("_column") else 2)}
    assert f'{key}: has no effect where dataset_type is "audio"' in said(tmp_path, **edit)


def test_defaults_of_simpletuners_own_file_that_concern_pictures_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**MODEL, "resolution": 512, "instance_prompt": "sks"}))
    (tmp_path / "datasets.json").write_text(json.dumps([ENTRY, {**ENTRY, "id": "b", "dataset_type": "image"}]))
    sound, picture = loading.load(tmp_path / "datasets.json").recipes
    assert (sound.kind, picture.settings.geometry.resolution) == ("audio", 512)

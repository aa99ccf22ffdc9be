"""Each mistake in a config file, and the one line that says where it is and what to do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hf_assets.config import loading
from hf_assets.errors import ConfigError

MODEL = {"pretrained_model_name_or_path": "user/model"}
ENTRY = {"id": "a", "type": "huggingface", "dataset_name": "user/a"}
PLACE = re.compile(r" \(line \d+, column \d+\)$")
TEXTS = {"id": "texts", "dataset_type": "text_embeds", "cache_dir": "texts"}


def said(content: Any, folder: Path) -> list[str]:
    """The lines of the error, without the file's name, which each begins with, and the place, which most end with."""
    file = folder / "datasets.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        loading.load(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [PLACE.sub("", line.removeprefix(f"{file}: ")) for line in lines]


def config(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "datasets": list(entries), **more}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("id", "a/b", 'is "a/b"; use letters, digits, _, - and . only, and start with a letter, a digit or _'),
        ("id", "", 'is ""; use letters'),
        ("id", 3, "is 3; write text"),
        ("id", "a" * 101, f'is "{"a" * 76}…; use at most 100 characters'),
        ("type", "csv", 'is "csv"; use "huggingface" or "local"'),
        ("dataset_type", "movie", 'is "movie"; use "image"'),
        ("dataset_name", "", 'is ""; write something'),
        ("dataset_name", "https://huggingface.co/datasets/user/b", 'write the Hub id alone: "user/b"'),
        ("dataset_name", "hf://datasets/user/b", 'write the Hub id alone: "user/b"'),
        ("dataset_name", "user/b@v1", 'write "user/b", and "v1" in the key revision'),
        ("split", "train[10%]", '"train[10%]" is no split: write a name, or a slice such as train[:10%]'),
        ("split", "train+", '"" is no split'),
        ("split", "{id}{", '"{id}{" is no split'),
        ("split", "train[:101%]", "percentages go from -100 to 100"),
        ("instance_data_dir", "a", 'instance_data_dir: has no effect where type is "huggingface"; remove it'),
        (
            "caption_strategy",
            "csv",
            'caption_strategy: is "csv"; use "huggingface", "textfile", "instanceprompt" where',
        ),
        ("split", 1, "is 1; write text"),
        ("revision", 1.5, "is 1.5; write text"),
        ("revision", "", "write something, or leave the key out"),
        ("image_column", None, "is null; write a list"),
        ("caption_column", ["a", 3], "[1]: is 3; write text"),
        ("caption_column", [], "write something"),
        ("cache_dir", False, "is false; write text"),
        ("resolution", "1024 px", 'is "1024 px"; write a number'),
        ("resolution", True, "is true; write a number"),
        ("resolution", 1e300, "is 1e+300; write 1000000000.0 or less"),
        ("composite_image_config", {"image_count": 10**100}, "image_count: is 1"),
        ("resolution", 0, "is 0; write a number above 0"),
        ("resolution", -5, "is -5; write a number above 0"),
        ("resolution", 1, "is 1 pixels, since resolution_type is 'pixel_area'; if megapixels are meant, use"),
        ("resolution", 512.5, "use 512"),
        ("resolution_type", "megapixels", 'is "megapixels"; use "pixel", "area" or "pixel_area"'),
        ("minimum_image_size", -1, "is -1; write 0"),
        ("minimum_image_size", "", 'is ""; write a number'),
        ("crop", 1, "is 1; write true or false"),
        ("crop", "yes", 'is "yes"; write true or false'),
        ("crop_style", "face", "'face' needs a face detector, which this tool does not have; use 'center', 'corner'"),
        ("crop_style", "left", 'is "left"; use "random", "center", "centre", "corner" or "face"'),
        ("crop_aspect", "wide", 'is "wide"; use "square", "preserve", "closest" or "random"'),
        ("crop_aspect_buckets", [1, "two"], '[1]: is "two"; write an object'),
        ("maximum_image_size", 2048, "target_downsample_size is not set; set both or neither"),
        ("minimum_aspect_ratio", 0, "is 0; write a number above 0"),
        ("max_upscale_threshold", -0.1, "is -0.1; write 0"),
        ("max_num_samples", 0, "is 0; write a number above 0"),
        ("only_instance_prompt", True, "is true, but there is no instance_prompt; add one"),
        ("prepend_instance_prompt", "True", "is true, but there is no instance_prompt; add one"),
        ("caption_strategy", "instanceprompt", 'is "instanceprompt", but there is no instance_prompt; add one'),
        ("caption_filter_list", ["ok", "(a"], '"(a": missing )'),
        ("caption_filter_list", ["s/unclosed/"], '"s/unclosed/" is no whole replacement; write s/this/that/'),
        ("caption_filter_list", ["s/a/b/x"], "is no whole replacement"),
        ("caption_filter_list", "none.txt", "none.txt can't be read: No such file"),
        ("caption_shuffle", {"enable": True, "count": 0}, "count: is 0; write a number above 0"),
        ("caption_shuffle", {"split_on": "tab"}, 'split_on: is "tab"; use "comma", "space" or "period"'),
        ("composite_image_config", {"image_count": 4, "select_index": 4}, "select_index is 4, but image_count is 4"),
        ("composite_image_config", {"image_count": 4, "layout": [1, 3]}, "layout is 1 x 3, but image_count is 4"),
        ("decode", "draft", 'decode: is "draft"; use "exact" or "fast"'),
        ("where", "score >", "is no SQL expression: syntax error"),
        ("where", "score > random()", '"random" gives another value at another time'),
        ("where", "sum(score) > 3", '"sum" looks at other rows'),
        ("where", "score > (SELECT 1)", "it holds a query of its own"),
        ("where", "1 = 1", "names no column"),
        ("image_embeds", "nowhere", '"nowhere" is the id of no active image_embeds entry'),
        ("aspect_bucket_alignment", 0, "is 0; write a number above 0"),
        ("aspect_bucket_alignment", 64.0, "is 64.0; write a whole number"),
        ("aspect_bucket_rounding", 10, "is 10; write 9 or less"),
        ("width_column", "w", 'is "w"; give height_column too, or neither'),
        ("height_column", "h", 'is "h"; give width_column too, or neither'),
        ("caption_strategy", "filename", 'is "filename"; use "huggingface"'),
        ("metadata_backend", "discovery", 'is "discovery"; use "huggingface"'),
        ("filter_func", 512, "is 512; write an object"),
        ("text_embeds", "nowhere", '"nowhere" is the id of no active text_embeds entry; add one, or leave the key out'),
        ("capton_column", "x", 'is not a known key; did you mean "caption_column"?'),
        ("repeat", 2, 'is not a known key; did you mean "repeats"?'),
        ("trainer", {}, "is not a known key; remove it"),
        ("audio_column", "sound", 'has no effect where dataset_type is "image"; remove it'),
        ("lyrics_column", "lyrics", 'has no effect where dataset_type is "image"; remove it'),
        ("probability", "nan", 'is "nan"; write a number, 0 or more'),
        ("probability", -0.1, "is -0.1; write a number, 0 or more"),
        ("repeats", 1.5, "is 1.5; write a whole number, 0 or more"),
        ("repeats", True, "is true; write a whole number, 0 or more"),
        ("train_batch_size", 0, "is 0; write a whole number, 1 or more"),
        ("end_step", 0, "is 0; write a whole number, 1 or more"),
        ("is_regularisation_data", "yes", 'is "yes"; write true or false'),
        ("streaming", "perhaps", 'is "perhaps"; write true or false'),
        ("follow_links", True, "is true, but has an effect on folders of this machine only; remove it"),
    ],
)
@pytest.mark.parametrize("block", [None, "huggingface"])
def test_a_wrong_value_is_named_with_its_path_and_the_way_out(
    key: str, value: object, message: str, block: str | None, tmp_path: Path
) -> None:
    entry: dict[str, Any] = {name: given for name, given in ENTRY.items() if name != key}
    entry |= {block: {key: value}} if block else {key: value}
    (line,) = said(config(entry), tmp_path)
    assert line.startswith(f"datasets[0].{'huggingface.' if block else ''}{key}")
    assert message in line


@pytest.mark.parametrize(
    ("rules", "path", "message"),
    [
        ({"min_width": 512.5}, "min_width", "is 512.5; write a whole number"),
        ({"min_height": True}, "min_height", "is true; write a whole number"),
        ({"min_height": 0}, "min_height", "is 0; write a number above 0"),
        ({"quality_thresholds": {"clip": "inf"}}, "quality_thresholds.clip", 'is "inf"; write a number'),
        ({"quality_thresholds": {"clip": True}}, "quality_thresholds.clip", "is true; write a number"),
        ({"quality_thresholds": [0.3]}, "quality_thresholds", "is [0.3]; write an object"),
        ({"collection": []}, "collection", "is []; write something"),
        ({"where": "a = now()"}, "where", '"a = now()" can\'t be used: "now" gives another value at another time'),
        ({"function": "keep", "columns": ["a"]}, "function", 'is "keep"; write "module:function"'),
        ({"function": "mine:keep"}, "", "columns is missing, which function needs: list the columns that it gets"),
        ({"columns": ["a"]}, "", "columns has no effect without function"),
        ({"function": "mine:keep", "columns": ["a"]}, "function", '"mine" is not listed in plugins; add "plugins"'),
        ({"min_with": 5}, "min_with", 'is not a known key; did you mean "min_width"?'),
        ({"repeats": 5}, "repeats", "is not a known key; known are batched, "),
    ],
)
def test_a_wrong_filter_is_named_likewise(rules: object, path: str, message: str, tmp_path: Path) -> None:
    (line,) = said(config({**ENTRY, "filter_func": rules}), tmp_path)
    assert line.startswith(f"datasets[0].filter_func{'.' if path else ''}{path}: {message}")


@pytest.mark.parametrize("key", ["instance_data_dir", "cache_dir"])
def test_what_json_makes_of_one_backslash_is_named(key: str, tmp_path: Path) -> None:
    entry = {**ENTRY, "type": "local", "instance_data_dir": "photos", key: "C:\temp\new"}
    entry.pop("dataset_name", None)
    lines = said(config(entry), tmp_path)
    assert any(
        line.startswith(f"datasets[0].{key}: ") and "what JSON makes of \\t; write \\\\t" in line for line in lines
    )


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"video": {"num_frame": 9}}, ".video.num_frame: is not a known key; did you mean"),
        ({"video": {"num_frames": 0}}, ".video.num_frames: is 0; write a number above 0"),
        ({"video": {"bucket_strategy": "frames"}}, '.video.bucket_strategy: is "frames"; use "aspect_ratio" or'),
        ({"video": {"min_frames": 9, "max_frames": 8}}, ".video: min_frames is 9, above max_frames of 8: no clip has"),
        ({"video": {"max_frames": 99}}, ".video: min_frames is 125 (num_frames, as min_frames is not given), above"),
        ({"image_column": "a"}, '.image_column: has no effect where dataset_type is "video"; remove it, or change'),
        ({"dataset_type": "image", "fps_column": "a"}, '.fps_column: has no effect where dataset_type is "image"'),
        ({"dataset_type": "image", "video": {}}, '.video: has no effect where dataset_type is "image"; remove it'),
    ],
)
def test_what_is_wrong_with_a_video_is_named_likewise(edit: dict[str, Any], line: str, tmp_path: Path) -> None:
    (found,) = said(config({**ENTRY, "dataset_type": "video", **edit}), tmp_path)
    assert found.startswith(f"datasets[0]{line}")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("{", ["is not JSON: Expecting property name enclosed in double quotes"]),
        ("[" * 100_000, ['is nested too deeply; write an object with "model" and "datasets"']),
        (f"[{'9' * 5000}]", ["holds a number of more than 4300 digits; write a shorter one"]),
        (
            config({**ENTRY, "cache_dir": "a\0b"}),
            ['datasets[0].cache_dir: is "a\\u0000b"; leave the null character out'],
        ),
        (
            config(ENTRY, **{"plug\nins\u2028\ud800": 1}),
            ['plug\\nins\\u2028\\ud800: is not a known key; did you mean "plugins"?'],
        ),
        ("3", ['holds 3; write an object with "model" and "datasets"']),
        (
            "{}",
            [
                'model: is missing; add it, such as {"family": "sdxl"}',
                "datasets: is missing; list at least one dataset",
            ],
        ),
        (config(), ["datasets: is []; list at least one dataset"]),
        (config("a"), ['datasets[0]: is "a"; write an object']),  # type: ignore[arg-type]
        (
            {"datasets": [ENTRY], "model": "user/model"},
            ['model: is "user/model"; write an object, such as {"family": "sdxl"}'],
        ),
        (
            {"datasets": [ENTRY], "model": {"pretrained_model_name_or_path": "sdxl"}},
            [
                'model.pretrained_model_name_or_path: is "sdxl", which is the name of a family; '
                'write "family": "sdxl" in its place'
            ],
        ),
        (
            {"datasets": {"id": "a"}, "model": {"family": "sdxl"}},
            ['datasets: is {"id": "a"}; write a list: [ before it and ] behind it'],
        ),
        ({"datasets": [ENTRY], "model": {}}, ['model.pretrained_model_name_or_path: is missing; add it, or "family"']),
        (
            {"datasets": [ENTRY], "model": {**MODEL, "dtype": "bf16", "vae": "user/vae"}},
            [
                'model.vae: is "user/vae"; write an object',
                'model.dtype: is "bf16"; use "float32", "bfloat16" or "float16"; did you mean "bfloat16"?',
            ],
        ),
        (
            {"datasets": [ENTRY], "model": {**MODEL, "vae": {**MODEL, "subfoldr": "vae"}}},
            ['model.vae.subfoldr: is not a known key; did you mean "subfolder"?'],
        ),
        (config(ENTRY, dataset=[]), ['dataset: is not a known key; did you mean "datasets"?']),
        (config({**ENTRY, "huggingface": [1]}), ["datasets[0].huggingface: is [1]; write an object"]),
        (config(ENTRY, refresh={"cron": 3}), ["refresh.cron: is 3; write text"]),
        (
            config(ENTRY, refresh={"cron": "0 24 * * *"}),
            ['refresh.cron: is "0 24 * * *"; "24" is no hour: write *, or 0 to 23, with , - or /'],
        ),
        (
            config({**ENTRY, "split": "test", "huggingface": {"split": "train"}}),
            ['datasets[0].huggingface.split: is "train", but datasets[0].split is "test"; keep one'],
        ),
        (
            config({**ENTRY, "quality_column": "q", "filter_func": {"quality_column": "r"}}),
            ['datasets[0].quality_column: is "q", but "r" in filter_func; keep one'],
        ),
        (
            config(ENTRY, {**ENTRY, "dataset_name": "user/b"}),
            [f'datasets[{n}].id: "a" is used twice; give each entry its own id' for n in (0, 1)],
        ),
        (
            config({**ENTRY, "id": "a.b"}, {**ENTRY, "id": "a-b"}),
            ['datasets[1].id: "a-b" and "a.b" fold to one asset group "a_b"; rename one'],
        ),
        (
            config({**TEXTS, "default": True}, {**TEXTS, "id": "more", "default": "true"}, ENTRY),
            ["datasets[1].default: is true in another text_embeds entry too; keep one"],
        ),
        (
            config(TEXTS, {**ENTRY, "text_embeds": "text"}),
            ['datasets[1].text_embeds: "text" is the id of no active text_embeds entry; did you mean "texts"?'],
        ),
    ],
)
def test_a_wrong_file_is_explained(content: Any, lines: list[str], tmp_path: Path) -> None:
    assert said(content, tmp_path) == lines


def test_images_of_which_a_cell_is_taken_are_not_decoded_fast(tmp_path: Path) -> None:
    entry = {**ENTRY, "decode": "fast", "composite_image_config": {"enabled": True, "image_count": 4}}
    [line] = said({"model": MODEL, "datasets": [entry]}, tmp_path)
    assert 'decode: is "fast", but of composite images one is taken exactly; remove decode' in line


def test_norms_in_the_type_that_all_is_in_are_no_setting(tmp_path: Path) -> None:
    model = {**MODEL, "dtype": "float32", "vae_norms": "float32"}
    [line] = said({"model": model, "datasets": [ENTRY]}, tmp_path)
    assert 'vae_norms is "float32", as all is where dtype is; remove vae_norms' in line


def test_a_bare_list_without_a_model_says_where_to_name_one(tmp_path: Path) -> None:
    (line,) = said([ENTRY], tmp_path)
    assert line.startswith("is a bare list of datasets, and there is no config.json beside it that names the model; ")
    assert 'write {"model": {"pretrained_model_name_or_path": ' in line


def test_mistakes_of_a_bare_list_are_named_by_their_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"--pretrained_model_name_or_path": "user/model"}')
    lines = said([ENTRY, {**ENTRY, "id": "b", "crop": 3, "where": "a >"}], tmp_path)
    assert [line.split(": ")[0] for line in lines] == ["[1].crop"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds []; write an object with model_family"),
        ("{", "is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ('{"model_type": "lora"}', "model_family: is missing; add it, or pretrained_model_name_or_path"),
        ('{"pretrained_model_name_or_path": "a/b", "vae_dtype": "int4"}', 'vae_dtype: is "int4"; use bf16'),
        (
            '{"--pretrained_model_name_or_path": "a/b",\n "--vae_dtype": []}',
            "--vae_dtype: is []; use bf16, bfloat16, default, float16, float32, fp16, fp32 (line 2, column 2)",
        ),
        (
            '{"--pretrained_model_name_or_path": "a/b",\n "--resolution": "big"}',
            '--resolution: is "big"; write a number (line 2, column 2)',
        ),
        ('{"pretrained_model_name_or_path": "a/b", "resolution": "nan"}', 'resolution: is "nan"; write a number'),
        ('{"pretrained_model_name_or_path": "a/b", "resolution": NaN}', "resolution: is nan; write a finite number"),
        (
            '{"pretrained_model_name_or_path": "a/b", "resolution": 1,\n "--resolution": 2}',
            "--resolution: stands twice; keep one (line 2, column 2)",
        ),
        (
            '{"pretrained_model_name_or_path": "a/b", "resolution": 1,\n "resolution": 2}',
            "resolution: stands twice; keep one (line 2, column 2)",
        ),
        ('{"--pretrained_model_name_or_path": 3}', "--pretrained_model_name_or_path: is 3; write text"),
        ('{"pretrained_model_name_or_path": "a/b", "cache_dir": []}', "cache_dir: is []; write text"),
        (f'{{"x": {"9" * 5000}}}', "holds a number of more than 4300 digits"),
    ],
)
def test_a_wrong_config_json_is_explained(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "datasets.json").write_text(json.dumps([ENTRY]))
    with pytest.raises(ConfigError) as caught:
        loading.load(tmp_path / "datasets.json")
    assert f"{tmp_path / 'config.json'}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "path", "message"),
    [
        ({}, "instance_data_dir", "is missing; add it: the folder of the media"),
        ({"instance_data_dir": "x", "split": "train"}, "split", 'has no effect where type is "local"; remove it'),
        (
            {"instance_data_dir": "x", "caption_strategy": "huggingface"},
            "caption_strategy",
            'use "filename", "textfile"',
        ),
        ({"instance_data_dir": "x", "caption_strategy": "csv"}, "csv", "is missing; add it"),
        ({"instance_data_dir": "x", "parquet": {"path": "a"}}, "parquet", 'set caption_strategy to "parquet"'),
    ],
)
def test_a_folder_of_media_has_keys_of_its_own(entry: dict[str, Any], path: str, message: str, tmp_path: Path) -> None:
    [line] = said({"model": MODEL, "datasets": [{"id": "a", "type": "local", **entry}]}, tmp_path)
    assert line.startswith(f"datasets[0].{path}: ")
    assert message in line


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """Mistakes of JSON, of types, of geometry and of references, in several entries."""
    wrong = """{
      "model": {"pretrained_model_name_or_path": "user/model", "dtype": "int8"},
      "datasets": [
        {"id": "a", "id": "b", "type": "huggingface", "dataset_name": "user/a", "resolution": NaN},
        {"id": "c", "type": "huggingface", "dataset_name": "user/c", "resolution": 1, "text_embeds": "x"},
        {"id": "d", "type": "huggingface", "crop": 2, "filter_func": {"quality_thresholds": {"clip": 1e999}}}
      ],
      "refresh": {"cron": "daily"}, "extra": 1
    }"""
    assert [line.split(": ")[0] for line in said(wrong, tmp_path)] == [
        "datasets[0].id",
        "datasets[0].resolution",
        "datasets[2].filter_func.quality_thresholds.clip",
        "extra",
        "model.dtype",
        "refresh.cron",
        "datasets[1].resolution",
        "datasets[2].dataset_name",
        "datasets[2].crop",
        "datasets[1].text_embeds",
    ]


def test_a_text_embeds_entry_with_a_mistake_is_still_known_by_its_id(tmp_path: Path) -> None:
    lines = said(config({**TEXTS, "type": "csv"}, {**ENTRY, "text_embeds": "texts"}), tmp_path)
    assert lines == ['datasets[0].type: is "csv"; use "local"']


def test_a_missing_file_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.json: there is no such file; make one with `hf-assets init`, or .*HF_ASSETS_CONFIG"
    ):
        loading.load(tmp_path / "none.json")
    with pytest.raises(ConfigError, match=r"is a folder; name the file in it"):
        loading.load(tmp_path)
    (tmp_path / "latin.json").write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        loading.load(tmp_path / "latin.json")


PLACED = """{
\t"model": {"pretrained_model_name_or_path": "user/model"},
\t"datasets": [
\t\t{
\t\t\t"id": "a", "type": "huggingface",
\t\t\t"huggingface": {"crop": 3},
\t\t\t"filter_func": {"quality_thresholds": {"a.b[0]": "x", "a": "ü", "c\\u0064": "y"}, "collection": ["b", 5]}
\t\t},
\t\t{"id": "b", "type": "huggingface", "dataset_name": "user/b", "id": "c", "split": "", "resolution": NaN},
\t\t7
\t],
\t"refresh": {}
}
"""


def test_each_mistake_is_reported_with_its_line_and_column(tmp_path: Path) -> None:
    """That of its key or its item of a list; of what is missing, that of the object which lacks it."""
    file = tmp_path / "datasets.json"
    file.write_bytes(PLACED.replace("\n", "\r\n").encode("utf-8-sig"))
    with pytest.raises(ConfigError) as caught:
        loading.load(file)
    lines = [re.fullmatch(r"(.+) \(line (\d+), column (\d+)\)", line) for line in str(caught.value).splitlines()]
    found = [(line[1].removeprefix(f"{file}: "), int(line[2]), int(line[3])) for line in lines if line]
    texts = [PLACED.splitlines()[line - 1][column - 1 :] for _, line, column in found]
    assert {(said.split(": ")[0], text.split(",")[0]) for (said, *_), text in zip(found, texts, strict=True)} == {
        ("datasets[1].id", '"id": "c"'),  # the second
        ("datasets[1].resolution", '"resolution": NaN}'),
        ("refresh", '"refresh": {}'),
        ("datasets[0].dataset_name", "{"),
        ("datasets[0].huggingface.crop", '"crop": 3}'),
        ("datasets[0].filter_func.quality_thresholds.a.b[0]", '"a.b[0]": "x"'),
        ("datasets[0].filter_func.quality_thresholds.a", '"a": "ü"'),
        ("datasets[0].filter_func.quality_thresholds.cd", '"c\\u0064": "y"}'),
        ("datasets[0].filter_func.collection[1]", "5]}"),
        ("datasets[1].split", '"split": ""'),
        ("datasets[2]", "7"),
    }
    assert caught.value.located.splitlines() == [f"{file}:{line}:{column}: {said}" for said, line, column in found]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{\n  3", "2:3: is not JSON: texts and keys stand in double quotes"),
        ("\n 3", '2:2: holds 3; write an object with "model" and "datasets"'),
    ],
)
def test_a_mistake_of_the_whole_file_has_a_place_too(text: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "datasets.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        loading.load(file)
    assert caught.value.located == f"{file}:{line}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"datasets": [],}', "a comma stands before the closing }; remove it (line 1, column"),
        ('{"datasets": [1,]}', "a comma stands before the closing ]; remove it"),
        ('{"datasets": [1,\n  ]}', "a comma stands before the closing ]; remove it"),
        ("{'datasets': []}", "texts stand in double quotes"),
        ("{\"a\": 'b'}", "texts stand in double quotes"),
        ('{\n  // mine\n  "a": 1}', "comments are not part of JSON"),
        ('{"a": 1 # mine\n}', "comments are not part of JSON"),
        ('{"a": True}', "true is written in small letters"),
        ('{"a": None}', "nothing is written null"),
        ('{"a": 1 "b": 2}', "a comma is missing, or a bracket isn't closed (line 1, column 9)"),
        ('{"a": 1, "b": [', "Expecting value"),
        ('{"a": 1', "a comma is missing, or a bracket isn't closed"),
        ('{"a": 1}}', "something stands behind the end (line 1, column 9)"),
        ('{"a": "C:\\data"}', "write \\\\ for \\ in a text, or / in a path"),
        ('{"a": "b\nc"}', "a text ends on the line that it begins on"),
        ('{"a": "b\x01"}', "'\\x01' stands in a text as it is"),
        ('{"a": 064}', "numbers are written like 1024"),
        ('{"a": .5}', "numbers are written like 1024"),
        ('{"a": /data/pictures}', "texts and keys stand in double quotes"),
        ("{a: 1}", "texts and keys stand in double quotes (line 1, column 2)"),
        ('{"a" = 1}', "a colon stands between a key and its value"),
        ('{"a":\u00a01}', "a space that isn't one of JSON's stands here"),
        ('{"a": \u201cb\u201d}', "texts stand in straight double quotes"),
        ('{"a": `b`}', "texts stand in straight double quotes"),
        ('{"a": "b"\uff0c "c": 1}', "a comma or colon of another script stands here"),
        ('{"a"\uff1a "b"}', "a comma or colon of another script stands here"),
        ('{"a" "b"}', "a colon is missing between a key and its value"),
        ('{"a": 1; "b": 2}', "commas stand between entries, not semicolons"),
        ('{"a": 1_024}', "numbers are written like 1024"),
        ('{"a": 1,024, "b": 2}', "numbers are written like 1024"),
        ('{"a": 0x10}', "numbers are written like 1024"),
        ('{"a": (512, 512)}', "lists stand in [ ], not in ( )"),
        ('{"a": [1, ...]}', "three dots stand for nothing in JSON"),
        ('{\n<<<<<<< HEAD\n"a": 1}', "marks of an unfinished merge stand here"),
        ("# mine\nmodel:\n  dtype: float32\n", "this is YAML; write the same as JSON"),
        ("---\ndatasets: []\n", "this is YAML; write the same as JSON"),
        ('[[datasets]]\nid = "a"\n', "this is TOML; write the same as JSON"),
        ("resolution = 512\n", "this is TOML; write the same as JSON"),
        ('config = {"a": 1}', "this is Python; write what it holds as JSON"),
        ("<!DOCTYPE html>\n<html>", "this is a page of HTML; fetch the file itself"),
        ('```json\n{"a": 1}\n```', "the lines with ``` around it are not part of it"),
    ],
)
def test_what_json_does_not_have_is_named(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "datasets.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        loading.load(file)
    assert f"is not JSON: {says}" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('{"a": 1}'.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "is UTF-16 or UTF-32 text"),
        ('{"a": 1}'.encode("utf-32"), "is UTF-32 text"),
        (
            '{\r\n"\u00fc": "\u00e9"}'.encode("cp1252"),
            "byte 0xfc is no character of it; save it as UTF-8 (line 2, column 2)",
        ),
        (
            '\ufeff{"\u00fc": "'.encode() + b"\xe9",
            "byte 0xe9 is no character of it; save it as UTF-8 (line 1, column 8)",
        ),
    ],
)
def test_another_encoding_is_named(data: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "datasets.json"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        loading.load(file)
    assert says in str(caught.value)

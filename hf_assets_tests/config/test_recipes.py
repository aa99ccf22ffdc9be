"""What a valid config file becomes: defaults, folders, and recipes whose parts are equal exactly where bytes are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hf_assets.config import cron, loading
from hf_assets.config.blocks import FilterFunc
from hf_assets.config.config_file import ONLY_FOR, Dataset, EntryKeys, Model, TextEmbeds, VaeOverride
from hf_assets.config.defaults import with_defaults
from hf_assets.config.loading import Config
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.config.trainer_keys import NOT_YET, TRAINER_ONLY
from hf_assets.errors import ConfigError
from hf_assets.stages.audio import AudioRules
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import GeometryKeys

MODEL = {"pretrained_model_name_or_path": "user/model"}
ENTRY = {"id": "a", "type": "huggingface", "dataset_name": "user/a"}
PARTS: dict[str, Callable[[Recipe], Any]] = {
    "source": lambda recipe: recipe.source,
    "image": lambda recipe: recipe.media_column,
    "filter": lambda recipe: recipe.filter,
    "captions": lambda recipe: recipe.captions,
    "geometry": lambda recipe: getattr(recipe.settings, "geometry", ""),
    "composite": lambda recipe: getattr(recipe.settings, "composite", None) or "",
    "frames": lambda recipe: getattr(recipe.settings, "frames", ""),
    "rate": lambda recipe: getattr(recipe.settings, "fps_column", None) or "",
    "vae": lambda recipe: recipe.model.without_text,
    "text": lambda recipe: recipe.model.without_vae,
}


def load(content: Any, folder: Path) -> Config:
    folder.mkdir(exist_ok=True)
    file = folder / "datasets.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return loading.load(file)


def recipe_of(folder: Path, entry: dict[str, Any] | None = None, model: dict[str, Any] | None = None) -> Recipe:
    content = {"model": {**MODEL, **(model or {})}, "datasets": [{**ENTRY, **(entry or {})}]}
    return load(content, folder).recipes[0]


def versions(recipe: Recipe) -> dict[str, str]:
    return {name: code_version(1, part(recipe)) for name, part in PARTS.items()}


# Key, another value than in `BASE`, and the parts whose bytes it changes.
BASE = {
    "filter_func": {"quality_thresholds": {"clip": 0.3}, "min_width": 64, "min_height": 64},
    "resolution": 1024,
    "crop": True,
    "instance_prompt": "sks",
}
GRID = {"enabled": True, "image_count": 4}
# Values of keys of the trainer that take no 7.
OF_THE_TRAINER = {"is_regularisation_data": True, "caption_dropout_probability": 0.1}
EDITS: list[tuple[str, Any, set[str]]] = [
    ("id", "b", set()),
    ("dataset_name", "user/b", {"source"}),
    ("dataset_config", "b", {"source"}),
    ("split", "test", {"source"}),
    ("revision", "v1", {"source"}),
    ("data_files", ["a/*.csv"], {"source"}),
    ("streaming", True, set()),
    ("cache_dir", "elsewhere", set()),
    ("text_embeds", None, set()),
    ("image_column", "picture", {"image"}),
    ("cache_dir_vae", "elsewhere", set()),
    ("image_embeds", None, set()),
    ("caption_column", "meta.text", {"captions"}),
    ("caption_column", ["caption", "tags"], {"captions"}),
    ("fallback_caption_column", "tags", {"captions"}),
    ("description_column", "about", {"captions"}),
    ("caption_strategy", "instanceprompt", {"captions"}),
    ("instance_prompt", "other", set()),  # nothing asks for it
    ("prepend_instance_prompt", True, {"captions"}),
    ("only_instance_prompt", True, {"captions"}),
    ("caption_shuffle", {"enable": True}, {"captions"}),
    ("caption_filter_list", ["bad"], {"captions"}),
    ("where", "score > 3", {"filter"}),
    ("max_num_samples", 9, {"filter"}),
    ("filter_func", {**BASE["filter_func"], "collection": "photo"}, {"filter"}),  # type: ignore[dict-item]
    ("filter_func", {**BASE["filter_func"], "where": "a = 1"}, {"filter"}),  # type: ignore[dict-item]
    ("composite_image_config", GRID, {"filter", "composite"}),
    ("composite_image_config", {**GRID, "enabled": False}, set()),
    ("decode", "fast", set()),  # in the keys of latents alone: `kinds.test_image`
    ("quality_column", "scores", {"filter"}),
    ("filter_func", {**BASE["filter_func"], "min_width": 65}, {"filter"}),  # type: ignore[dict-item]
    ("filter_func", {**BASE["filter_func"], "min_height": 65}, {"filter"}),  # type: ignore[dict-item]
    ("filter_func", {**BASE["filter_func"], "quality_thresholds": {"clip": 0.31}}, {"filter"}),  # type: ignore[dict-item]
    ("filter_func", {**BASE["filter_func"], "quality_column": "scores"}, {"filter"}),  # type: ignore[dict-item]
    ("resolution", 512, {"geometry"}),
    ("resolution_type", "pixel", {"geometry"}),
    ("minimum_image_size", 256, {"geometry"}),
    ("minimum_aspect_ratio", 0.5, {"geometry"}),
    ("maximum_aspect_ratio", 2.0, {"geometry"}),
    ("max_upscale_threshold", 0.2, {"geometry"}),
    ("crop", False, {"geometry"}),
    ("crop_aspect", "preserve", {"geometry"}),
    ("crop_style", "corner", {"geometry"}),
    ("aspect_bucket_alignment", 32, {"geometry"}),
    ("aspect_bucket_rounding", 3, {"geometry"}),
    ("error_budget", 0.1, set()),
    ("checks", {}, set()),
    ("owners", ["team:data"], set()),
    ("export", [{"format": "parquet", "to": "out"}], set()),
    *((key, OF_THE_TRAINER.get(key, 7), set()) for key in sorted(TRAINER_ONLY)),
]
CLIPS = {**BASE, "dataset_type": "video"}
FRAMES = {"num_frames": 9, "min_frames": 5}
EDITS_OF_CLIPS: list[tuple[str, Any, set[str]]] = [
    ("video_column", "clip", {"image"}),
    ("video", FRAMES, {"frames"}),
    ("video", {"is_i2v": True}, {"frames"}),
    ("video", {"num_frames": 125, "min_frames": 125}, {"frames"}),
    ("num_frames_column", "frames", {"filter"}),
    ("fps_column", "rate", {"rate"}),
]
# Keys with one value, or that come in pairs and are tested below. Those of audio are tested in `test_audio`.
FIXED = {"type", "dataset_type", "metadata_backend", "disabled", "trainer"}
BUCKET = {"aws_endpoint_url", "aws_region_name"}
FOLDER = {"instance_data_dir", "parquet", "csv", "disable_multiline_split", "follow_links"}
OF_SOUND = set(ONLY_FOR[("audio",)])
PAIRS = {"width_column", "height_column", "maximum_image_size", "target_downsample_size", "crop_aspect_buckets"}


@pytest.mark.parametrize(
    ("base", "key", "value", "changed"),
    [*((BASE, *edit) for edit in EDITS), *((CLIPS, *edit) for edit in EDITS_OF_CLIPS)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_changes_the_versions_of_just_what_reads_it(
    base: dict[str, Any], key: str, value: Any, changed: set[str], tmp_path: Path
) -> None:
    before = versions(recipe_of(tmp_path, base))
    texts = {"id": "texts", "dataset_type": "text_embeds", "cache_dir": "texts"}
    caches = {"text_embeds", "image_embeds"}
    edit = {key: value} if key not in caches else {key: "texts"}
    others = [{**texts, "dataset_type": key}] if key in caches else []
    content = {"model": MODEL, "datasets": [{**ENTRY, **base, **edit}, *others]}
    after = versions(load(content, tmp_path).recipes[0])
    assert {part for part in PARTS if before[part] != after[part]} == changed


def test_every_key_is_in_the_table_above() -> None:
    assert {key for key, _, _ in EDITS + EDITS_OF_CLIPS} == (
        Dataset.model_fields.keys() - FIXED - PAIRS - FOLDER - OF_SOUND - BUCKET
    ) | TRAINER_ONLY


def test_limits_of_frames_filter_by_a_column_and_other_settings_of_frames_dont(tmp_path: Path) -> None:
    base = {**CLIPS, "num_frames_column": "frames"}
    before = versions(recipe_of(tmp_path, {**base, "video": FRAMES}))
    for edit, changed in (
        ({**FRAMES, "num_frames": 17}, {"frames"}),
        ({**FRAMES, "min_frames": 6}, {"frames", "filter"}),
        ({**FRAMES, "max_frames": 20}, {"frames", "filter"}),
    ):
        after = versions(recipe_of(tmp_path, {**base, "video": edit}))
        assert {part for part in PARTS if before[part] != after[part]} == changed


TABLE = {"path": "captions.csv", "filename_column": "name", "caption_column": "text"}


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ({}, set()),
        ({"instance_data_dir": "others"}, {"source"}),
        ({"caption_strategy": "textfile"}, {"source"}),
        ({"caption_strategy": "textfile", "disable_multiline_split": True}, {"source"}),
        ({"caption_strategy": "instanceprompt", "instance_prompt": "a cat"}, {"source", "captions"}),
        ({"caption_strategy": "csv", "csv": TABLE}, {"source"}),
        ({"caption_strategy": "parquet", "parquet": {**TABLE, "default_caption": "x"}}, {"source"}),
    ],
)
def test_a_folder_of_media_is_a_source_too(edit: dict[str, Any], changed: set[str], tmp_path: Path) -> None:
    entry = {"id": "a", "type": "local", "instance_data_dir": "pictures"}
    before, after = (
        load({"model": MODEL, "datasets": [{**entry, **more}]}, tmp_path).recipes[0]
        for more in ({"caption_strategy": "filename", "metadata_backend": "discovery"}, edit)
    )
    assert before.source.dataset_name == str(tmp_path / "pictures")
    assert {part for part in PARTS if versions(before)[part] != versions(after)[part]} == changed


@pytest.mark.parametrize("strategy", ["textfile", "filename", "instanceprompt", "parquet"])
def test_with_metadata_backend_parquet_a_table_gives_sizes_wherever_captions_come_from(
    strategy: str, tmp_path: Path
) -> None:
    table = {"path": "sizes.parquet", "width_column": "w", "height_column": "h", "default_caption": "x"}
    entry = {"id": "a", "type": "local", "instance_data_dir": ".", "parquet": table, "metadata_backend": "parquet"}
    entry |= {"caption_strategy": strategy, "instance_prompt": "a cat"}
    recipe = load({"model": MODEL, "datasets": [entry]}, tmp_path).recipes[0]
    folder = recipe.source.folder
    assert folder is not None
    assert folder.table is not None
    assert folder.captions == ("table" if strategy == "parquet" else strategy)
    assert folder.table.caption_columns == (("caption",) if strategy == "parquet" else ())
    assert folder.table.default == ("x" if strategy == "parquet" else None)
    assert (recipe.filter.width_column, recipe.filter.height_column) == ("w", "h")


def test_two_tables_of_one_folder_are_refused(tmp_path: Path) -> None:
    entry = {"id": "a", "type": "local", "instance_data_dir": ".", "metadata_backend": "parquet"}
    entry |= {"caption_strategy": "csv", "parquet": {"path": "a"}, "csv": {"path": "b"}}  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"datasets\[0\].parquet: is given beside csv; keep one"):
        load({"model": MODEL, "datasets": [entry]}, tmp_path)


def test_size_columns_of_a_table_of_captions_are_those_of_the_entry(tmp_path: Path) -> None:
    table = {**TABLE, "width_column": "w", "height_column": "h"}
    entry = {"id": "a", "type": "local", "instance_data_dir": ".", "caption_strategy": "csv", "csv": table}
    rules = load({"model": MODEL, "datasets": [entry]}, tmp_path).recipes[0].filter
    assert (rules.width_column, rules.height_column) == ("w", "h")


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ({"pretrained_model_name_or_path": "user/other"}, {"vae", "text"}),
        ({"family": "sdxl"}, set()),  # the repository that is given wins
        ({"family": "sdxl", "flavour": "refiner-1.0"}, set()),
        ({"tokenizer_max_length": 128}, {"text"}),
        ({"encode_prompt": {"max_sequence_length": 77}}, {"text"}),
        ({"encode_prompt": {}}, set()),
        ({"text": False}, {"captions", "text"}),
        ({"text": True}, set()),
        ({"revision": "v1"}, {"vae", "text"}),
        ({"variant": "fp16"}, {"vae", "text"}),
        ({"dtype": "float32"}, {"vae", "text"}),
        ({"embeds_dtype": "float8_e4m3fn"}, {"text"}),
        ({"embeds_dtype": "bfloat16"}, set()),  # the dtype that is computed in
        ({"text_quantization": "8bit"}, {"text"}),
        ({"latents": "moments"}, {"vae"}),
        ({"latents": "sample"}, {"vae"}),
        ({"vae_tiling": True}, {"vae"}),
        ({"vae_norms": "float32"}, {"vae"}),
        ({"vae_weights": "float8"}, {"vae"}),
        ({"t5": MODEL}, {"text"}),
        ({"t5": {**MODEL, "subfolder": "text_encoder_2"}}, {"text"}),
        ({"vae": MODEL}, {"vae"}),
        ({"vae": {**MODEL, "revision": "v1"}}, {"vae"}),
        ({"vae": {**MODEL, "variant": "fp16"}}, {"vae"}),
        ({"vae": {**MODEL, "subfolder": "vae"}}, {"vae"}),
    ],
)
def test_a_key_of_the_model_changes_the_sides_that_it_is_about(
    edit: dict[str, Any], changed: set[str], tmp_path: Path
) -> None:
    before, after = versions(recipe_of(tmp_path)), versions(recipe_of(tmp_path, model=edit))
    assert {part for part in PARTS if before[part] != after[part]} == changed


def test_different_vae_settings_have_different_versions(tmp_path: Path) -> None:
    overrides = [{**MODEL, key: "x"} for key in VaeOverride.model_fields]
    assert len({versions(recipe_of(tmp_path, model={"vae": vae}))["vae"] for vae in [MODEL, *overrides]}) == 5
    tested = {"revision", "variant", "vae", "dtype", "latents", "vae_tiling", "embeds_dtype", "text_quantization"}
    tested |= {"vae_norms", "vae_weights", "family", "flavour", "tokenizer_max_length", "t5", "encode_prompt", "text"}
    assert {*tested, *MODEL} == set(Model.model_fields)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"resolution": 1024}, {"resolution": 1024.0}),
        ({"resolution": 1024}, {}),  # a default written out
        ({"split": "train"}, {}),
        ({"minimum_image_size": 0}, {}),
        ({"crop": "False"}, {"crop": False}),
        ({"crop": " TRUE "}, {"crop": True}),
        ({"crop_style": "centre"}, {"crop_style": "center"}),
        ({"caption_column": "text"}, {"huggingface": {"caption_column": "text"}}),
        ({"caption_column": "text", "huggingface": {"caption_column": "text"}}, {"caption_column": "text"}),
        (
            {"quality_column": "q", "filter_func": {"quality_thresholds": {"a": 1}}},
            {"filter_func": {"quality_thresholds": {"a": 1.0}, "quality_column": "q"}},
        ),
        (
            {"filter_func": {"quality_thresholds": {"a": 1, "b": 2}}},
            {"huggingface": {"filter_func": {"quality_thresholds": {"b": 2, "a": 1}}}},
        ),
    ],
)
def test_the_same_said_otherwise_is_the_same_recipe(one: dict[str, Any], other: dict[str, Any], tmp_path: Path) -> None:
    assert recipe_of(tmp_path, one) == recipe_of(tmp_path, other)


def test_size_columns_change_the_filter(tmp_path: Path) -> None:
    pair = {"width_column": "w", "height_column": "h"}
    swapped = {"width_column": "h", "height_column": "w"}
    found = [versions(recipe_of(tmp_path, {**BASE, **edit})) for edit in ({}, pair, swapped)]
    assert len({one["filter"] for one in found}) == 3
    assert len({one["source"] + one["geometry"] + one["captions"] for one in found}) == 1


def test_trainer_keys_are_kept_for_the_reader(tmp_path: Path) -> None:
    entry = {"repeats": 3, "huggingface": {"num_proc": 16}, "probability": 0.7}
    assert recipe_of(tmp_path, entry).trainer == {"repeats": 3, "num_proc": 16, "probability": 0.7}


def test_no_key_is_both_known_and_not_supported() -> None:
    known = {*Dataset.model_fields, *FilterFunc.model_fields, *TextEmbeds.model_fields, *Model.model_fields}
    assert not NOT_YET & (known | TRAINER_ONLY)


def test_folders_lie_beside_the_file_and_default_to_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/someone")
    folders = recipe_of(tmp_path).folders
    assert folders.metadata == tmp_path / "cache/a/huggingface_metadata/a"
    assert folders.latents == tmp_path / "cache/a/vae/a"
    assert folders.embeds == tmp_path / "cache/text"
    assert recipe_of(tmp_path, {"cache_dir": "../x"}).folders.latents == tmp_path.parent / "x/vae/a"
    assert recipe_of(tmp_path, {"cache_dir": "/data"}).folders.latents == Path("/data/vae/a")
    assert recipe_of(tmp_path, {"cache_dir": "~/data"}).folders.latents == Path("/home/someone/data/vae/a")


def test_a_relative_path_to_the_file_gives_absolute_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"model": MODEL, "datasets": [ENTRY]}))
    monkeypatch.chdir(tmp_path)
    assert loading.load(Path("d.json")).recipes[0].folders.latents == tmp_path / "cache/a/vae/a"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("user/a", "user/a"),
        ("a", "a"),
        ("user/here", "{folder}/user/here"),  # exists as a folder beside the file
        ("./none", "{folder}/none"),
        ("../none", "{parent}/none"),
        ("/none", "/none"),
        ("x/y/z", "{folder}/x/y/z"),  # no Hub id has two slashes
        ("~/none", "/home/someone/none"),
    ],
)
def test_a_name_is_a_hub_id_unless_it_is_or_looks_like_a_folder(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    (tmp_path / "user" / "here").mkdir(parents=True)
    recipe = recipe_of(tmp_path, {"dataset_name": name}, {"pretrained_model_name_or_path": name})
    assert recipe.source.dataset_name == expected.format(folder=tmp_path, parent=tmp_path.parent)
    assert recipe.model.pipeline.repository == recipe.source.dataset_name


def test_text_embeds_go_to_the_named_entry_else_to_the_default_one(tmp_path: Path) -> None:
    def cache(name: str, **more: Any) -> dict[str, Any]:
        return {"id": name, "dataset_type": "text_embeds", "type": "local", "cache_dir": name, **more}

    content = {
        "model": MODEL,
        "datasets": [
            cache("one"),
            cache("two", default="True", write_batch_size=8),
            cache("gone", disabled=True, default=True),
            ENTRY,
            {**ENTRY, "id": "b", "text_embeds": "one"},
        ],
    }
    assert [recipe.folders.embeds for recipe in load(content, tmp_path).recipes] == [tmp_path / "two", tmp_path / "one"]


def test_a_disabled_entry_is_left_out_whatever_it_holds(tmp_path: Path) -> None:
    local = {"id": "a", "type": "local", "instance_data_dir": "/x", "disabled": "true"}
    assert [recipe.id for recipe in load({"model": MODEL, "datasets": [local, ENTRY]}, tmp_path).recipes] == ["a"]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text(json.dumps({"model": MODEL, "datasets": [ENTRY]}), encoding="utf-8-sig")
    assert loading.load(file).recipes[0].id == "a"


@pytest.mark.parametrize(
    ("schedule", "is_right"),
    [
        ("0 3 * * *", True),
        ("*/15 0-6,22 1,15 jan-mar mon-fri", True),
        ("0 0 * * 7", True),
        ("0-30/10 * * * *", True),
        ("59 23 31 12 SUN", True),
        ("60 * * * *", False),
        ("* 24 * * *", False),
        ("* * 0 * *", False),
        ("* * * 13 *", False),
        ("* * * * 8", False),
        ("* * * *", False),
        ("* * * * * *", False),
        ("@daily", False),
        ("30-10 * * * *", False),
        ("*/0 * * * *", False),
        ("a * * * *", False),
        ("1, * * * *", False),
    ],
)
def test_a_schedule_that_passes_is_one_that_dagster_takes(schedule: str, is_right: bool) -> None:
    assert (cron.mistake(schedule) is None) is is_right
    if is_right:
        dg.ScheduleDefinition(name="refresh", target=dg.AssetSelection.all(), cron_schedule=schedule)


def bare(folder: Path, *entries: dict[str, Any], **settings: Any) -> Config:
    """SimpleTuner's two files."""
    (folder / "config.json").write_text(json.dumps(settings))
    return load(list(entries), folder)


@pytest.mark.parametrize("dashes", ["", "--"])
def test_a_bare_list_takes_the_model_and_the_defaults_from_the_config_json_beside_it(
    dashes: str, tmp_path: Path
) -> None:
    settings = {
        "pretrained_model_name_or_path": "user/model",
        "pretrained_vae_model_name_or_path": "user/vae",
        "revision": None,
        "variant": "fp16",
        "vae_dtype": "fp32",
        "resolution": "512",
        "resolution_type": "pixel",
        "aspect_bucket_alignment": 32,
        "instance_prompt": "sks",
        "train_batch_size": 4,
        "cache_dir": "caches",
        "model_type": "lora",
        "learning_rate": 1e-4,
    }
    entries = (ENTRY, {**ENTRY, "id": "b", "resolution": 1024, "train_batch_size": 2, "only_instance_prompt": "true"})
    first, second = bare(tmp_path, *entries, **{dashes + key: value for key, value in settings.items()}).recipes
    pipeline = first.model.pipeline
    assert (pipeline.repository, pipeline.revision, pipeline.variant) == ("user/model", None, "fp16")
    assert pipeline.vae is not None
    assert (pipeline.vae.repository, first.model.dtype) == ("user/vae", "float32")
    one, other = first.settings.geometry, second.settings.geometry
    assert (one.resolution, one.resolution_type, one.aspect_bucket_alignment) == (512, "pixel", 32)
    assert (other.resolution, other.aspect_bucket_alignment) == (1024, 32)
    assert (first.trainer, second.trainer) == ({"train_batch_size": 4}, {"train_batch_size": 2})
    assert (first.captions.instance_prompt, second.captions.instance_prompt) == (None, "sks")
    assert first.folders.metadata == tmp_path / "caches/a/huggingface_metadata/a"
    assert first.folders.embeds == second.folders.embeds == tmp_path / "caches/text"


def test_a_bare_list_may_hold_caches_and_entries_that_only_a_trainer_uses(tmp_path: Path) -> None:
    config = bare(
        tmp_path,
        {**ENTRY, "repeats": 2, "vae_cache_clear_each_epoch": False, "image_embeds": "latents"},
        {"id": "texts", "dataset_type": "text_embeds", "default": True, "cache_dir": "texts", "write_batch_size": 8},
        {"id": "latents", "dataset_type": "image_embeds", "cache_dir": "latents"},
        {"id": "others", "dataset_type": "conditioning_image_embeds", "cache_dir": "others"},
        {**ENTRY, "id": "off", "disabled": True},
        {**ENTRY, "id": "off2", "disable": "true"},
        pretrained_model_name_or_path="user/model",
    )
    (recipe,) = config.recipes
    assert (recipe.folders.latents, recipe.folders.embeds) == (tmp_path / "latents/a", tmp_path / "texts")
    assert recipe.trainer == {"repeats": 2, "vae_cache_clear_each_epoch": False}
    assert config.notes == (
        "[0]: for the trainer only: repeats, vae_cache_clear_each_epoch",
        "[1]: for the trainer only: write_batch_size",
        '[3] is for the trainer only, as dataset_type is "conditioning_image_embeds": it keeps a trainer\'s own caches',
    )


def test_pictures_for_evaluation_are_pictures(tmp_path: Path) -> None:
    config = bare(tmp_path, {**ENTRY, "dataset_type": "eval"}, pretrained_model_name_or_path="user/model")
    assert config.recipes[0].kind == "image"
    assert config.notes == ('[0] is made like a dataset of images; that dataset_type is "eval" is for the trainer',)


def test_text_that_says_false_is_false_and_whole_numbers_are_aspects(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, {"crop": "False"}).settings.geometry.crop is False
    aspects = {"crop": "True", "crop_aspect": "random", "crop_aspect_buckets": [1, {"aspect": 2}, 0.5]}
    buckets = recipe_of(tmp_path, aspects).settings.geometry.crop_aspect_buckets
    assert [bucket.aspect for bucket in buckets or ()] == [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["4k", "s/(cat)s/\\1/"], [("4k", ""), ("(cat)s", "\\1")]),
        (["s/a/b/g", "s|A|b|gi"], [("a", "b"), ("(?i)A", "b")]),
        ("list.txt", [("4k", ""), ("a/b", "c")]),
        ("list.json", [("one", "")]),
    ],
)
def test_a_filter_list_stands_in_the_config_or_in_a_file(written: Any, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("4k\n\ns|a/b|c|\n")
    (tmp_path / "list.json").write_text('["one"]')
    found = recipe_of(tmp_path, {"caption_filter_list": written}).captions.replacements
    assert [tuple(one) for one in found] == expected


def test_the_filter_list_of_a_text_cache_holds_for_all_that_use_it(tmp_path: Path) -> None:
    texts = {"id": "t", "dataset_type": "text_embeds", "cache_dir": "t", "caption_filter_list": ["b"]}
    entries = [{**ENTRY, "text_embeds": "t", "caption_filter_list": ["a"]}, texts]
    (recipe,) = load({"model": MODEL, "datasets": entries}, tmp_path).recipes
    assert [one.pattern for one in recipe.captions.replacements] == ["a", "b"]


def test_a_filter_function_is_found_beside_the_config_and_known_by_its_source(tmp_path: Path) -> None:
    rules = {"function": "mine:keep", "columns": ["score"], "batched": True}
    content = {"model": MODEL, "plugins": ["mine"], "datasets": [{**ENTRY, "filter_func": rules}]}
    versions_of = []
    for source in ("def keep(batch): return batch['score']", "def keep(batch): return [True] * len(batch)"):
        (tmp_path / "mine.py").write_text(source)
        (recipe,) = load(content, tmp_path).recipes
        assert recipe.filter.custom is not None
        assert recipe.filter.custom.file == tmp_path / "mine.py"
        assert "score" in recipe.required_columns
        versions_of.append(versions(recipe)["filter"])
    assert versions_of[0] != versions_of[1]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "mine.py").write_text(source)
    assert versions(load(content, moved).recipes[0])["filter"] == versions_of[1]


def test_a_key_of_media_is_written_once() -> None:
    assert not set(EntryKeys.model_fields) & set(GeometryKeys.model_fields)
    blocks = {"audio": AudioRules, "video": FrameRules, "composite_image_config": CompositeRules}
    assert {name: Dataset.model_fields[name].annotation for name in blocks} == blocks


@pytest.mark.parametrize(
    ("entry", "kind", "own"),
    [
        ({"composite_image_config": GRID}, "image", {"geometry", "composite"}),
        ({"dataset_type": "video", "fps_column": "rate"}, "video", {"geometry", "frames", "fps_column"}),
        ({"dataset_type": "audio"}, "audio", {"part"}),
    ],
)
def test_a_recipe_carries_the_settings_of_its_kind_and_of_no_other(
    entry: dict[str, Any], kind: str, own: set[str], tmp_path: Path
) -> None:
    recipe = recipe_of(tmp_path, entry)
    assert (recipe.kind, set(recipe.model_dump()["settings"])) == (kind, own | {"kind"})
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_defaults_fill_in_what_an_entry_leaves_out_key_by_key() -> None:
    entry = {"crop": True, "video": {"num_frames": 9}}
    first, then = {"video": {"num_frames": 5, "is_i2v": True}}, {"video": {"is_i2v": False, "max_frames": 8}, "crop": 0}
    assert with_defaults(entry, first, then) == {
        "crop": True,
        "video": {"num_frames": 9, "is_i2v": True, "max_frames": 8},
    }
    assert entry == {"crop": True, "video": {"num_frames": 9}}

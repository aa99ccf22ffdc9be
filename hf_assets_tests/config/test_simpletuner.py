"""SimpleTuner's own files, as they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hf_assets.building import build_definitions
from hf_assets.cli import app
from hf_assets.config import loading
from hf_assets.config.settings import VideoSettings
from hf_assets.errors import ConfigError
from hf_assets_tests.config.simpletuner_files import HUB, LOCAL, SETTINGS, TEXTS, mistakes, pair, written

# --- the model, by its family


@pytest.mark.parametrize("dashes", ["", "--"])
@pytest.mark.parametrize(
    ("settings", "repository", "reason"),
    [
        ({"model_family": "sdxl"}, "stabilityai/stable-diffusion-xl-base-1.0", 'default flavour "base-1.0"'),
        (
            {"model_family": "flux", "model_flavour": "dev"},
            "black-forest-labs/flux.1-dev",
            'family "flux", flavour "dev"',
        ),
        (
            {"model_family": "sd1x", "model_flavour": 1.5},
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            'flavour "1.5"',
        ),
        (
            {"model_family": "flux", "model_flavour": "dev", "pretrained_model_name_or_path": "user/mine"},
            "user/mine",
            "pretrained_model_name_or_path",
        ),
        ({"model_family": "flux", "pretrained_model_name_or_path": None}, "black-forest-labs/flux.1-krea-dev", "krea"),
        # a family that came after the table, with a repository of its own
        ({"model_family": "newest", "pretrained_model_name_or_path": "user/new"}, "user/new", "pretrained_model"),
    ],
)
def test_a_family_and_a_flavour_name_the_repository(
    settings: dict[str, Any], dashes: str, repository: str, reason: str, tmp_path: Path
) -> None:
    file = written(tmp_path, {dashes + key: value for key, value in {**SETTINGS, **settings}.items()}, [HUB])
    config = loading.load(file)
    assert config.recipes[0].model.pipeline.repository == repository
    assert config.model.startswith(f"model {repository}: ")
    assert reason in config.model
    assert config.refusal is None


@pytest.mark.parametrize(
    ("model", "repository"),
    [
        ({"family": "flux", "flavour": "dev"}, "black-forest-labs/flux.1-dev"),
        ({"family": "sdxl"}, "stabilityai/stable-diffusion-xl-base-1.0"),
        ({"family": "sdxl", "pretrained_model_name_or_path": "user/mine"}, "user/mine"),
    ],
)
def test_our_own_form_takes_them_too(model: dict[str, Any], repository: str, tmp_path: Path) -> None:
    config = loading.parse({"model": model, "datasets": [HUB]}, tmp_path / "datasets.json")
    assert config.recipes[0].model.pipeline.repository == repository


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"model_family": "sdlx"}, 'model_family: is "sdlx", which is not known; did you mean "sdxl"?'),
        ({"model_family": "sdlx", "pretrained_model_name_or_path": "a/b"}, 'did you mean "sdxl"?'),
        ({"model_family": "SDXL"}, 'is "SDXL", which is not known; did you mean "sdxl"?'),
        ({"model_family": "nothing"}, "which is not known; known are ace_step, anima, "),
        ({"model_family": 3}, "model_family: is 3; write text"),
        ({"model_flavour": "base"}, 'model_flavour: is "base", which family "sdxl" has not; did you mean "base-1.0"?'),
        (
            {"model_family": "deepfloyd"},
            'model_flavour: is missing, which family "deepfloyd" needs; use "i-medium-400m"',
        ),
        ({"model_family": None}, "model_family: is missing; add it, or pretrained_model_name_or_path"),
    ],
)
def test_a_family_or_a_flavour_that_names_none_is_said_where_it_is_written(
    settings: dict[str, Any], line: str, tmp_path: Path
) -> None:
    has_family = isinstance(settings.get("model_family", ""), str)
    [found] = mistakes(tmp_path, {**HUB, "cache_dir": "{model_family}"} if has_family else HUB, **settings)
    assert found.startswith("config.json: model_")
    assert line in found


@pytest.mark.parametrize(
    ("family", "flavour", "why"),
    [
        ("heartmula", "3b", '"heartmula" (HeartMuLa/HeartMuLa-oss-3B) can\'t be encoded, as diffusers has no pipeline'),
        ("deepfloyd", "i-medium-400m", "it works on pixels and has no VAE; choose another family, or name"),
        ("ace_step", "v15-base", "a version in diffusers' is ACE-Step/acestep-v15-base-diffusers"),
    ],
)
def test_a_family_without_a_pipeline_is_refused_by_name(family: str, flavour: str, why: str, tmp_path: Path) -> None:
    """The files are right, and read; nothing can be made from them."""
    config = pair(tmp_path, HUB, model_family=family, model_flavour=flavour)
    for use in (config.usable, lambda: build_definitions(config)):
        with pytest.raises(ConfigError) as caught:
            use()
        assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: model_family: is ")
        assert why in str(caught.value)
        assert "pretrained_model_name_or_path (line 1, column " in str(caught.value)
    own = {"model": {"family": family, "flavour": flavour}, "datasets": [HUB]}
    with pytest.raises(ConfigError, match=r"datasets\.json: model\.family: is "):
        loading.parse(own, tmp_path / "datasets.json").usable()
    named = pair(tmp_path, HUB, model_family=family, model_flavour=flavour, pretrained_model_name_or_path="user/mine")
    assert named.usable() is named


@pytest.mark.parametrize("command", ["check", "plan"])
def test_commands_say_which_model_was_taken_and_refuse_it_before_they_read_anything(
    command: str, tmp_path: Path
) -> None:
    file = written(tmp_path, {**SETTINGS, "model_family": "heartmula", "lr": 1}, [HUB])
    done = CliRunner().invoke(app, [command, "--config", str(file)])
    assert done.exit_code == 2
    assert done.stderr.startswith(
        f'{file}: model_family: is "heartmula" (HeartMuLa/HeartMuLa-oss-3B) can\'t be encoded'
    )
    if command == "check":
        assert done.stdout.splitlines() == [
            'model HeartMuLa/HeartMuLa-oss-3B: family "heartmula", default flavour "3b"; defaults of heartmula: '
            "aspect_bucket_alignment 64",
            "config.json: for the trainer only: lr",
        ]


# --- where the files lie


@pytest.mark.parametrize(
    ("named", "at"),
    [
        ("multidatabackend.json", "project/run/multidatabackend.json"),
        ("data/sets.json", "project/run/data/sets.json"),
        ("config/sets.json", "project/config/sets.json"),  # in a folder above
        ("elsewhere/sets.json", "working/elsewhere/sets.json"),
        ("{env:SETS}/sets.json", "project/run/from_env/sets.json"),
        ("{model_family}.json", "project/run/sdxl.json"),
    ],
)
@pytest.mark.parametrize("wrap", ["", "config", "datasets", "both"])
def test_config_json_names_the_datasets(
    named: str, at: str, wrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    monkeypatch.setenv("SETS", "from_env")
    sets: Any = [{**HUB, "crop": 3}]
    settings: Any = {"--model_family": "sdxl", "--data_backend_config": named}
    if wrap in ("config", "both"):
        settings = {"_metadata": {"name": "x"}, "config": settings}
    if wrap in ("datasets", "both"):
        sets = {"_metadata": {"name": "x"}, "config": sets}
    (tmp_path / at).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / at).write_text(json.dumps(sets))
    run = tmp_path / "project" / "run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError) as caught:
        loading.load(run / "config.json")
    prefix = "config" if wrap in ("datasets", "both") else ""
    assert str(caught.value).startswith(f"{tmp_path / at}: {prefix}[0].crop: is 3; write true or false (line 1, ")
    (tmp_path / at).write_text(json.dumps(sets).replace('"crop": 3', '"crop": "true", "cache_dir_vae": "latents"'))
    [recipe] = loading.load(run / "config.json").recipes
    assert recipe.settings.geometry.crop
    assert recipe.folders.latents == (tmp_path / at).parent / "latents"  # relative to where it is written
    assert recipe.folders.metadata == run / "cache/a/huggingface_metadata/a"  # beside the file that was named


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"data_backend_config": "none.json"},
            'config.json: data_backend_config: is "none.json", but there is no such',
        ),
        ({"data_backend_config": 3}, "config.json: data_backend_config: is 3; write the name of a file"),
        ({"data_backend_config": "{id}.json"}, "holds {id}, which is no placeholder; use {model_family} or {env:NAME}"),
        ({"data_backend_config": "config.json"}, "config.json: holds "),
    ],
)
def test_datasets_that_cant_be_found_are_said_at_the_key_that_names_them(
    settings: dict[str, Any], line: str, tmp_path: Path
) -> None:
    [found] = mistakes(tmp_path, HUB, **settings)
    assert line in found


def test_without_the_key_the_datasets_are_in_the_usual_file(tmp_path: Path) -> None:
    assert loading.load(written(tmp_path, {"model_family": "sdxl"}, [HUB])).recipes[0].id == "a"
    (tmp_path / "multidatabackend.json").unlink()
    with pytest.raises(ConfigError, match=r"data_backend_config: is missing, and there is no multidatabackend\.json"):
        loading.load(tmp_path / "config.json")


def test_a_mistake_is_said_at_the_file_and_the_key_where_it_was_written(tmp_path: Path) -> None:
    """Of values that config.json gives all datasets too, also where only a dataset shows that they are wrong."""
    lines = mistakes(
        tmp_path, {**HUB, "target_downsample_size": 512}, {**HUB, "id": "b"}, **{"--maximum_image_size": 1}
    )
    assert {tuple(line.split(": ")[:2]) for line in lines} == {("config.json", "--maximum_image_size")}
    [line] = mistakes(tmp_path, HUB, {**HUB, "id": "b"}, maximum_image_size=2048)  # once, of two datasets
    assert line.startswith("config.json: maximum_image_size: is 2048, but target_downsample_size is not set")
    [line] = mistakes(tmp_path, {**HUB, "resolution": 1}, resolution_type="pixel")
    assert line.startswith("multidatabackend.json: [0].resolution: is 1 pixels")
    [line] = mistakes(tmp_path, {**HUB, "text_embeds": "x"}, resolution=512)
    assert line.startswith('multidatabackend.json: [0].text_embeds: "x" is the id of no active text_embeds entry')
    lines = mistakes(tmp_path, HUB, resolution="big", **{"--vae_dtype": "int4"})
    assert {tuple(line.split(": ")[:2]) for line in lines} == {
        ("config.json", "resolution"),
        ("config.json", "--vae_dtype"),
    }


def test_a_folder_of_media_is_looked_for_as_the_list_of_datasets_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SimpleTuner runs in a folder above its files, to which the names in them are relative."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "project" / "config" / "run"

    def found() -> str:
        [recipe] = pair(run, {**LOCAL, "instance_data_dir": "data/a"}).recipes
        return recipe.source.dataset_name

    assert found() == str(run / "data/a")  # nowhere: as it is written
    for folder in (tmp_path, tmp_path / "project", run):
        (folder / "data" / "a").mkdir(parents=True)
        assert found() == str(folder / "data/a")


def test_so_are_tables_lists_and_models_that_are_written_as_paths(tmp_path: Path) -> None:
    run = tmp_path / "project/config/run"
    local = {
        **LOCAL,
        "caption_strategy": "parquet",
        "parquet": {"path": "data/texts.parquet"},
        "caption_filter_list": "data/list.txt",
    }

    def found() -> tuple[str, str]:
        [recipe] = pair(run, local, pretrained_model_name_or_path="./data/model").recipes
        assert recipe.source.folder is not None
        assert recipe.source.folder.table is not None
        return recipe.source.folder.table.path, recipe.model.pipeline.repository

    above = tmp_path / "project/data"
    (above / "model").mkdir(parents=True)
    (above / "list.txt").write_text("a photo of")
    assert found() == ("data/texts.parquet", str(above / "model"))
    (above / "texts.parquet").touch()
    assert found() == (str(above / "texts.parquet"), str(above / "model"))


# --- placeholders


def test_placeholders_in_paths_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURES", "/mnt/pictures")
    local = {
        **LOCAL,
        "instance_data_dir": "{env:PICTURES}/{id}",
        "cache_dir_vae": "{output_dir}/vae/{model_family}/{id}",
        "cache_dir": "{output_dir}/x",
        "caption_strategy": "csv",
        "csv": {"path": "{id}.csv"},
    }
    hub = {**HUB, "id": "b", "data_files": ["{train,test}/{id}*"], "huggingface": {"cache_dir_vae": "cache/{id}"}}
    config = pair(tmp_path, local, hub, {**TEXTS, "cache_dir": "{id}/{model_family}"}, output_dir="out/{model_family}")
    first, second = config.recipes
    assert first.source.dataset_name == "/mnt/pictures/a"
    assert first.folders.latents == tmp_path / "out/sdxl/vae/sdxl/a"
    assert first.folders.metadata == tmp_path / "out/sdxl/x/huggingface_metadata/a"
    assert first.source.folder is not None
    assert first.source.folder.table is not None
    assert first.source.folder.table.path == "a.csv"
    assert first.folders.embeds == second.folders.embeds == tmp_path / "texts/sdxl"
    assert second.source.data_files == ["{train,test}/b*"]
    assert second.folders.latents == tmp_path / "cache/b"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("cache/{model}", 'is "cache/{model}", which holds {model}, which is no placeholder; use {id}, {model_family}'),
        ("cache/{}", "holds {}, which is no placeholder"),
        ("{env:NOT_SET}/x", "which names the environment variable NOT_SET, which isn't set; set it, or write the path"),
        ("{env:EMPTY}/x", "which is empty; set it, or write the path"),
        ("{output_dir}/x", "holds {output_dir}, but no output_dir is given; give it, or write the path"),
    ],
)
def test_a_placeholder_that_stands_for_nothing_is_a_mistake(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    for entry, key in (
        ({**HUB, "cache_dir_vae": path}, "cache_dir_vae"),
        ({**HUB, "config": {"cache_dir": path}}, "config.cache_dir"),
    ):
        [line] = mistakes(tmp_path, entry)
        assert line.startswith(f"multidatabackend.json: [0].{key}: ")
        assert message in line
    [line] = mistakes(tmp_path, HUB, pretrained_vae_model_name_or_path=path)
    assert line.startswith("config.json: pretrained_vae_model_name_or_path: ")


# --- defaults that depend on the family


@pytest.mark.parametrize(
    ("settings", "alignment"),
    [
        ({}, 64),
        ({"model_family": "flux2"}, 16),
        ({"model_family": "qwen_image"}, 32),
        ({"model_family": "wan"}, 32),
        ({"model_family": "wan", "model_flavour": "ti2v-5b-2.2"}, 64),
        ({"model_family": "wan", "aspect_bucket_alignment": "32"}, 32),  # as it is
        ({"aspect_bucket_alignment": 8}, 8),  # sdxl allows any
        ({"model_family": None, "pretrained_model_name_or_path": "user/wan"}, 64),  # no family is written
        ({"model_family": "wan", "pretrained_model_name_or_path": "user/wan"}, 32),
    ],
)
def test_a_family_decides_the_alignment(settings: dict[str, Any], alignment: int, tmp_path: Path) -> None:
    first, second = pair(tmp_path, HUB, {**HUB, "id": "b", "aspect_bucket_alignment": 128}, **settings).recipes
    assert (first.settings.geometry.aspect_bucket_alignment, second.settings.geometry.aspect_bucket_alignment) == (
        alignment,
        128,
    )


def test_an_alignment_that_the_family_doesnt_allow_is_a_mistake(tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, HUB, model_family="wan", aspect_bucket_alignment=64)
    assert line.startswith('config.json: aspect_bucket_alignment: is 64, but SimpleTuner always takes 32 for "wan"; ')


VIDEO = {**HUB, "dataset_type": "video"}


@pytest.mark.parametrize(
    ("settings", "video", "frames", "is_i2v"),
    [
        ({"model_family": "wan"}, {}, (150, 150, None), False),
        ({"model_family": "wan", "framerate": "24"}, {}, (120, 120, None), False),
        ({"model_family": "wan"}, {"num_frames": "81"}, (81, 81, None), False),
        ({"model_family": "wan"}, {"num_frames": 81, "min_frames": 25}, (81, 25, None), False),
        ({"model_family": "wan"}, {"max_frames": 200}, (150, 150, 200), False),
        (
            {"model_family": "wan"},
            {"bucket_strategy": "resolution_frames", "max_frames": 99, "min_frames": 9},
            (99, 9, 99),
            False,
        ),
        # SimpleTuner drops clips below num_frames with either strategy
        ({"model_family": "wan"}, {"bucket_strategy": "resolution_frames", "num_frames": 49}, (49, 49, None), False),
        ({"model_family": "ltxvideo"}, {}, (150, 150, None), True),
        ({"model_family": "ltxvideo2"}, {"is_i2v": False}, (150, 150, None), False),
        ({"model_family": "wan", "model_flavour": "i2v-14b-2.1"}, {}, (150, 150, None), True),
        ({"model_family": "hunyuanvideo", "model_flavour": "i2v-480p"}, {}, (150, 150, None), True),
        ({"model_family": None, "pretrained_model_name_or_path": "a/b"}, {}, (125, 125, None), False),
    ],
)
def test_a_family_decides_of_videos(
    settings: dict[str, Any], video: dict[str, Any], frames: tuple[int, int, int | None], is_i2v: bool, tmp_path: Path
) -> None:
    [recipe] = pair(tmp_path, {**VIDEO, "video": video} if video else VIDEO, **settings).recipes
    assert isinstance(recipe.settings, VideoSettings)
    chosen = recipe.settings.frames
    assert (chosen.most, chosen.fewest, chosen.max_frames) == frames
    assert chosen.is_i2v is is_i2v


def test_a_flavour_that_trains_from_the_first_frame_does_so_in_any_case(tmp_path: Path) -> None:
    [line] = mistakes(
        tmp_path, {**VIDEO, "video": {"is_i2v": "false"}}, model_family="wan", model_flavour="i2v-14b-2.1"
    )
    assert line.startswith('multidatabackend.json: [0].video.is_i2v: is false, but "i2v-14b-2.1" trains from the first')


def test_what_was_taken_and_the_family_s_defaults_are_said(tmp_path: Path) -> None:
    assert pair(tmp_path, HUB, VIDEO | {"id": "b"}, model_family="wan").model == (
        'model Wan-AI/Wan2.1-T2V-1.3B-Diffusers: family "wan", default flavour "t2v-480p-1.3b-2.1"; defaults of wan: '
        "aspect_bucket_alignment 32, video.num_frames 150 (5 s at 30 frames per second), "
        "video.min_frames as num_frames, video.is_i2v false"
    )


# --- config.json's other keys


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("vae_dtype", "fp32", lambda recipe: recipe.model.dtype == "float32"),
        ("vae_enable_tiling", "true", lambda recipe: recipe.model.latents.tiling),
        ("vae_enable_tiling", False, lambda recipe: not recipe.model.latents.tiling),
        ("vae_enable_slicing", True, lambda recipe: not recipe.model.latents.tiling),
        ("tokenizer_max_length", "128", lambda recipe: recipe.model.pipeline.tokenizer_max_length == 128),
        ("pretrained_vae_model_name_or_path", "a/vae", lambda recipe: recipe.model.pipeline.vae.repository == "a/vae"),
        ("pretrained_t5_model_name_or_path", "a/t5", lambda recipe: recipe.model.pipeline.t5.repository == "a/t5"),
        ("t5_padding", "unmodified", lambda recipe: True),
        ("resolution", "0.5", lambda recipe: recipe.settings.geometry.resolution == 0.5),
        ("max_upscale_threshold", 0.5, lambda recipe: recipe.settings.geometry.max_upscale_threshold == 0.5),
        ("caption_strategy", "instanceprompt", lambda recipe: recipe.captions.only_instance_prompt),
        ("caption_strategy", "textfile", lambda recipe: not recipe.captions.only_instance_prompt),  # of folders only
        (
            "instance_prompt",
            "2024",
            lambda recipe: recipe.captions.instance_prompt is None,
        ),  # text that looks like a number
        ("seed", 7, lambda recipe: recipe.captions.shuffle.seed == 7),
        ("pretrained_transformer_model_name_or_path", "a/b", lambda recipe: True),  # a denoiser
        ("ideogram_prompt_upsample", False, lambda recipe: True),
    ],
)
def test_a_key_that_changes_tensors_is_honoured(key: str, value: Any, found: Any, tmp_path: Path) -> None:
    shuffled = {**HUB, "caption_shuffle": {"enable": True}, "resolution_type": "area"}
    [recipe] = pair(tmp_path, shuffled, **{"instance_prompt": "sks", "resolution": 1, key: value}).recipes
    assert found(recipe)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("t5_padding", "zero", 'is "zero", but the padding of captions stays as the pipeline makes it; set it to'),
        (
            "pretrained_clip_model_name_or_path",
            "a/clip",
            "but another text encoder than the pipeline's own can't be put in",
        ),
        ("ideogram_prompt_upsample", True, "but a language model would rewrite captions before they are encoded"),
        ("framerate", 0, "is 0; write a number above 0"),
        ("caption_strategy", "whisper", 'is "whisper"; use "huggingface"'),
        ("vae_enable_tiling", "perhaps", 'is "perhaps"; write true or false'),
        ("tokenizer_max_length", 0, "is 0; write a number above 0"),
        ("plugins", "mine", 'is "mine"; list names of modules'),
    ],
)
def test_or_is_refused_at_its_key(key: str, value: Any, message: str, tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, HUB, **{f"--{key}": value})
    assert line.startswith(f"config.json: --{key}: ")
    assert message in line


def test_the_rest_is_the_trainer_s_and_said_once(tmp_path: Path) -> None:
    notes = pair(tmp_path, HUB, **{"--learning_rate": 1e-4, "vae_enable_slicing": True, "resoluton": 512}).notes
    assert notes == (
        'config.json: for the trainer only: learning_rate, resoluton (did you mean "resolution"?), vae_enable_slicing',
    )


# --- entries


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"dataset_type": "conditioning", "type": "aws"}, "pairs of media with what conditions them are not made here"),
        ({"dataset_type": "caption"}, "it holds captions for a trainer that draws them by itself"),
        ({"dataset_type": "distillation_cache", "distillation_type": "ode"}, "it keeps a trainer's own caches"),
        ({"dataset_type": "grounding"}, "places of things in images are not read here"),
    ],
)
def test_kinds_that_only_a_trainer_uses_are_left_out_with_a_line(
    entry: dict[str, Any], line: str, tmp_path: Path
) -> None:
    config = pair(tmp_path, {"id": "x", "whatever": 1, **entry}, HUB)
    assert [recipe.id for recipe in config.recipes] == ["a"]
    assert config.notes == (f'[0] is for the trainer only, as dataset_type is "{entry["dataset_type"]}": {line}',)


@pytest.mark.parametrize(
    ("more", "notes"),
    [
        (
            {"conditioning": {"type": "canny", "captions": ["x"], "params": {"low_threshold": 1}}},
            ["[0].conditioning is left out: pairs of media with what conditions them are not made here"],
        ),
        (
            {"grounding": {"enabled": True}, "delete_nsfw_images": True, "is_regularization_data": True},
            [
                "[0]: for the trainer only: delete_nsfw_images, is_regularisation_data",
                "[0].grounding is left out: places of things in images are not read here",
            ],
        ),
        (
            {"parquet": {"path": "x", "bbox_column": "b"}, "caption_strategy": "parquet"},
            ["[0]: for the trainer only: parquet.bbox_column"],
        ),
    ],
)
def test_keys_that_only_a_trainer_uses_are_kept_for_it(more: dict[str, Any], notes: list[str], tmp_path: Path) -> None:
    config = pair(tmp_path, {**LOCAL, **more})
    assert list(config.notes) == notes
    kept = config.recipes[0].trainer
    assert {key: kept[key] for key in more if key in kept and key != "parquet"} == {
        key: value for key, value in more.items() if key in kept and key != "parquet"
    }
    assert kept.get("is_regularisation_data", True) is True


def test_the_audio_of_videos_is_left_out_with_a_line(tmp_path: Path) -> None:
    audio = {"auto_split": True, "sample_rate": 16000, "channels": 1, "allow_zero_audio": False}
    config = pair(tmp_path, {**VIDEO, "audio": audio}, model_family="ltxvideo2")
    assert config.notes == ("[0].audio is left out: the audio of videos is not encoded",)
    assert config.recipes[0].trainer == {"audio": audio}
    own = {**LOCAL, "id": "b", "dataset_type": "audio", "audio": {"source_from_video": "true", "audio_only": True}}
    config = pair(tmp_path, VIDEO, own, model_family="ltxvideo2")
    assert [recipe.id for recipe in config.recipes] == ["a"]
    assert config.notes == ("[1] is left out: the audio of videos is not encoded",)


def test_null_and_an_empty_text_say_nothing(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("resolution", "crop_style", "image_column", "dataset_name", "aspect_bucket_rounding"))
    empty = dict.fromkeys(("revision", "cache_dir", "caption_filter_list", "text_embeds", "split", "crop_aspect"), "")
    inner = {"huggingface": {"dataset_name": HUB["dataset_name"], "caption_column": None, "video": None}}
    settings = {"model_flavour": "", "revision": "", "vae_path": "", "vae_dtype": "", "instance_prompt": "sks"}
    [recipe] = pair(tmp_path, {**HUB, **nothing, **empty, **inner}, **settings).recipes
    [same] = pair(tmp_path, HUB, instance_prompt="sks").recipes
    assert recipe == same
    blocks = {"caption_shuffle": {"count": None, "split_on": ""}, "filter_func": {"min_width": None, "collection": ""}}
    assert pair(tmp_path, {**HUB, **blocks}, instance_prompt="sks").recipes == (same,)
    [line] = mistakes(tmp_path, {**HUB, "filter_func": {"min_wdth": None, "min_height": 0}})
    assert "[0].filter_func.min_height: is 0" in line
    for prompt in (None, ""):  # against the default of all
        [recipe] = pair(tmp_path, {**HUB, "instance_prompt": prompt}, **settings).recipes
        assert recipe.captions.instance_prompt is None
    [line] = mistakes(tmp_path, {**HUB, "id": ""})
    assert "[0].id: is " in line


def test_caches_in_a_bucket(tmp_path: Path) -> None:
    bucket = {"type": "aws", "aws_bucket_name": "mine", "aws_secret_access_key": "x"}
    texts = {**TEXTS, **bucket, "aws_data_prefix": "a/", "cache_dir": "texts", "aws_endpoint_url": "https://b"}
    latents = {"id": "latents", "dataset_type": "image_embeds", **bucket, "aws_data_prefix": "", "cache_dir": ""}
    config = pair(tmp_path, {**HUB, "image_embeds": "latents"}, texts, latents)
    [recipe] = config.recipes
    assert (str(recipe.folders.embeds), str(recipe.folders.latents)) == ("s3://mine/a/texts", "s3://mine/a")
    assert "[1].aws_endpoint_url is not read: of a cache it is the environment's, AWS_ENDPOINT_URL" in config.notes
    assert sum("aws_secret_access_key is not read" in note for note in config.notes) == 2


def test_texts_lie_in_the_usual_folder_where_their_entry_names_none(tmp_path: Path) -> None:
    [recipe] = pair(tmp_path, HUB, {"id": "texts", "dataset_type": "text_embeds", "default": True}).recipes
    assert recipe.folders.embeds == pair(tmp_path, HUB).recipes[0].folders.embeds == tmp_path / "cache/text"


def test_caches_take_the_trainer_s_keys(tmp_path: Path) -> None:
    more = {"cache_file_suffix": "x", "text_cache_ondemand": True, "crop": True, "crop_style": "center", "aws_x": 1}
    more |= {"delete_nsfw_images": False, "metadata_update_interval": 60, "conditioning_image_embed_batch_size": 1}
    more |= {"cache_dir_conditioning_image_embeds": "x", "write_batch_size": "128", "instance_data_dir": ""}
    latents = {"id": "latents", "type": "memory", "dataset_type": "image_embeds", "memory_filesystem_size": "1G"}
    [recipe] = pair(tmp_path, {**HUB, "image_embeds": "latents"}, {**TEXTS, **more}, latents).recipes
    assert recipe.folders.embeds == tmp_path / "texts"
    assert recipe.folders.latents == tmp_path / "cache/a/vae/a"  # the entry names no folder
    [line] = mistakes(tmp_path, HUB, {**TEXTS, "cach_dir": "x"})
    assert line.startswith('multidatabackend.json: [1].cach_dir: is not a known key; did you mean "cache_dir"?')


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {"type": "aws", "aws_bucket_name": None, "aws_region_name": None, "metadata_backend": "parquet"},
            "[0].aws_bucket_name: is missing; name the bucket of the media",
        ),
        (
            {"type": "csv", "csv_file": "x", "csv_caption_column": "c", "caption_strategy": "csv"},
            '[0].type: is "csv"; use "huggingface" or "local", since media at the addresses of a table are not fetched',
        ),
        (
            {"type": "webshart", "source": "a/b", "webshart": {"cache_dir": "x"}, "caption_strategy": "webshart"},
            '[0].type: is "webshart"; use "huggingface"',
        ),
        (
            {"type": "aws", "dataset_type": "text_embeds", "cache_dir": ""},
            "[0].aws_bucket_name: is missing; name the bu",
        ),
        ({"type": "csv", "dataset_type": "text_embeds", "cache_dir": "x"}, '[0].type: is "csv"; use "local"'),
        ({"dataset_name": "a/b"}, '[0].type: is missing; add "type": "huggingface", as dataset_name is given'),
    ],
)
def test_a_backend_that_cant_be_read_is_one_line(entry: dict[str, Any], line: str, tmp_path: Path) -> None:
    [found] = mistakes(tmp_path, {"id": "x", **entry})
    assert found.startswith(f"multidatabackend.json: {line}")


@pytest.mark.parametrize(("value", "captions"), [("true", "whole_textfile"), (False, "textfile")])
def test_line_ends_of_captions_are_kept_where_the_file_says_so(value: Any, captions: str, tmp_path: Path) -> None:
    [recipe] = pair(tmp_path, {**LOCAL, "disable_multiline_split": value}).recipes
    assert recipe.source.folder is not None
    assert recipe.source.folder.captions == captions
    [line] = mistakes(tmp_path, {**LOCAL, "disable_multiline_split": True, "caption_strategy": "filename"})
    assert "disable_multiline_split: has no effect unless caption_strategy is" in line


def test_the_type_is_local_by_default(tmp_path: Path) -> None:
    [recipe] = pair(tmp_path, {"id": "a", "instance_data_dir": "x"}).recipes
    assert recipe.source.dataset_name == str(tmp_path / "x")


def test_numbers_are_taken_as_text_everywhere_alike(tmp_path: Path) -> None:
    as_text = {
        "resolution": "512",
        "repeats": "10",
        "probability": "0.5",
        "crop": "true",
        "crop_aspect": "closest",
        "crop_aspect_buckets": ["1.0", 1.5],
        "max_num_samples": "9",
        "filter_func": {"quality_thresholds": {"clip": "0.3"}, "min_width": "64"},
        "caption_shuffle": {"enable": "true", "count": "2"},
        "composite_image_config": {"enabled": True, "image_count": "4", "layout": ["2", 2]},
    }

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: read(one) for key, one in value.items()}
        if isinstance(value, list):
            return [read(one) for one in value]
        try:
            return json.loads(value)
        except (TypeError, ValueError):
            return value

    first, second = pair(tmp_path, {**HUB, **as_text}, {**HUB, "id": "b", **read(as_text)}).recipes
    assert first.model_copy(update={"id": "b", "folders": second.folders, "trainer": {}}) == second.model_copy(
        update={"trainer": {}}
    )


# --- functions


FUNCTION = {**HUB, "filter_func": {"function": "mine:keep", "columns": ["score"]}}


@pytest.mark.parametrize("way", ["config.json", "environment"])
def test_a_filter_function_is_named_in_config_json_or_the_environment(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def keep(row): return True")
    if way == "environment":
        monkeypatch.setenv("HF_ASSETS_PLUGINS", "other, mine")
    [recipe] = pair(tmp_path, FUNCTION, **({"plugins": ["mine"]} if way == "config.json" else {})).recipes
    assert recipe.filter.custom is not None
    assert recipe.filter.custom.file == tmp_path / "mine.py"


def test_a_function_of_a_module_that_isnt_named_says_where_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def keep(row): return True")
    [line] = mistakes(tmp_path, FUNCTION)
    assert (
        '"mine" is not listed in plugins; add "plugins": ["mine"] to config.json, or name it in HF_ASSETS_PLUGINS'
        in line
    )

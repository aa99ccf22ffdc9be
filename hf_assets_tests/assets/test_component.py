"""The graphs in somebody else's project: the component, its errors, and `build_definitions`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

import hf_assets
from hf_assets.component import Attributes, HuggingFaceDatasets
from hf_assets.config.keys import TRAINER_ONLY, Dataset, Model, TextEmbeds
from hf_assets.errors import ConfigError
from hf_assets.resources.gpu import GpuResource
from hf_assets_tests.assets.user import STAGES, User, entry, sensor_of
from hf_assets_tests.contract.pictures import Row, files_of, picture
from hf_assets_tests.local_hub import LocalHub

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "component"
ART = "src/my_project/defs/art/defs.yaml"

CONFIG: dict[str, Any] = {
    "model": {"pretrained_model_name_or_path": "user/model"},
    "datasets": [{"id": "photos", "type": "huggingface", "dataset_name": "user/photos"}],
}


def dg_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(folder / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [str(Path(sys.executable).parent / "dg"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1", "HF_ASSETS_CONFIG": "/none"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example project, outside this repository."""
    folder = tmp_path_factory.mktemp("somebodys") / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def keys_of(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}


def test_the_example_project_loads_with_both_graphs(project: Path) -> None:
    done = dg_command(project, "check", "defs")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = dg_command(project, "list", "defs", "--json").stdout
    for name in ("photos/training_set", "art/paintings/training_set", "photos_hub_revisions", "art_hub_revisions"):
        assert f'"{name}"' in listed, listed


def test_mistakes_are_found_with_their_file_and_line(project: Path) -> None:
    file = project / ART
    right = file.read_text()
    wrong = right.replace("resolution: 512", "resoluton: 512").replace("dtype: bfloat16", "dtype: bfloat61")
    line = 1 + wrong.splitlines().index("      resoluton: 512")
    file.write_text(wrong)
    try:
        loaded = dg_command(project, "check", "defs")
        checked = dg_command(project, "check", "yaml", ART.rsplit("/", 1)[0])
    finally:
        file.write_text(right)
    assert (loaded.returncode, checked.returncode) == (1, 1)
    said = loaded.stdout + loaded.stderr
    assert f"attributes.datasets.0.resoluton at {file}:{line}" in said
    assert 'datasets[0].resoluton: is not a known key; did you mean "resolution"?' in said
    assert 'model.dtype: is "bfloat61"; use "float32", "bfloat16" or "float16"' in said
    assert f"{file}:{line}" in checked.stdout
    assert f"  {line} |       resoluton: 512\n     |       ^" in checked.stdout  # the column


@pytest.mark.parametrize(
    ("attributes", "where", "message"),
    [
        ({}, (), "names no config"),
        ({"config": "a.json", **CONFIG}, ("model",), "config names a file already"),
        ({"config": "a.json", "prefix": "a"}, ("prefix",), "Extra inputs are not permitted"),
        ({**CONFIG, "datasets": []}, ("datasets",), "datasets: is []; list at least one dataset"),
        ({"datasets": CONFIG["datasets"]}, (), "model: is missing"),
        ({**CONFIG, "refresh": {"cron": "soon"}}, ("refresh", "cron"), "five fields"),
        ({**CONFIG, "refresh": {}}, ("refresh",), "says nothing; give cron"),
        (
            {**CONFIG, "datasets": [{**CONFIG["datasets"][0], "huggingface": {"crop": 3}}]},
            ("datasets", 0, "huggingface", "crop"),
            "is 3; write true or false",
        ),
    ],
)
def test_a_mistake_is_reported_where_it_stands(
    attributes: dict[str, Any], where: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Attributes.model_validate(attributes)
    (error,) = caught.value.errors()
    assert error["loc"] == where
    assert message in error["msg"]


def test_all_mistakes_are_reported_at_once() -> None:
    dataset = {"id": "a/b", "type": "huggingface", "dataset_name": "user/photos", "resolution": -1}
    with pytest.raises(ValidationError) as caught:
        Attributes.model_validate({"model": {}, "datasets": [dataset]})
    places = {error["loc"] for error in caught.value.errors()}
    assert places == {("model",), ("datasets", 0, "id"), ("datasets", 0, "resolution")}


def test_the_schema_knows_every_key_and_takes_what_the_loader_takes() -> None:
    schema = Attributes.model_json_schema()
    known = schema["properties"]["datasets"]["items"]["properties"]
    assert {*Dataset.model_fields, *TextEmbeds.model_fields, *TRAINER_ONLY, "huggingface"} - {"trainer"} == {*known}
    assert {*schema["properties"]["model"]["properties"]} == {*Model.model_fields}
    entry = {"id": "a", "huggingface": {"type": "huggingface", "dataset_name": "a/b", "crop": "True"}, "repeats": 3}
    cache = {"id": "texts", "dataset_type": "text_embeds", "cache_dir": "t", "default": True}
    content = {**CONFIG, "datasets": [entry, cache], "refresh": {"poll_seconds": 60}}
    assert Attributes.model_validate(content).inline == content
    assert [error.message for error in Draft202012Validator(schema).iter_errors(content)] == []
    assert list(Draft202012Validator(schema).iter_errors({**content, "refresh": {"poll_seconds": 1}}))


def test_templates_are_filled_in_before_the_config_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICH", "paintings")
    dataset = {"id": "{{ env.WHICH }}", "type": "huggingface", "dataset_name": "user/{{ env.WHICH }}"}
    attributes = Attributes.model_validate({"model": CONFIG["model"], "datasets": [dataset]})
    context = dg.ComponentTree.for_test().load_context
    made = HuggingFaceDatasets.load(attributes, context).build_defs(context)
    assert "paintings/raw_dataset" in keys_of(made)


def test_graphs_of_several_configs_live_in_one_project(tmp_path: Path) -> None:
    """The same config under two prefixes and under none, beside a resource of the project's own."""
    config = {**CONFIG, "refresh": {"cron": "0 3 * * *"}}
    parts = [hf_assets.build_definitions(config, key_prefix=prefix) for prefix in (None, "a", ["b", "c-d"])]
    merged = dg.Definitions.merge(*parts, dg.Definitions(resources={"mine": GpuResource()}))
    dg.Definitions.validate_loadable(merged)
    prefixes = {key.rsplit("/", 1)[0] for key in keys_of(merged)}
    assert prefixes == {"photos", "a/photos", "b/c-d/photos"}
    assert {sensor.name for sensor in merged.sensors or ()} == {
        "hub_revisions",
        "a_hub_revisions",
        "b_c_d_hub_revisions",
    }
    assert {schedule.name for schedule in merged.schedules or ()} == {"refresh", "a_refresh", "b_c_d_refresh"}
    graph = merged.resolve_asset_graph()
    chosen = dg.AssetSelection.from_string("group:b/c_d/photos").resolve(graph)
    assert {key.path[-1] for key in chosen} == {*STAGES}


def test_own_resources_take_the_place_of_the_usual_ones() -> None:
    gpu = GpuResource(batch_size=7)
    made = hf_assets.build_definitions(CONFIG, resources={"gpu": gpu})
    assert (made.resources or {})["gpu"] is gpu
    assert {*(made.resources or {})} == {"hub", "gpu", "tables"}


@pytest.mark.parametrize("prefix", ["a/b", "", ["a", "b c"], ["."]])
def test_a_prefix_is_part_of_keys(prefix: str | list[str]) -> None:
    with pytest.raises(ConfigError, match="key_prefix"):
        hf_assets.build_definitions(CONFIG, key_prefix=prefix)


def test_a_config_may_be_a_file(tmp_path: Path) -> None:
    user = User(tmp_path, "user/model", entry("photos", "user/photos"))
    assert user.definitions
    assert "photos/raw_dataset" in keys_of(hf_assets.build_definitions(str(tmp_path / "datasets.json")))


def test_a_prefixed_graph_is_refreshed_like_any_other(hub: LocalHub, model: str, tmp_path: Path) -> None:
    hub.commit("component/photos", files_of([Row(picture(1), "one"), Row(picture(2), "two")]))
    user = User(tmp_path, model, entry("photos", "component/photos"), key_prefix="vision")
    assert sensor_of(user.definitions).name == "vision_hub_revisions"
    assert user.refresh()["photos"]["vae_latents"] == 2
    assert user.tick() == []
    with user.instance() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey(["vision", "photos", "training_set"]))


def test_importing_the_package_is_light_and_its_names_are_listed() -> None:
    code = "import sys, hf_assets; print(dir(hf_assets)); assert 'dagster' not in sys.modules; hf_assets.nothing"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "'HuggingFaceDatasets'" in done.stdout
    assert "'build_definitions'" in done.stdout
    assert "module 'hf_assets' has no attribute 'nothing'" in done.stderr

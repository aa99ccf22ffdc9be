"""The graphs in somebody else's project: the component, its errors, and `build_definitions`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox
from jsonschema import Draft202012Validator

import hf_assets
from hf_assets.component import HuggingFaceDatasets
from hf_assets.config.config_file import Dataset, File, ImageEmbeds, Model, TextEmbeds
from hf_assets.config.trainer_keys import TRAINER_ONLY
from hf_assets.errors import ConfigError
from hf_assets.resources.gpu import GpuResource
from hf_assets_tests.assets.user import STAGES, User, computed_of, encoded, entry, sensor_of
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
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


def test_dg_reports_every_mistake_with_its_file_line_and_column(project: Path) -> None:
    """Of a config in defs.yaml; then of a file that one names, beside attributes that are wrong themselves."""
    file, named = project / ART, project / "datasets.json"
    right, content = file.read_text(), named.read_text()
    file.write_text(right.replace("resolution: 512", "resoluton: 512").replace("dtype: bfloat16", "dtype: bfloat61"))
    try:
        inline = dg_command(project, "check", "defs")
        (file.parent.parent / "photos/defs.yaml").unlink()  # alone, it is the one whose schema `dg` looks at
        alone = dg_command(project, "check", "defs")
        file.write_text(
            "type: hf_assets.HuggingFaceDatasets\nattributes: {config: ../../../../datasets.json, prefix: a}"
        )
        named.write_text(content.replace(', "resolution"', ',\n     "resoluton"'))
        other = dg_command(project, "check", "defs")
    finally:
        file.write_text(right)
        named.write_text(content)
        shutil.copy(EXAMPLE / "src/my_project/defs/photos/defs.yaml", file.parent.parent / "photos/defs.yaml")
    for done in (inline, alone):
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert f'{file}:6:5: model.dtype: is "bfloat61"; use "float32", "bfloat16" or "float16"' in said, said
        assert f'{file}:12:7: datasets[0].resoluton: is not a known key; did you mean "resolution"?' in said, said
    said = other.stdout + other.stderr
    assert other.returncode == 1
    assert f"{file}:2:49: prefix: is not a known key; known are config, datasets, key_prefix," in said, said
    assert f'{named}:5:6: datasets[0].resoluton: is not a known key; did you mean "resolution"?' in said, said


def test_a_project_with_resources_of_these_names_gives_ours_other_ones(project: Path) -> None:
    defs = project / "src/my_project/defs"
    files = [defs / "art/defs.yaml", defs / "photos/defs.yaml"]
    right = [file.read_text() for file in files]
    own = defs / "own.py"
    own.write_text("import dagster as dg\n\ndefs = dg.Definitions(resources={'hub': 1, 'gpu': 2, 'tables': 3})\n")
    try:
        refused = dg_command(project, "check", "defs")
        for file, text in zip(files, right, strict=True):
            file.write_text(f"{text}  resource_prefix: latents_\n")
        taken = dg_command(project, "check", "defs")
    finally:
        own.unlink()
        for file, text in zip(files, right, strict=True):
            file.write_text(text)
    assert refused.returncode == 1
    assert "different resources with same key 'hub'" in refused.stdout + refused.stderr
    assert taken.returncode == 0, taken.stdout + taken.stderr


def mistakes(text: str) -> list[str]:
    """What loading a `defs.yaml` says, without the folder's name."""
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "art"
        folder.mkdir()
        (folder / "defs.yaml").write_text(text)
        (folder / "there.json").write_text('{\n\t"model": {},\n\t"datasets": [{}]\n}')
        with pytest.raises(Exception, match="art") as caught, sandbox.load_component_and_build_defs(folder):
            pass
        error = caught.value.__cause__
        assert isinstance(error, ConfigError)
        return str(error).replace(f"{folder}{os.sep}", "").splitlines()


HEAD = "type: hf_assets.HuggingFaceDatasets\n"
INLINE = """\
attributes:
  key_prefix: [a, b c]
  resource_prefix: a-
  model: {<<: &m {pretrained_model_name_or_path: a/b}, dtype: x}
  datasets:
  - {id: a, type: huggingface, dataset_name: a/b, crop: true, crop: 3}
  - {dataset_name: e/f}
  refresh: {}
  plugin: [b]
"""
TEMPLATED = """\
attributes:
  key_prefix: "{{ nope.x }}"
  model: {pretrained_model_name_or_path: "{{ env.NOT_SET }}"}
  datasets:
  - {id: "{{ env('NOT_SET') }}", revision: "2024"}
"""
NO_CONFIG = "names no config; give config, or model and datasets"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [f"defs.yaml:1:1: {NO_CONFIG}"]),
        ("attributes: {}", [f"defs.yaml:2:13: {NO_CONFIG}"]),
        ("attributes: {config: null}", [f"defs.yaml:2:13: {NO_CONFIG}"]),
        ("attributes: {config: 3}", ["defs.yaml:2:14: config: is 3; write text"]),
        (
            "attributes:\n  config: a.json",
            ['defs.yaml:3:3: config: is "a.json", but there is no file a.json; create it, or name another'],
        ),
        (
            "attributes: {config: there.json, model: {}}",
            [
                "defs.yaml:2:34: model: has no place beside config, which names a file; keep one of them",
                'there.json:2:11: model.pretrained_model_name_or_path: is missing; add it, or "family"',
                "there.json:3:15: datasets[0].id: is missing; add it",
                "there.json:3:15: datasets[0].instance_data_dir: is missing; add it: the folder of the media",
            ],
        ),
        (
            INLINE,
            [
                "defs.yaml:7:63: datasets[0].crop: stands twice in one object; keep one",
                'defs.yaml:10:3: plugin: is not a known key; did you mean "plugins"?',
                'defs.yaml:3:3: key_prefix: "b c" is no part of a key; use letters, digits, _, - and . only',
                'defs.yaml:4:3: resource_prefix: is "a-"; use letters, digits and _ only, no digit first',
                'defs.yaml:5:56: model.dtype: is "x"; use "float32", "bfloat16" or "float16"',
                'defs.yaml:9:3: refresh: says nothing; give cron, such as "0 3 * * *", or poll_seconds, such as 300',
                "defs.yaml:7:63: datasets[0].crop: is 3; write true or false",
                'defs.yaml:8:5: datasets[1].type: is missing; add "type": "huggingface", as dataset_name is given',
                "defs.yaml:8:5: datasets[1].id: is missing; add it",
            ],
        ),
        (
            TEMPLATED,
            [
                "defs.yaml:3:3: key_prefix: is \"{{ nope.x }}\", which can't be filled in: 'nope' is undefined",
                'defs.yaml:4:11: model.pretrained_model_name_or_path: is "{{ env.NOT_SET }}", which gives nothing; '
                "set the variable, or give a default as in {{ env('NAME', 'default') }}",
                "defs.yaml:6:6: datasets[0].id: is \"{{ env('NOT_SET') }}\", which can't be filled in: Environment "
                "variable NOT_SET is not set and no default value was provided. To provide a default value, use e.g. "
                "`env('NOT_SET', 'default_value')`",
            ],
        ),
        (
            "attributes: {config: there.json}\nattributes: {config: there.json}",
            ["defs.yaml:3:1: attributes: stands twice in one object; keep one"],
        ),
        (
            f"attributes: {json.dumps(CONFIG)}\n---\n{HEAD}attributes:\n  key_prefix: []\n  config: there.jso",
            ['defs.yaml:7:3: config: is "there.jso", but there is no file there.jso; create it, or name another'],
        ),
    ],
)
def test_a_mistake_is_reported_where_it_stands(text: str, lines: list[str]) -> None:
    assert mistakes(HEAD + text) == lines


@pytest.mark.parametrize("attributes", [{}, CONFIG, {"config": 3, "prefix": []}, {**CONFIG, "datasets": [{"crop": 3}]}])
def test_the_schema_knows_every_key_and_refuses_nothing(attributes: dict[str, Any]) -> None:
    """Where `dg` finds that something isn't as the schema says, it doesn't ask the loader, which knows all of it."""
    schema = HuggingFaceDatasets.get_model_cls().model_json_schema()
    assert list(Draft202012Validator(schema).iter_errors(attributes)) == []
    known = schema["properties"]["datasets"]["items"]["properties"]
    models = (Dataset, TextEmbeds, ImageEmbeds)
    keys = {key for model in models for key in model.model_fields} | {*TRAINER_ONLY, "huggingface", "config"}
    assert keys - {"trainer"} == {*known} == {*known["huggingface"]["properties"], "huggingface", "config"}
    assert {*schema["properties"]["model"]["properties"]} == {*Model.model_fields}
    assert {*schema["properties"]} == {*File.model_fields, "config", "key_prefix", "resource_prefix"}
    assert known["crop_style"]["description"] == Dataset.model_fields["crop_style"].description
    assert known["crop_style"]["anyOf"][0]["enum"] == ["random", "center", "centre", "corner", "face"]


def test_templates_are_filled_in_before_the_config_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICH", "paintings")
    dataset = {"id": "{{ env.WHICH }}", "type": "huggingface", "dataset_name": "user/{{ env.WHICH }}"}
    dataset |= {"instance_prompt": "1, 2", "caption_strategy": "instanceprompt", "revision": "2024"}  # as they are
    attributes = HuggingFaceDatasets.get_model_cls().model_validate({"model": CONFIG["model"], "datasets": [dataset]})
    context = dg.ComponentTree.for_test().load_context
    component = HuggingFaceDatasets.load(attributes, context)
    assert "paintings/raw_dataset" in keys_of(component.build_defs(context))
    (recipe,) = component.config.recipes
    assert (recipe.source.revision, recipe.captions.instance_prompt) == ("2024", "1, 2")


def test_components_of_one_project_have_names_of_their_own() -> None:
    """In folders of the same name, and in one file."""

    def written(id: str) -> str:
        dataset = {"id": id, "type": "huggingface", "dataset_name": "user/photos"}
        return f"{HEAD}attributes: {json.dumps({**CONFIG, 'datasets': [dataset], 'refresh': {'cron': '0 3 * * *'}})}\n"

    files = {"photos": [written("a"), written("b")], "art/photos": [written("c")]}
    with create_defs_folder_sandbox() as sandbox:
        for folder, documents in files.items():
            (sandbox.defs_folder_path / folder).mkdir(parents=True)
            (sandbox.defs_folder_path / folder / "defs.yaml").write_text("---\n".join(documents))
        with sandbox.build_all_defs() as made:
            names = {"photos", "photos_2", "art_photos"}
            assert {sensor.name for sensor in made.sensors or ()} == {f"{name}_hub_revisions" for name in names}
            assert {schedule.name for schedule in made.schedules or ()} == {f"{name}_refresh" for name in names}


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


@pytest.mark.parametrize("prefix", ["a/b", "", ["a", "b c"], ["."], 3, [3], {"a": 1}])
def test_a_prefix_is_part_of_keys(prefix: Any) -> None:
    with pytest.raises(ConfigError, match="key_prefix"):
        hf_assets.build_definitions(CONFIG, key_prefix=prefix)


def test_a_config_may_be_a_file(tmp_path: Path) -> None:
    user = User(tmp_path, "user/model", entry("photos", "user/photos"))
    assert user.definitions
    assert "photos/raw_dataset" in keys_of(hf_assets.build_definitions(str(tmp_path / "datasets.json")))


def test_a_prefixed_graph_is_refreshed_like_any_other(hub: LocalHub, model: str, tmp_path: Path) -> None:
    hub.commit("component/photos", files_of([Row(image_bytes(1), "one"), Row(image_bytes(2), "two")]))
    user = User(tmp_path, model, entry("photos", "component/photos"), key_prefix="vision", resource_prefix="our_")
    user.others = dg.Definitions(resources={"hub": "theirs", "gpu": "theirs", "tables": "theirs"})
    assert sensor_of(user.definitions).name == "vision_hub_revisions"
    assert user.refresh()["photos"]["vae_latents"] == 2
    assert user.tick() == []
    with user.instance() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey(["vision", "photos", "training_set"]))
    observed = dg.define_asset_job("observe", selection=[dg.AssetKey(["vision", "photos", "hub_revision"])])
    job = dg.Definitions.merge(user.definitions, dg.Definitions(jobs=[observed])).resolve_job_def("observe")
    assert job.execute_in_process().success
    again = user.materialize(run_config={"resources": {"our_gpu": {"config": {"batch_size": 1}}}})
    assert encoded(computed_of(again)["photos"]) == (0, 0)


def test_names_of_resources_change_no_version() -> None:
    usual, named = (hf_assets.build_definitions(CONFIG, resource_prefix=prefix) for prefix in ("", "our_"))
    assert {*(named.resources or {})} == {"our_hub", "our_gpu", "our_tables"}
    versions = [
        {key: graph.get(key).code_version for key in graph.get_all_asset_keys()}
        for graph in (usual.resolve_asset_graph(), named.resolve_asset_graph())
    ]
    assert versions[0] == versions[1]
    own = GpuResource(batch_size=7)
    given = hf_assets.build_definitions(CONFIG, {"gpu": own, "mine": own}, resource_prefix="our_").resources or {}
    assert (given["our_gpu"], given["mine"], {*given}) == (own, own, {"our_hub", "our_gpu", "our_tables", "mine"})


@pytest.mark.parametrize("prefix", ["a-", "a b", "3a", None, 3])
def test_a_resource_prefix_is_part_of_a_name(prefix: Any) -> None:
    with pytest.raises(ConfigError, match=r"resource_prefix: is .*; use letters, digits and _ only"):
        hf_assets.build_definitions(CONFIG, resource_prefix=prefix)


def test_importing_the_package_is_light_and_its_names_are_listed() -> None:
    code = "import sys, hf_assets; print(dir(hf_assets)); assert 'dagster' not in sys.modules; hf_assets.nothing"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "'HuggingFaceDatasets'" in done.stdout
    assert "'build_definitions'" in done.stdout
    assert "module 'hf_assets' has no attribute 'nothing'" in done.stderr

"""Exports as a person has them: the asset that the config asks for, and the command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from hf_assets.config import loading
from hf_assets.config.export_rules import ExportRules
from hf_assets.definitions import build_definitions
from hf_assets.export import exporting
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.export.simpletuner_reader import Caches
from hf_assets_tests.instances import History

ROWS = [Row(image_bytes(number, *size), f"picture {number}") for number, size in enumerate([(64, 64), (96, 64)])]
NEW = Row(image_bytes(7), "a new picture")


class Project:
    """A user's folder: a dataset in it, a config with exports, and a history."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = History()
        tiny_pipelines.build("sd15", folder / "model")
        self.entry: dict[str, Any] = {
            "id": "photos",
            "type": "huggingface",
            "dataset_name": "./photos",
            "resolution": 64,
            "aspect_bucket_alignment": 8,
            "repeats": 1,
            "export": [{"format": "simpletuner", "to": "st"}, {"format": "parquet", "to": "./pq"}],
        }
        self.push(ROWS)

    def push(self, rows: list[Row]) -> None:
        for name, data in files_of(rows).items():
            assert isinstance(data, bytes)
            path = self.folder / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def definitions(self) -> dg.Definitions:
        model = {"pretrained_model_name_or_path": "./model", "dtype": "float32"}
        config = {"model": model, "datasets": [self.entry]}
        (self.folder / "datasets.json").write_text(json.dumps(config))
        return build_definitions(loading.load(self.folder / "datasets.json"))

    def materialize(self) -> dict[str, dict[str, Any]]:
        """Metadata of each asset, with its data version."""
        defs = self.definitions()
        done = dg.materialize(list(defs.assets or ()), instance=self.history.instance, resources=defs.resources)
        found = {}
        for event in done.get_asset_materialization_events():
            made = event.step_materialization_data.materialization
            values = {name: value.value for name, value in made.metadata.items()}
            found[made.asset_key.path[-1]] = {**values, "version": (made.tags or {})["dagster/data_version"]}
        return found


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["computed"], found["reused"], found["bytes_written"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def test_an_asset_for_each_export_with_counts_and_versions(project: Project) -> None:
    first = project.materialize()
    files = first["export_simpletuner"]
    assert (files["computed"], files["reused"], files["dagster/row_count"]) == (2 + 2 + 1, 0, 2)
    assert (first["export_parquet"]["computed"], first["export_parquet"]["dropped"]) == (2, 0)
    caches = Caches(project.folder / "st/multidatabackend.json", "photos", "sd1x")
    assert sum(len(found) for found, *_ in caches.batches(1)) == 2
    again = project.materialize()
    assert [again[name]["computed"] for name in ("export_simpletuner", "export_parquet")] == [0, 0]
    assert again["export_simpletuner"]["version"] == files["version"]
    project.push([NEW, *ROWS])
    edited = project.materialize()
    assert (edited["export_simpletuner"]["computed"], edited["export_parquet"]["computed"]) == (2, 1)
    assert edited["export_simpletuner"]["version"] != files["version"]
    graph = project.definitions().resolve_asset_graph()
    node = graph.get(dg.AssetKey(["photos", "export_simpletuner"]))
    assert (node.pools, node.group_name) == (set(), "photos")  # nothing is encoded
    facts = pq.read_table(next((project.folder / "pq/photos/").rglob("*.parquet"))).column_names
    assert not [name for name in facts if name.endswith(("_key", "_keys"))]
    assert [key.path[-1] for key in node.parent_keys] == ["training_set"]


def test_what_is_gone_is_exported_again(project: Project) -> None:
    project.materialize()
    (project.folder / "pq/photos").unlink()
    (project.folder / "pq/.manifests/photos/current.json").unlink()
    (project.folder / "st/multidatabackend.json").unlink()
    again = project.materialize()
    assert (project.folder / "pq/photos/README.md").exists()
    assert (project.folder / "st/multidatabackend.json").exists()
    assert counts(again["export_simpletuner"])[0] == counts(again["export_parquet"])[0] == 0


def test_the_card_says_what_the_training_set_was_made_with_and_not_what_the_config_says_now(project: Project) -> None:
    project.materialize()
    project.entry["resolution"] = 128
    project.definitions()
    rules = ExportRules.model_validate({"format": "parquet", "to": str(project.folder / "unsynced")})
    try:
        done = exporting.export(loading.load(project.folder / "datasets.json").recipes[0], rules, lambda _: None)
    finally:
        project.entry["resolution"] = 64
    card = json.loads((done.folder / "README.md").read_text().split("```json")[1].split("```")[0])
    assert card["config"]["settings"]["geometry"]["resolution"] == 64
    assert (card["config"]["model"]["dtype"], card["source"]) == ("float32", "a local folder")


def test_a_changed_destination_makes_just_the_export_unsynced(project: Project) -> None:
    def versions() -> dict[str, str | None]:
        graph = project.definitions().resolve_asset_graph()
        return {key.path[-1]: graph.get(key).code_version for key in graph.get_all_asset_keys()}

    before = versions()
    project.entry["export"][1]["to"] = "elsewhere"
    after = versions()
    project.entry["export"][1]["to"] = "./pq"
    assert {name for name in before if before[name] != after[name]} == {"export_parquet"}
    project.entry["repeats"] = 5
    after = versions()
    project.entry["repeats"] = 1
    assert {name for name in before if before[name] != after[name]} == {"export_simpletuner"}


def hf_assets(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "hf-assets"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=dict(os.environ))


def test_a_run_in_a_terminal_says_what_exports_wrote(project: Project) -> None:
    project.push(ROWS)
    project.definitions()
    done = hf_assets(project.folder, "run", "photos")
    assert done.returncode == 0, done.stderr
    assert "export_simpletuner" in done.stdout
    assert " written, " in done.stdout
    assert "training set" in done.stdout


def test_the_command_says_what_it_wrote(project: Project) -> None:
    project.materialize()
    done = hf_assets(project.folder, "export", "webdataset", "photos", "--to", "tars")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("photos: ")
    assert " samples as webdataset: " in done.stdout
    again = hf_assets(project.folder, "export", "webdataset", "photos", "--to", "tars")
    assert re.fullmatch(r"photos: (\d+) samples as webdataset: \1 reused: tars/photos\n", again.stdout), again.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("parquett", "photos", "--to", "out"), 2, 'FORMAT: is "parquett"; did you mean "parquet"?'),
        (("parquet", "photo", "--to", "out"), 2, 'there is no dataset "photo"; did you mean "photos"'),
        (("simpletuner", "photos", "--to", "out", "--names", "primus"), 2, "simpletuner has no others than its own"),
        (("simpletuner", "photos", "--to", "out", "--push", "me/x"), 2, "--push: only parquet"),
        (("parquet", "photos", "--to", ""), 2, "--to: is empty; name a folder"),
        (("parquet", "photos", "--to", "out", "--push", "mine"), 2, '--push: "mine" is no name of a dataset'),
        (("parquet", "photos", "--to", "s3://bucket/a"), 2, '--to: is "s3://bucket/a"; name a folder'),
        (("parquet", "photos", "--to", "datasets.json"), 1, "is a file: name a folder to export to"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    project: Project, arguments: tuple[str, ...], code: int, message: str
) -> None:
    if code == 1:  # what there is to export is looked at first
        project.materialize()
    project.definitions()
    done = hf_assets(project.folder, "export", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ([{"format": "simpletuner"}], "datasets[0].export[0].to: is missing"),
        ([{"format": "parket", "to": "a"}], "datasets[0].export[0].format:"),
        ([{"format": "parquet", "to": "s3://bucket/a"}], 'export[0].to: is "s3://bucket/a"; name a folder'),
        ([{"format": "parquet", "to": "a", "names": "primus"}], 'names: is "primus", which parquet has not; use "mlp'),
        ([{"format": "parquet", "to": "a"}, {"format": "parquet", "to": "b"}], '"parquet" is there twice; keep one'),
        (
            [{"format": "parquet", "to": "a"}, {"format": "webdataset", "to": "./b/../a"}],
            'datasets[0].export[1].to: "./b/../a" is a folder of exports as parquet already; name another one for web',
        ),
    ],
)
def test_mistakes_in_the_config_are_named(tmp_path: Path, export: list[dict[str, str]], message: str) -> None:
    from hf_assets.errors import ConfigError

    entry = {"id": "photos", "type": "huggingface", "dataset_name": "a/b", "export": export}
    (tmp_path / "datasets.json").write_text(
        json.dumps({"model": {"pretrained_model_name_or_path": "a/b"}, "datasets": [entry]})
    )
    with pytest.raises(ConfigError) as raised:
        loading.load(tmp_path / "datasets.json")
    assert message in str(raised.value)


def test_an_export_without_text_is_a_mistake_in_the_config(tmp_path: Path) -> None:
    from hf_assets.errors import ConfigError

    export = [{"format": "parquet", "to": "a"}]
    entry = {"id": "photos", "type": "huggingface", "dataset_name": "a/b", "export": export}
    model = {"pretrained_model_name_or_path": "a/b", "text": False}
    (tmp_path / "datasets.json").write_text(json.dumps({"model": model, "datasets": [entry]}))
    with pytest.raises(ConfigError, match=r"datasets\[0\]\.export: needs captions, .* model\.text is false"):
        loading.load(tmp_path / "datasets.json")

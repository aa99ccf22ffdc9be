"""What CI and a person at a terminal run: the real commands, in processes of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from hf_assets.config import loading
from hf_assets.upkeep.check_results import error_budget
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


class Project:
    """A folder with a config and dagster.yaml, as a user has it, and nothing in the environment but the Hub."""

    def __init__(self, folder: Path, dataset: str, **entry: Any) -> None:
        self.folder = folder
        shutil.copy(ROOT / "dagster.yaml", folder)
        tiny_pipelines.build("sdxl", folder / "model")
        self.config: dict[str, Any] = {
            "model": {"pretrained_model_name_or_path": "./model", "dtype": "float32"},
            "datasets": [
                {
                    "id": "my-photos",
                    "type": "huggingface",
                    "dataset_name": dataset,
                    "resolution": 64,
                    "resolution_type": "pixel",
                    **entry,
                }
            ],
        }
        self.write()

    def write(self) -> None:
        (self.folder / "datasets.json").write_text(json.dumps(self.config))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]], cwd=self.folder, env=environment, capture_output=True, text=True
        )

    def materialize(self, selection: str = "group:my_photos", *options: str) -> subprocess.CompletedProcess[str]:
        return self.run(
            "dagster", "asset", "materialize", "-m", "hf_assets.definitions", "--select", selection, *options
        )

    def computed(self) -> dict[str, int]:
        with contextlib.chdir(self.folder), dg.DagsterInstance.from_config(str(self.folder)) as instance:
            return {
                stage: self._metadata(instance, stage)["computed"]
                for stage in ("buckets", "vae_latents", "text_embeds", "training_set")
            }

    def metadata(self, stage: str) -> dict[str, Any]:
        with contextlib.chdir(self.folder), dg.DagsterInstance.from_config(str(self.folder)) as instance:
            return self._metadata(instance, stage)

    @staticmethod
    def _metadata(instance: dg.DagsterInstance, stage: str) -> dict[str, Any]:
        event = instance.get_latest_materialization_event(dg.AssetKey(["my-photos", stage]))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


ROWS = [
    Row(image_bytes(0, 100, 80), "one"),
    Row(b"this is no picture", "two"),
    Row(image_bytes(1, 80, 100), "  three  "),
    Row(image_bytes(2), None),
    Row(image_bytes(3)[:200], "truncated"),
    Row(None, "no bytes"),
    Row(image_bytes(0, 100, 80), "one"),
]


@pytest.fixture(scope="module")
def project(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Project:
    hub.commit("command/line", {**files_of(ROWS[:4], ROWS[4:]), "README.md": b"---\nlicense: mit\n---\n"})
    made = Project(tmp_path_factory.mktemp("project"), "command/line", revision="main")
    done = made.materialize()
    assert done.returncode == 0, done.stderr
    return made


def test_the_history_lasts_and_a_second_process_computes_nothing(project: Project) -> None:
    assert project.computed() == {"buckets": 6, "vae_latents": 2, "text_embeds": 6, "training_set": 3}
    assert project.materialize().returncode == 0
    assert project.computed() == {"buckets": 0, "vae_latents": 0, "text_embeds": 0, "training_set": 0}
    assert project.metadata("buckets")["bytes_read"] == project.metadata("raw_dataset")["bytes_read"] == 0


def test_bad_media_are_quarantined_with_their_reason_and_the_run_goes_on(project: Project) -> None:
    folder = project.folder / "cache/my-photos/huggingface_metadata/my-photos"
    failed = [
        row
        for stage in ("buckets", "vae_latents")
        for row in pq.read_table(folder / f"{stage}_quarantined.parquet").to_pylist()
    ]
    assert {(row["row"], row["reason"]) for row in failed} == {(1, "undecodable"), (4, "undecodable"), (5, "missing")}
    assert failed[0]["address"] == "data/train-00000-of-00002.parquet#1"
    assert all(row["message"] for row in failed)
    assert project.metadata("buckets")["quarantined"] + project.metadata("vae_latents")["quarantined"] == 3
    assert project.metadata("captions")["dropped"] == 1
    assert pq.read_table(folder / "training_set.parquet")["row"].to_pylist() == [0, 2, 6]


def test_every_stage_says_what_it_did_and_raw_dataset_which_commit(project: Project) -> None:
    for stage in ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set"):
        counts = project.metadata(stage)
        for name in ("computed", "reused", "dropped", "quarantined", "bytes_read", "dagster/row_count"):
            assert isinstance(counts[name], int), (stage, name)
    assert len(project.metadata("raw_dataset")["revision"]) == 40


def test_what_is_stored_is_plain_safetensors_and_parquet(project: Project) -> None:
    shards = list((project.folder / "cache/my-photos/vae/my-photos").glob("*.safetensors"))
    index = pq.read_table(project.folder / "cache/my-photos/vae/my-photos/index").to_pylist()
    keys = pq.read_table(project.folder / "cache/my-photos/huggingface_metadata/my-photos/training_set.parquet")[
        "latent_key"
    ].to_pylist()
    assert {row["key"] for row in index if row["status"] == "ok"} == set(keys)
    with safe_open(shards[0], framework="pt") as shard:
        assert shard.metadata()["dtype"] == "float32"


def test_the_reader_needs_no_dagster(project: Project) -> None:
    code = """
import sys
from hf_assets.training import TrainingSet
photos = TrainingSet.open("cache/my-photos/huggingface_metadata/my-photos")
first = photos[0]
print(len(photos), sorted(first), tuple(first["latents"].shape), first["caption"], first["file"])
assert "dagster" not in sys.modules and "diffusers" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, capture_output=True, text=True)
    names = [
        "caption",
        "crop_top_left",
        "file",
        "latents",
        "original_size",
        "pooled_prompt_embeds",
        "prompt_embeds",
        "row",
        "source_path",
        "target_size",
    ]
    assert done.stdout.strip() == f"3 {names} (4, 8, 8) one 0.jpg", done.stderr


def test_check_finds_what_the_dataset_holds(project: Project) -> None:
    done = project.run("hf-assets", "check", "--tokens")
    assert done.returncode == 0, done.stderr
    assert "tokenizer cuts 0 of 5 captions at 77 tokens" in done.stdout
    assert done.stdout.splitlines()[0].endswith(": named by pretrained_model_name_or_path")
    assert "rows: 7; columns image, caption found" in done.stdout
    assert "rows with captions: 6, without: 1; distinct captions: 5" in done.stdout
    assert "media that can be used: " in done.stdout
    assert "  buckets: 64x64: " in done.stdout


def test_what_a_dataset_lacks_fails_its_step_with_one_line(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit("command/errors", files_of(ROWS[:1]))
    lacks: dict[str, tuple[dict[str, str], str]] = {
        "repository": ({"dataset_name": "command/none"}, 'dataset "command/none"'),
        "revision": ({"revision": "v9"}, '"v9"'),
        "split": ({"split": "trian"}, 'has no split "trian"'),
        "caption": ({"caption_column": "captoin"}, 'did you mean "caption"'),
        "image": ({"image_column": "caption"}, 'column "caption" names files such as'),
    }
    project = Project(tmp_path, "command/errors")
    (entry,) = project.config["datasets"]
    project.config["datasets"] = [{**entry, "id": id, **edit} for id, (edit, _) in lacks.items()]
    project.write()
    done = project.materialize("key:*/raw_dataset")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    for id, (_, message) in lacks.items():
        assert any(f"{id}__raw_dataset" in line and "STEP_FAILURE" in line for line in lines), done.stderr
        assert any(message in line for line in lines), (message, done.stderr)


def test_a_wrong_config_stops_before_any_work(hub: LocalHub, tmp_path: Path) -> None:
    project = Project(tmp_path, "command/none", resoluton=64)
    hub.reset_counters()
    checked = project.run("hf-assets", "check")
    assert checked.returncode == 2
    column = (project.folder / "datasets.json").read_text().index('"resoluton"') + 1
    what = 'datasets.json: datasets[0].resoluton: is not a known key; did you mean "resolution"?'
    assert checked.stderr == f"{what} (line 1, column {column})\n"
    assert project.materialize().returncode == 1
    assert hub.requests == []


def test_more_failures_than_the_budget_allows_fail_the_run(project: Project) -> None:
    project.config["datasets"][0]["error_budget"] = 0.1
    project.write()
    done = project.materialize()
    assert done.returncode == 1
    assert "3 of 6 samples failed (50.0%); the budget is 10.0%" in done.stderr
    project.config["datasets"][0]["error_budget"] = 0.5  # exactly what failed
    project.write()
    (recipe,) = loading.load(project.folder / "datasets.json").recipes
    assert error_budget(recipe, 3).passed


def test_check_refuses_sizes_that_the_model_cannot_take(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit("command/sizes", files_of(ROWS[:1]))
    done = Project(tmp_path, "command/sizes", resolution=60, aspect_bucket_alignment=4).run("hf-assets", "check")
    assert done.returncode == 1
    assert "is no multiple of 8 px, as this model needs: change resolution or aspect_bucket_alignment" in done.stderr

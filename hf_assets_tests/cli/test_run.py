"""`hf-assets run` with a config and nothing else, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from hf_assets.building import build_definitions
from hf_assets.cli import app
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import image_bytes

COMMAND = Path(sys.executable).parent / "hf-assets"


class Folder:
    """A user's folder: photographs, a model and a config."""

    def __init__(self, path: Path) -> None:
        self.path = path
        tiny_pipelines.build("sd15", path / "model")
        for id, size in (("my-photos", (96, 64)), ("others", (64, 64))):
            (path / id).mkdir()
            for number in range(2):
                (path / id / f"a_{number}.png").write_bytes(image_bytes(number, *size))
        (path / "my-photos" / "broken.jpg").write_text("this is no picture")
        self.write()

    def write(self, **more: object) -> None:
        entries = [
            {"id": id, "type": "local", "instance_data_dir": id, "resolution": 64, "resolution_type": "pixel", **more}
            for id in ("my-photos", "others")
        ]
        model = {"pretrained_model_name_or_path": "./model", "dtype": "float32"}
        (self.path / "datasets.json").write_text(json.dumps({"model": model, "datasets": entries}))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
        return subprocess.run(
            [COMMAND, "run", *arguments], cwd=self.path, env=environment, capture_output=True, text=True, timeout=300
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("folder"))


def test_a_line_for_each_asset_and_a_summary_with_what_was_left_out(folder: Folder) -> None:
    done = folder.run("my-photos")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    lines, summary = done.stdout.split("\n\n")
    stages = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")
    assert sorted(line.split()[1] for line in lines.splitlines()) == sorted(stages)
    assert summary.startswith("my-photos: 2 samples to train from\n")
    assert "  latents       2 computed, 0 reused\n" in summary
    assert "  quarantined   1 sample (`hf-assets quarantine`)\n" in summary
    assert "broken.jpg: undecodable: not an image of a known format" in summary
    assert "cache/my-photos/huggingface_metadata/my-photos/training_set.parquet" in summary
    assert "others" not in done.stdout
    assert not (folder.path / "cache/others").exists()
    assert {path.name for path in folder.path.iterdir() if path.name.startswith(".")} == {".dagster_state"}


def test_a_plan_takes_a_file_with_other_bytes_as_not_read_yet_and_not_as_gone(folder: Folder) -> None:
    file = folder.path / "my-photos" / "a_1.png"
    before = file.read_bytes()
    file.write_bytes(image_bytes(7, 96, 64))
    try:
        arguments = ["plan", "my-photos", "--json", "--names", "--config", str(folder.path / "datasets.json")]
        done = CliRunner().invoke(app, arguments)
    finally:
        file.write_bytes(before)
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)["my-photos"]
    assert (plan["training_set"]["unread"], plan["training_set"]["removed"]) == (1, {})
    assert plan["names"] == {"unread": ["a_1.png"]}


def test_all_run_where_none_is_named_what_was_made_is_reused_and_a_failed_check_is_exit_code_1(folder: Folder) -> None:
    folder.write(filter_func={"min_width": 70}, error_budget=0.1)
    done = folder.run()
    assert "my-photos: 2 samples to train from\n  latents       0 computed, 2 reused\n" in done.stdout
    assert "\n  device" not in done.stdout  # nothing was encoded
    assert "others: no training set\n" in done.stdout
    assert "  left out      2 rows: 2 too_narrow\n" in done.stdout
    assert (
        "  check         not_empty of buckets, failed: None of the media of 2 rows can be used (dropped: 2 too_narrow)"
        in done.stdout
    )
    assert "Dependencies for step" not in done.stderr
    assert "  check         error_budget of training_set, failed: 1 of 3 samples failed" in done.stdout
    assert done.returncode == 1
    failures = done.stderr.partition("failed:\n")[2]
    assert "my-photos/training_set: check error_budget: 1 of 3 samples failed" in failures
    assert "others/buckets: check not_empty: None of the media of 2 rows can be used" in failures


def test_a_dataset_that_is_not_there_is_refused_with_the_nearest_and_nothing_runs(folder: Folder) -> None:
    done = folder.run("my_photos")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'datasets.json: datasets: there is no dataset "my_photos"; did you mean "my-photos"?\n'


def test_a_failure_is_one_line_and_exit_code_1(folder: Folder) -> None:
    folder.write(instance_data_dir="nowhere")
    done = folder.run("others")
    assert done.returncode == 1
    assert 'others/raw_dataset: instance_data_dir "' in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "others: no training set" in done.stdout


def test_without_a_config_the_way_to_one_is_named(tmp_path: Path) -> None:
    done = subprocess.run([COMMAND, "run"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "datasets.json: no such file here; make one with `hf-assets init`, or name another with --config\n"
    )


def test_the_gallery_has_a_picture_of_a_local_file_that_was_left_out_before_it_was_read(folder: Folder) -> None:
    others = folder.path / "others"
    (others / "a_1.txt").write_text("a caption")
    (others / "b_1.png").write_bytes((others / "a_1.png").read_bytes())
    (others / "b_1.txt").write_text("another caption")
    folder.write(caption_strategy="textfile")
    definitions = build_definitions(folder.path / "datasets.json")
    keys = dg.AssetSelection.groups("others").resolve(definitions.resolve_asset_graph())
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.instance_for_test() as instance:
        assert job.execute_in_process(instance=instance, asset_selection=sorted(keys)).success
    report = folder.path / "cache/others/huggingface_metadata/others/reports/gallery"
    (samples,) = [path.read_text() for path in report.glob("*.js")]
    dropped, _, double = json.loads(samples.partition(",")[2].removesuffix(");\n"))
    assert dropped[3] == "no caption"
    assert dropped[6] is not None  # where its picture lies
    assert double[3] == "the same file as a_1.png"
    assert f"others, for {folder.path / 'model'} in float32" in (report.parents[1] / "report.html").read_text()

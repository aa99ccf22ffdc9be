"""The workflow of docs/ci.md as a CI would run it: its own commands, in a fresh checkout, with what it caches."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub

ROOT = Path(__file__).parents[1]
DATASET = "ci/photos"
ROWS = [Row(image_bytes(number), f"picture {number}") for number in range(3)]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)
SETTINGS, WORKFLOW, PLAN = BLOCKS


class Runner:
    """Does what the workflow says, but for installing: a job begins with a checkout, and ends with its cache kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job: dict[str, Any] = yaml.safe_load(WORKFLOW)["jobs"]["materialize"]
        self.repository = folder / "repository"
        self.repository.mkdir()
        (self.repository / "dagster.yaml").write_text(SETTINGS)
        tiny_pipelines.build("sd15", folder / "model")
        self.dataset: dict[str, Any] = {"id": "photos", "type": "huggingface", "dataset_name": DATASET}
        self.dataset |= {"resolution": 64, "resolution_type": "pixel", "aspect_bucket_alignment": 8}
        self.number = 0

    def run(self) -> dict[str, int]:
        """The exit codes of the commands, by name, up to the first that fails."""
        self.number += 1
        model = {"pretrained_model_name_or_path": str(self.folder / "model"), "dtype": "float32"}
        config = {"model": model, "datasets": [self.dataset]}
        (self.repository / "datasets.json").write_text(json.dumps(config))
        self.checkout = self.folder / f"checkout{self.number}"
        shutil.copytree(self.repository, self.checkout)
        codes: dict[str, int] = {}
        for step in self.job["steps"]:
            failed = any(codes.values())
            if "run" in step and step["name"] != "Install" and not failed:
                codes[step["name"]] = self.command(step["run"])
            elif "cache/restore" in step.get("uses", ""):
                self.copy(step, self.folder / "kept", self.checkout)
            elif "cache/save" in step.get("uses", "") and (not failed or step.get("if") == "always()"):
                self.copy(step, self.checkout, self.folder / "kept")
        return codes

    def command(self, line: str) -> int:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
        environment |= {name: value for name, value in self.job["env"].items() if not value.startswith("${{")}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line],
            cwd=self.checkout,
            env={**environment, "PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        self.said = done.stdout + done.stderr
        return done.returncode

    def copy(self, step: dict[str, Any], source: Path, target: Path) -> None:
        for name in step["with"]["path"].split():
            if (source / name).exists():
                shutil.rmtree(target / name, ignore_errors=True)
                shutil.copytree(source / name, target / name)

    def computed(self) -> dict[str, int]:
        """What the last run computed, and how often each asset was made in all runs."""
        counts = {}
        with chdir(self.checkout), dg.DagsterInstance.from_config(str(self.checkout)) as instance:
            for stage in ("raw_dataset", "vae_latents", "text_embeds"):
                records = instance.fetch_materializations(dg.AssetKey(["photos", stage]), limit=9).records
                assert len(records) == self.number, "the history is not kept"
                made = records[0].asset_materialization
                assert made is not None
                counts[stage] = int(str(made.metadata["computed"].value))
        return counts


def test_a_second_run_computes_nothing_and_failures_have_their_codes(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit(DATASET, files_of(ROWS))
    runner = Runner(tmp_path)
    assert runner.run() == {"Check": 0, "Materialize": 0}, runner.said
    assert runner.computed() == {"raw_dataset": 3, "vae_latents": 3, "text_embeds": 4}
    assert runner.run() == {"Check": 0, "Materialize": 0}, runner.said
    assert runner.computed() == {"raw_dataset": 0, "vae_latents": 0, "text_embeds": 0}
    plan, comment, report = yaml.safe_load(PLAN)["plan"]["steps"]
    assert runner.command(plan["run"]) == 0, runner.said
    assert comment["run"].endswith("--body-file plan.md")
    assert (runner.checkout / "plan.md").read_text().startswith("| dataset | training set |")
    assert "report.html" in {path.name for path in runner.checkout.glob(report["with"]["path"])}
    runner.dataset["split"] = "none"
    assert runner.run() == {"Check": 1}
    assert 'has no split "none"' in runner.said
    runner.dataset["resoluton"] = 64
    assert runner.run() == {"Check": 2}
    assert 'did you mean "resolution"?' in runner.said
    assert (runner.folder / "kept/cache/photos").exists()


def test_the_settings_in_the_page_are_part_of_the_shipped_ones() -> None:
    shipped = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    assert {key: shipped[key] for key in yaml.safe_load(SETTINGS)} == yaml.safe_load(SETTINGS)

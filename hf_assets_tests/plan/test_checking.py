"""A check of a model that was looked at before imports none of the libraries that take seconds."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from hf_assets.cli import app

USER = Path(__file__).parents[1] / "frozen" / "image"
HEAVY = ("torch", "diffusers", "transformers", "datasets", "dagster", "ray")


def test_a_known_model_is_checked_without_its_libraries(tmp_path: Path) -> None:
    folder = shutil.copytree(USER, tmp_path / "user")
    command = ["check", "--config", str(folder / "datasets.json")]
    first = CliRunner().invoke(app, command)
    assert "AutoencoderKL; CLIPTextModel" in first.output
    code = f"""
import sys
from hf_assets.cli import app
app({command!r}, standalone_mode=False)
print(sorted({set(HEAVY)!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{first.output}[]\n", done.stderr


def test_arguments_that_the_config_sets_are_shown_beside_the_pipelines_own(tmp_path: Path) -> None:
    folder = shutil.copytree(USER, tmp_path / "user")
    config = json.loads((folder / "datasets.json").read_text())
    config["model"]["encode_prompt"] = {"clip_skip": 1}
    (folder / "datasets.json").write_text(json.dumps(config))
    done = CliRunner().invoke(app, ["check", "--config", str(folder / "datasets.json")])
    assert "encode_prompt: clip_skip = 1 (without model.encode_prompt: null)" in done.output
    config["model"]["encode_prompt"] = {"clip_skips": 1}
    (folder / "datasets.json").write_text(json.dumps(config))
    done = CliRunner().invoke(app, ["check", "--config", str(folder / "datasets.json")])
    assert done.exit_code == 1
    assert "StableDiffusionPipeline.encode_prompt takes no clip_skips" in " ".join(done.output.split())

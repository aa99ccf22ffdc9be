"""Two configs in one folder, and what is said of datasets that both have."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hf_assets.cli import app
from hf_assets.config import loading, siblings

MODEL = {"family": "sdxl"}


def entry(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "local", "instance_data_dir": "photos", **more}


def write(file: Path, *entries: dict[str, Any]) -> Path:
    file.write_text(json.dumps({"model": MODEL, "datasets": list(entries)}))
    return file


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (entry("a", resolution=512, resolution_type="pixel"), "a run takes the place of the other's training set"),
        (entry("a", cache_dir="elsewhere"), "Dagster's page shows both as one"),
        (entry("b"), None),
        (entry("b", cache_dir="cache/a"), None),  # each has its folders in it
    ],
)
def test_an_id_that_two_configs_use_is_said_with_what_a_run_does(
    other: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    file = write(tmp_path / "datasets.json", entry("a"))
    write(tmp_path / "other.json", other)
    (tmp_path / "broken.json").write_text('{"datasets": [')
    (tmp_path / "wrong.json").write_text('{"datasets": [{"id": "a"}]}')
    (tmp_path / "list.json").write_text("[1]")
    found = list(siblings.notes(loading.load(file)))
    assert len(found) == (said is not None)
    assert all(line.startswith(f'other.json has a dataset "a", too: {said}') for line in found)


def test_the_files_of_a_trainer_are_one_config(tmp_path: Path) -> None:
    (tmp_path / "multidatabackend.json").write_text(json.dumps([entry("a")]))
    settings = {"model_family": "sdxl", "data_backend_config": "multidatabackend.json"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    for name in ("config.json", "multidatabackend.json"):
        config = loading.load(tmp_path / name)
        assert [recipe.id for recipe in config.recipes] == ["a"]
        assert list(siblings.notes(config)) == []


@pytest.mark.parametrize("command", ["check", "plan"])
def test_commands_say_it(command: str, tmp_path: Path) -> None:
    file = write(tmp_path / "datasets.json", entry("a"))
    write(tmp_path / "other.json", entry("a"))
    done = CliRunner().invoke(app, [command, "--config", str(file)])
    assert done.exit_code == 1
    assert 'other.json has a dataset "a", too: a run takes the place' in done.output

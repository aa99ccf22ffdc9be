"""Dagster's history beside the config, whoever comes first."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from hf_assets.errors import ConfigError
from hf_assets.orchestrate import home
from hf_assets.orchestrate.home import Home, home_of

ROOT = Path(__file__).parents[2]

BEGIN = """
import pathlib, sys, time
from hf_assets.orchestrate import home
while not pathlib.Path("go").exists():
    time.sleep(0.001)
with home.instance(home.home_of(pathlib.Path("datasets.json"))) as instance:
    print(len(instance.get_run_records()))
"""


def test_several_first_starts_at_once_all_open_the_history(tmp_path: Path) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    (tmp_path / "go").touch()
    said = [start.communicate(timeout=120) for start in starts]
    assert [out for out, _ in said] == ["0\n"] * 4, said
    assert {path.name for path in tmp_path.iterdir()} == {"go", ".dagster_state"}


def test_dagsters_settings_are_looked_for_beside_the_config_and_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    here, beside = tmp_path / "here", tmp_path / "beside"
    here.mkdir()
    beside.mkdir()
    monkeypatch.chdir(here)
    assert home_of(beside / "datasets.json") == Home(beside / ".dagster_state", beside)
    (here / "dagster.yaml").touch()
    assert home_of(beside / "datasets.json") == Home(here, here)
    (beside / "dagster.yaml").touch()
    assert home_of(beside / "datasets.json") == Home(beside, beside)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert home_of(beside / "datasets.json").settings == tmp_path


def test_a_history_that_cannot_be_kept_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dagster_state").write_text("")
    with pytest.raises(
        ConfigError, match=r'history of runs can\'t be kept in ".*\.dagster_state": .* set DAGSTER_HOME'
    ):
        home.instance(home_of(tmp_path / "datasets.json"))
    (tmp_path / ".dagster_state").unlink()
    database = tmp_path / ".dagster_state" / "history" / "runs.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database, and longer than its header is " * 20)
    with pytest.raises(ConfigError, match="file is not a database"):
        home.instance(home_of(tmp_path / "datasets.json"))


def test_what_init_writes_is_the_shipped_dagster_yaml() -> None:
    assert yaml.safe_load((ROOT / "dagster.yaml").read_text()) == yaml.safe_load(home.SETTINGS_BESIDE)


def test_a_run_in_the_folder_of_init_has_the_history_of_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with home.instance(home_of(tmp_path / "datasets.json")) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("made"))
    (tmp_path / "dagster.yaml").write_text(home.SETTINGS_BESIDE)
    with home.instance(home_of(tmp_path / "datasets.json")) as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("made"))


@pytest.mark.parametrize("named", ["relative/home", "/nowhere/at/all"])
def test_a_home_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv(home.HOME_VARIABLE, named)
    with pytest.raises(ConfigError, match=f'^DAGSTER_HOME: "{named}" is not the absolute path of a folder'):
        home.home_of(tmp_path / "datasets.json")

"""What docs/deployment.md says to write is what Dagster and the config take."""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import dagster as dg
import pytest
import yaml

from hf_assets.config import loading
from hf_assets_tests.assets.user import User, entry
from hf_assets_tests.page_server import served

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/deployment.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


WORKSPACE, DAGSTER, COMPOSE = map(yaml.safe_load, blocks("yaml"))


def test_the_refresh_block_is_taken() -> None:
    (block,) = blocks("json")
    dataset = {"id": "photos", "type": "huggingface", "dataset_name": "user/photos"}
    model = {"pretrained_model_name_or_path": "user/model"}
    content = {"model": model, "datasets": [dataset], **json.loads("{" + block + "}")}
    config = loading.parse(content, Path("datasets.json"))
    assert config.refresh is not None
    assert (config.refresh.poll_seconds, config.refresh.cron) == (300, "0 3 * * *")


def test_the_workspace_is_the_shipped_one() -> None:
    assert yaml.safe_load((ROOT / "workspace.yaml").read_text()) == WORKSPACE


@pytest.mark.parametrize("settings", [DAGSTER, yaml.safe_load((ROOT / "dagster.yaml").read_text())])
def test_dagster_takes_the_settings(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {key: value for key, value in settings.items() if key != "storage"}  # a Postgres isn't here
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"


@pytest.mark.parametrize("service", ["daemon", "page"])
def test_the_commands_exist_with_their_options(service: str) -> None:
    command, *options = COMPOSE["services"][service]["command"].split()
    file = Path(sys.executable).parent / command
    assert shutil.which(file)
    assert f"exec .venv/bin/{command}" in PAGE
    arguments = [option for option in options if not option.startswith("-") and option == "run"]
    said = subprocess.run([file, *arguments, "--help"], capture_output=True, text=True, check=True).stdout
    for option in (option for option in options if option.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}\b", said), option
    assert "-h 127.0.0.1 -p 3000 --read-only" in PAGE


KEY = 'assetKey: {path: ["photos", "raw_dataset"]}'
JOB = 'repositoryLocationName: "latents.py", repositoryName: "__repository__", jobName: "__ASSET_JOB"'
MUTATIONS = [
    f'launchPipelineExecution(executionParams: {{selector: {{{JOB}}}, runConfigData: {{}}, mode: "default"}})',
    f"reportRunlessAssetEvents(eventParams: {{eventType: ASSET_MATERIALIZATION, {KEY}}})",
    f"wipeAssets(assetPartitionRanges: [{{{KEY}}}])",
    "reloadWorkspace",
]


def test_a_page_that_only_shows_refuses_what_would_change_something(tmp_path: Path) -> None:
    user, folder = User(tmp_path / "user", "user/model", entry("photos", "user/photos")), tmp_path / "page"
    assert user.definitions  # writes the config
    user.write_history(user.home)
    folder.mkdir()
    with served(folder, user.folder, "--read-only") as page:
        assert len(page.ask("{ assetNodes { id } }")["assetNodes"]) == 10
        for mutation in MUTATIONS:
            (answer,) = page.ask(f"mutation {{ {mutation} {{ __typename }} }}").values()
            assert answer == {"__typename": "UnauthorizedError"}, mutation
        query = urllib.parse.quote("mutation { reloadWorkspace { __typename } }")
        with urllib.request.urlopen(f"{page.address}/graphql?query={query}") as by_get:
            assert json.load(by_get)["data"] == {"reloadWorkspace": {"__typename": "UnauthorizedError"}}
        report = urllib.request.Request(
            f"{page.address}/report_asset_materialization/photos/raw_dataset",
            b"{}",
            {"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(report)
    with user.instance() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey(["photos", "raw_dataset"])) is None

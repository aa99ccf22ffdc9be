"""With the Hub gone, a run goes on from what was seen before, and says so; what it hasn't got is named."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from typer.testing import CliRunner

from hf_assets import folder
from hf_assets.cli.program import app
from hf_assets.errors import DatasetError, ModelError
from hf_assets.hub import api, last_seen, model_repository
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import SourceSpec
from hf_assets_tests.contract.test_checks import run
from hf_assets_tests.contract.world import World
from hf_assets_tests.local_hub import LocalHub


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(api, "_missed_at", float("-inf"))


@contextmanager
def gone(hub: LocalHub) -> Iterator[None]:
    hub.down()
    try:
        yield
    finally:
        hub.up()


def command(world: World, name: str) -> tuple[int, str, str]:
    world.definitions()
    done = CliRunner().invoke(app, [name, "--config", str(world.folder / "datasets.json")])
    return done.exit_code, done.stdout, done.stderr


def source(world: World) -> SourceSpec:
    return SourceSpec(dataset_name=world.dataset)


def test_with_the_hub_gone_a_run_uses_what_was_seen_and_warns_with_commit_and_time(world: World, hub: LocalHub) -> None:
    world.materialize()
    asked = ("dataset", world.dataset, None)
    memory = folder.sources(world.metadata_folder)
    seen = last_seen.recall(memory, asked)
    assert seen is not None
    with gone(hub):
        done, found = run(world)
        assert done.success
        result = found["raw_dataset.hub_reached"]
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
        since = last_seen.outage_of(memory, asked)
        assert since is not None
        assert (since.commit, since.seen_at) == (seen.commit, seen.at)
        assert f'dataset "{world.dataset}" is taken at commit {seen.commit}, as it was seen' in str(result.description)
        assert f"since {since.since[:10]} {since.since[11:16]} UTC" in str(result.description)
        for asset in ("vae_latents", "text_embeds"):
            assert 'model "models/one" is taken at commit ' in str(found[f"{asset}.hub_reached"].description)
        assert world.materialize().encoded == (0, 0)
        assert last_seen.outage_of(memory, asked) == since  # since the first time
        code, said, warned = command(world, "plan")
        assert (code, said) == (0, "photos: nothing to do; 9 latents and 10 captions are stored\n")
        assert f"the Hub wasn't reached since {since.since[:10]}" in warned
        code, said, _ = command(world, "check")
        assert (code, said.count("the Hub wasn't reached since")) == (0, 2)  # for the dataset, and for the model
        with api.fresh(), pytest.raises(DatasetError, match="the Hub can't be reached for dataset"):
            source_of(source(world), memory).resolve()  # who looks for what is new is not given the old
    done, found = run(world)
    assert found["raw_dataset.hub_reached"].passed
    assert found["text_embeds.hub_reached"].passed
    assert last_seen.outage_of(memory, asked) is None


def test_with_hf_hub_offline_nothing_is_asked_and_nothing_warned(
    world: World, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.materialize()
    before = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done, found = run(world)
    assert done.success
    assert {name for name, one in found.items() if not one.passed} <= {"vae_latents.decode_back"}
    assert "HF_HUB_OFFLINE being set" in str(found["raw_dataset.hub_reached"].description)
    assert command(world, "plan")[0] == 0
    code, said, warned = command(world, "check")
    assert (code, warned) == (0, "")
    assert "wasn't reached" not in said
    assert len(hub.requests) == before
    assert last_seen.outage_of(folder.sources(world.metadata_folder), ("dataset", world.dataset, None)) is None


@pytest.mark.parametrize("is_offline", [False, True])
def test_what_is_needed_and_not_there_is_named(
    world: World, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, is_offline: bool
) -> None:
    world.materialize()
    cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=world.dataset, repo_type="dataset")
    shutil.rmtree(cached, ignore_errors=True)
    shutil.rmtree(folder.columns(world.metadata_folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    memory = folder.sources(world.metadata_folder)
    why = "and the Hub isn't asked while HF_HUB_OFFLINE" if is_offline else r"\(.*\): check the connection"
    with gone(hub):
        done, _ = run(world)
        assert not done.success
        failure = next(event for event in done.all_events if event.is_step_failure)
        assert '"data/train-00000-of-00002.parquet"' in str(failure.event_specific_data.user_failure_data.description)  # type: ignore[union-attr]
        other = source(world).model_copy(update={"split": "test"})
        with pytest.raises(DatasetError, match='split "test" was not listed before, and the Hub'):
            source_of(other, memory).resolve()
        never = source(world).model_copy(update={"dataset_name": "outage/never"})
        with pytest.raises(DatasetError, match='dataset "outage/never"'):
            source_of(never, memory).resolve()
        snapshot = source_of(source(world), memory).resolve()
        with pytest.raises(DatasetError, match=rf'"data/train-00001.*" .*isn\'t cached.*{why}|{why}'):
            source_of(source(world), memory).fetch(snapshot, snapshot.files[1])


@pytest.mark.parametrize("is_offline", [False, True])
def test_files_of_a_model_that_are_not_there_are_named(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_offline: bool
) -> None:
    name = f"outage/model{is_offline}"
    commit = hub.commit(
        name, {"model_index.json": b"{}", "vae/a.json": b"[]", "vae/b.bin": b"b" * 5000}, repo_type="model"
    )
    memory = tmp_path / "hashes.json"
    found = model_repository.resolve(name, hash_cache=memory)
    assert found.read_json("model_index.json") == {}
    found.fetch(["vae/a.json"])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    with gone(hub):
        again = model_repository.resolve(name, hash_cache=memory)
        assert (again.sha, again.paths, again.hash("vae/b.bin")) == (commit, found.paths, found.hash("vae/b.bin"))
        assert (again.fetch(["vae/a.json"]) / "vae/a.json").read_bytes() == b"[]"
        said = "of model .* isn't cached" if is_offline else "which isn't cached, of model"
        with pytest.raises(ModelError, match=rf'"vae/b\.bin".*{said}'):
            again.fetch(["vae/a.json", "vae/b.bin"])
        with pytest.raises(ModelError, match=r'model "outage/none"'):
            model_repository.resolve("outage/none", hash_cache=memory)
    assert model_repository.resolve(name, commit, hash_cache=memory).sha == commit
    requests = [one for one in hub.requests if one.path.startswith(f"/api/models/{name}")]
    model_repository.resolve(name, commit, hash_cache=memory)
    assert [one for one in hub.requests if one.path.startswith(f"/api/models/{name}")] == requests  # it can't move

"""A run opens only the tables that it must: the others come out as they were, and whatever could change one is seen."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_assets.folder import DECODED
from hf_assets.store.table_file import TableFile
from hf_assets.upkeep import check_results
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import COLUMNS, readme_only, rename_files
from hf_assets_tests.contract.image_rows import Row, files_of
from hf_assets_tests.contract.test_checks import run
from hf_assets_tests.contract.test_upkeep import command
from hf_assets_tests.contract.world import STAGES, World
from hf_assets_tests.store.damage import UNSEEN


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that are opened from now on."""
    names: list[str] = []

    def note(real: Callable[..., Any]) -> Callable[..., Any]:
        def read(self: TableFile, *columns: Any) -> Any:
            names.append(self.name)
            return real(self, *columns)

        return read

    for way in ("read", "tables"):
        monkeypatch.setattr(TableFile, way, note(getattr(TableFile, way)))
    return names


def written(world: World) -> dict[str, int]:
    """When each file beside the tables was written."""
    return {path.name: path.stat().st_mtime_ns for path in world.metadata_folder.iterdir() if path.is_file()}


def settled(world: World) -> World:
    """After a run of its own: a copied folder has other times."""
    world.materialize()
    return world


def test_a_run_with_nothing_to_do_opens_and_writes_no_table_and_says_the_same(world: World, opened: list[str]) -> None:
    before, files = settled(world).runs[-1], written(world)
    opened.clear()
    after = world.materialize()
    assert opened == []
    assert written(world) == files
    assert after.versions == before.versions
    assert after.encoded == (0, 0)
    for stage in STAGES:
        said, says = before.metadata[stage], after.metadata[stage]
        assert says["computed"] + says["reused"] == said["computed"] + said["reused"], stage
        same = {name for name in says if name not in ("computed", "reused", "bytes_read", "summary")}
        assert {name: says[name] for name in same} == {name: said[name] for name in same}, stage
        assert {*said} == {*says}, stage


def test_checks_that_passed_look_once_and_those_that_failed_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("vae_latents", "text_embeds", "training_set"):
        real = getattr(check_results, name)
        monkeypatch.setattr(check_results, name, lambda *a, name=name, real=real: calls.append(name) or real(*a))
    world.entry["checks"] = {"decode_back": {"at_least_db": 1.0}, "duplicates": {"at_most": 0.0, "severity": "warn"}}
    run(world)
    calls.clear()
    done, found = run(world)
    assert done.success
    assert calls == []
    assert found["vae_latents.finite"].passed
    assert not found["training_set.duplicates"].passed  # a tenth of the samples are
    next((world.metadata_folder / DECODED).glob("*.jpg")).unlink()
    run(world)
    assert calls == ["vae_latents"]
    world.entry["checks"]["decode_back"] = {"at_least_db": 98.0}
    assert not run(world)[1]["vae_latents.decode_back"].passed
    calls.clear()
    run(world)
    assert calls == ["vae_latents"]
    world.entry["checks"]["decode_back"]["severity"] = "off"
    run(world)
    calls.clear()
    run(world)
    assert calls == []


def test_a_readme_makes_only_the_rows_anew(world: World, models: Models, opened: list[str]) -> None:
    readme_only(settled(world), models)
    opened.clear()
    before = written(world)
    counts = world.materialize()
    assert opened == []
    assert {name for name, at in written(world).items() if before[name] != at} == {"raw_dataset.parquet"}
    assert counts.metadata["raw_dataset"]["revision"] != world.runs[-2].metadata["raw_dataset"]["revision"]


def test_a_failed_sample_has_the_name_that_its_file_has_now(world: World, models: Models) -> None:
    world.push(world.rows[:5], [*world.rows[5:], Row(b"no picture", "broken", COLUMNS)])
    world.materialize()
    rename_files(world, models)
    world.commit({"data/train-b.parquet": [*files_of(world.rows[:5], world.rows[5:]).values()][1]})
    world.materialize()
    assert "data/train-b.parquet#5" in command(world, "quarantine").out


@pytest.mark.parametrize("stage", ["captions", "vae_latents", "training_set"])
def test_damage_of_a_table_that_nothing_shows_is_healed_once_it_was_found(world: World, stage: str) -> None:
    before = settled(world).contents()
    UNSEEN["a bit flipped unseen in the data"](world.metadata_folder / f"{stage}.parquet")
    if stage == "training_set":
        with pytest.raises(Exception, match="missing or damaged: materialize the training_set"):
            world.training_set()
    else:
        assert f"{stage}.parquet: altered" in command(world, "verify").out
    world.materialize()
    assert world.contents() == before
    assert command(world, "verify").code == 0


def test_two_configs_that_take_turns_in_one_folder_each_get_their_own(world: World) -> None:
    settled(world)
    one = world.contents()
    tight = {"quality_thresholds": {"clip": 0.35}}
    for filter_func, expected in ((tight, 6), (None, 10), (tight, 6)):
        world.entry.pop("filter_func", None)
        if filter_func:
            world.entry["filter_func"] = filter_func
        world.materialize()
        assert len(world.contents()["row"]) == expected
    world.entry.pop("filter_func")
    world.materialize()
    assert world.contents() == one


def test_another_dataset_in_the_same_text_store_changes_nothing_here(world: World, opened: list[str]) -> None:
    texts = {"id": "texts", "dataset_type": "text_embeds", "cache_dir": "cache/text", "default": True}
    world.config["datasets"] = [world.entry, texts]
    settled(world)
    other = {**world.entry, "id": "others", "cache_dir": "cache/others", "caption_column": "alternative"}
    world.config["datasets"] = [world.entry, texts, other]
    world.materialize(selection="group:others")
    opened.clear()
    world.materialize(selection="group:photos")
    assert opened == []


def test_what_is_gone_beside_the_tables_is_made_again(world: World) -> None:
    settled(world)
    for name in ("report.html", "filtered_dropped.parquet", "vae_latents_quarantined.parquet"):
        (world.metadata_folder / name).unlink()
    world.materialize()
    assert {"report.html", "filtered_dropped.parquet", "vae_latents_quarantined.parquet"} <= {*written(world)}


def test_a_shard_that_goes_while_the_last_run_still_counts_is_noticed_by_runs_and_not_by_others(world: World) -> None:
    settled(world)
    folder = world.folder / "cache/photos/vae/photos"
    stray = folder / f"{'0' * 32}.safetensors"
    stray.write_bytes(b"not ours")
    assert world.materialize().encoded == (0, 0)
    ours = next(path for path in sorted(folder.glob("*.safetensors")) if path != stray)
    status = ours.stat()
    data = bytearray(ours.read_bytes())
    data[-1] ^= 1
    ours.write_bytes(bytes(data))
    os.utime(ours, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert world.materialize().encoded[0] > 0
    world.check()


def test_a_run_that_was_overtaken_between_its_look_and_its_event_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hf_assets.orchestrate import asset

    settled(world)
    real = asset.recall

    def overtaken(folder: Path, name: str, *rest: Any) -> Any:
        found = real(folder, name, *rest)
        if name == "captions" and found is not None:
            monkeypatch.undo()
            (folder / "captions.parquet").touch()
        return found

    monkeypatch.setattr(asset, "recall", overtaken)
    with pytest.raises(Exception) as caught:  # noqa: PT011  Dagster wraps it
        world.materialize()
    assert "another run changed photos/captions" in str(caught.value.__cause__ or caught.value)
    assert world.materialize().encoded == (0, 0)

"""Garbage of one store: what goes, what stays, and that nothing is lost on the way."""

import itertools
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors import safe_open

from hf_assets import files, fingerprint
from hf_assets.blobs import Blobs
from hf_assets.errors import StoreError
from hf_assets.store import gc, index
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests.store.damage import SEEN, UNSEEN
from hf_assets_tests.store.killing import killed_before_change
from hf_assets_tests.store.samples import HEADER, column, filled, keys_of, read, sample, shard_of

NOW, HOUR = timedelta(0), timedelta(hours=1)


def collect(store: TensorStore, live: str, grace: timedelta = NOW) -> gc.Garbage:
    garbage = gc.survey(store, column(live), grace)
    gc.sweep(store, garbage, grace)
    return garbage


def shards(store: TensorStore) -> set[str]:
    return set(store.present())


def aged(path: Path, by: timedelta = timedelta(days=2)) -> None:
    os.utime(path, (time.time() - by.total_seconds(),) * 2)


@pytest.mark.parametrize(
    ("stored", "live", "left", "num_shards"),
    [
        (("ab", "cd"), "abcd", "abcd", 2),
        (("ab", "cd"), "cd", "cd", 1),  # one shard is wholly dead
        (("abcd",), "abc", "abcd", 1),  # a quarter is dead: not worth a copy, so it stays
        (("abcd",), "ab", "abcd", 1),  # exactly half
        (("abcd",), "a", "a", 1),  # three quarters: copied without
        (("abcd", "efgh"), "aef", "aefgh", 2),
        (("ab",), "", "", 0),
        (("ab",), "xyz", "", 0),
        ((), "a", "", 0),
    ],
)
def test_what_nothing_names_goes(
    stored: tuple[str, ...], live: str, left: str, num_shards: int, tmp_path: Path
) -> None:
    store = filled(tmp_path, *stored)
    collect(store, live)
    assert keys_of(store) == left
    assert read(store, left)
    assert len(shards(store)) == num_shards


def test_a_shard_that_loses_its_samples_one_by_one_is_copied_when_most_are_gone(tmp_path: Path) -> None:
    store = filled(tmp_path, "abcde")
    assert [collect(store, live).dead_samples for live in ("abcd", "abc", "ab", "ab", "a", "")] == [0, 0, 3, 0, 0, 2]


@pytest.mark.parametrize(("live", "is_copied"), [("abcd", False), ("ab", False), ("a", True)])
def test_a_shard_is_copied_when_more_than_half_is_dead(live: str, is_copied: bool, tmp_path: Path) -> None:
    store = filled(tmp_path, "abcd")
    before = shard_of(store, "a")
    size = before.stat().st_size
    collect(store, live)
    after = shard_of(store, "a")
    assert (after != before) == is_copied
    assert before.exists() == (not is_copied)
    if is_copied:
        assert after.stat().st_size < size / 2
        with safe_open(after, framework="pt") as file:
            assert list(file.keys()) == ["a.latents"]
            assert file.metadata() == HEADER


def test_dead_bytes_count_not_dead_samples(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    large = Sample("l", {"x": torch.zeros(1000)})
    shard = store.write([large, sample("a"), sample("b")], HEADER)
    assert gc.survey(store, column("l"), NOW).sparse_shards == []  # two of three samples are dead, but few bytes
    assert gc.survey(store, column("ab"), NOW).sparse_shards == [shard]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_a_copied_tensor_has_the_same_bytes(dtype: torch.dtype, tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    tensors = {"x": torch.arange(6).reshape(2, 3).to(dtype), "y": torch.tensor(1.5)}
    store.write([Sample("a", tensors), sample("b"), sample("c"), sample("d")], HEADER)
    before = {row["tensor"]: row["checksum"] for row in store.index().to_pylist() if row["key"] == "a"}
    assert gc.survey(store, column("a"), NOW).sparse_shards
    collect(store, "a")
    rows = [row for row in store.index().to_pylist() if row["key"] == "a"]
    assert {row["tensor"]: row["checksum"] for row in rows} == before
    from hf_assets.store.tensor_reader import TensorReader

    found = TensorReader(tmp_path, column("a"))[0]  # checks them
    assert torch.equal(found["x"], tensors["x"])


def test_what_is_young_stays(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cd")
    orphan, _ = store.place(b"its writer is about to commit it")
    garbage = collect(store, "", grace=HOUR)
    assert (garbage.dead_samples, garbage.dead_shards, garbage.strays) == (0, [], [])
    assert keys_of(store) == "abcd"
    assert orphan in shards(store)


def test_the_old_shard_of_a_copy_stays_for_the_grace_period(tmp_path: Path) -> None:
    store = filled(tmp_path, "abcd")
    old = shard_of(store, "a")
    aged(old)
    garbage = gc.survey(store, column("a"), NOW)
    gc.sweep(store, garbage, HOUR)
    assert shard_of(store, "a") != old
    assert old.exists()
    assert collect(store, "a", grace=HOUR).strays == []
    aged(old)
    assert collect(store, "a", grace=HOUR).strays == [old.name]
    assert not old.exists()
    assert read(store, "a")


def test_failures_stay(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab")
    store.fail({"c": ("non_finite", "no numbers"), "d": ("non_finite", "no numbers")})
    store.retry(pa.array(["d"]))
    collect(store, "")
    assert index.failures(store.index())["key"].to_pylist() == ["c"]
    store.fail({"d": ("non_finite", "no numbers")})
    failed = index.failures(store.index()).to_pylist()
    assert [row["key"] for row in failed if row["first_seen"] < row["last_seen"]] == ["d"]


def test_a_key_stored_twice_is_kept_once(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "abc")
    garbage = collect(store, "abc")
    assert (garbage.dead_samples, len(garbage.dead_shards)) == (0, 1)
    assert len(shards(store)) == 1
    assert read(store, "abc")


def test_the_same_shard_committed_twice_is_no_garbage(tmp_path: Path) -> None:
    store = filled(tmp_path, "abc", "abc")
    garbage = collect(store, "abc")
    assert (garbage.num_samples, garbage.dead_bytes, garbage.dead_shards, garbage.sparse_shards) == (3, 0, [], [])
    assert read(store, "abc")


def test_files_that_are_no_data_go_when_they_are_old(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cd")
    orphan, _ = store.place(b"its writer was killed")
    strays = [
        store.shard_path(orphan),
        tmp_path / f"{files.TEMPORARY_PREFIX}x",
        store.index_folder / f"{files.TEMPORARY_PREFIX}y",
        tmp_path / f"{files.DAMAGED_PREFIX}z.safetensors",
    ]
    for path in strays[1:]:
        path.write_bytes(b"")
    fresh = tmp_path / f"{files.TEMPORARY_PREFIX}fresh"
    fresh.write_bytes(b"")
    for path in strays:
        aged(path)
    assert sorted(gc.survey(store, column("abcd"), timedelta(days=3)).strays) == []
    assert sorted(collect(store, "abcd").strays) == sorted(str(path.relative_to(tmp_path)) for path in strays)
    assert not any(path.exists() for path in strays)
    assert fresh.exists()  # another process may be writing it
    assert read(store, "abcd")


@pytest.mark.parametrize("damage", SEEN.values(), ids=SEEN.keys())
def test_damaged_shards_go_and_the_rest_stays(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = filled(tmp_path, "ab", "cd")
    damage(shard_of(store, "a"))
    assert len(collect(store, "abcd").damaged_shards) == 1
    assert read(store, "cd")
    assert len(shards(store)) == 1
    assert gc.survey(store, column("abcd"), NOW).damaged_shards == []


@pytest.mark.parametrize("damage", UNSEEN.values(), ids=UNSEEN.keys())
def test_damage_is_not_copied(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = filled(tmp_path, "abcd", "ef")
    damage(shard_of(store, "a"))
    collect(store, "aef")
    assert keys_of(store) == "ef"
    assert read(store, "ef")


def test_small_parts_of_the_index_become_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "PART_ROWS", 4)
    store = filled(tmp_path, *"abcdefghij")
    collect(store, "abcdefghij")
    names = index.part_names(store.index_blobs)
    assert len(names) == 3  # ten rows
    assert read(store, "abcdefghij")
    assert not gc.survey(store, column("abcdefghij"), NOW).is_scattered
    collect(store, "abcdefghij")
    assert index.part_names(store.index_blobs) == names


def test_a_run_keeps_garbage_collection_away_and_it_says_so(tmp_path: Path) -> None:
    first, second, third = (TensorStore(tmp_path) for _ in range(3))
    with (
        first.in_use(tmp_path),
        second.in_use(tmp_path),
        pytest.raises(StoreError, match=r"a run is using .*: try again"),
        third.alone(),
    ):
        pass
    with third.alone():
        pass


def test_an_index_read_during_garbage_collection_is_whole(tmp_path: Path) -> None:
    """Parts are replaced between the listing and the reading."""
    store = filled(tmp_path, *"abcd")
    names = index.part_names(store.index_blobs)
    calls = itertools.count()

    listing = index.part_names

    def listed(folder: Path) -> list[str]:
        if next(calls) == 0:
            collect(store, "abcd")  # which lists them too
            return names
        return listing(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "part_names", listed)
        parts = index.read_parts(store.index_blobs)
    assert sorted(index.stored_keys(index.join_parts(parts)).to_pylist()) == list("abcd")


def test_keys_that_are_looked_up_during_garbage_collection_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is done between the first part and the second."""
    keys = [fingerprint.of_bytes(name.encode()) for name in "abcd"]
    store = TensorStore(tmp_path)
    for key in keys:
        store.write([Sample(key, {"latents": torch.ones(1)})], HEADER)
    calls = itertools.count()
    real = index.read_part

    def read_part(blobs: Blobs, name: str) -> pa.Table | None:
        if next(calls) == 1:
            gc.sweep(store, gc.survey(store, column(keys), NOW), NOW)
        return real(blobs, name)

    monkeypatch.setattr(index, "read_part", read_part)
    found = store.look_up(column(keys), ("status",))
    assert sorted(found["key"].to_pylist()) == sorted(keys)


def test_killed_at_any_moment_the_store_stays_valid(tmp_path: Path) -> None:
    """Before each change that garbage collection makes: nothing live is lost, and the next one finishes the work."""
    made = filled(tmp_path / "made", "abcd", "efgh", "ij", *"kl", "abm", "nopq")
    made.fail({"x": ("non_finite", "no numbers")})
    live, left = "aefikln", "aefghijkln"
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        shutil.copytree(made.folder, folder)
        store = TensorStore(folder)
        was_killed = killed_before_change(number, lambda store=store: collect(store, live))
        assert set(live) <= set(keys_of(store))
        assert read(store, keys_of(store))
        assert index.failures(store.index())["key"].to_pylist() == ["x"]
        collect(store, live)
        assert keys_of(store) == left
        assert read(store, left)
        assert shards(store) == set(index.stored_rows(store.index())["shard"].to_pylist())
        assert all(fingerprint.of_file(store.shard_path(shard)) == shard for shard in shards(store))
        if not was_killed:
            break
    assert number > 12  # shards, parts and old files: each was a moment

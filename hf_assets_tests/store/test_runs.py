"""Sorted runs of an index: whatever was merged, a look-up finds what is in the parts, and opens little."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from hf_assets import blobs, fingerprint
from hf_assets.blobs import Blobs
from hf_assets.store import gc, index, runs
from hf_assets.store.index import INDEX
from hf_assets.store.tensors import TensorStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def key(number: int) -> str:
    return fingerprint.of_bytes(str(number).encode())


def row(number: int, shard: str = "s") -> dict[str, object]:
    return {"key": key(number), "tensor": "latents", "shard": f"{shard}{number}", "shape": [1, 2], "dtype": "float32",
            "status": "ok", "checksum": key(-number), "num_bytes": 8, "written_at": NOW}  # fmt: skip


def commit(place: Blobs, *numbers: int, shard: str = "s") -> str:
    return index.commit(place, pa.Table.from_pylist([row(one, shard) for one in numbers], schema=INDEX))


def found(place: Blobs, *numbers: int) -> list[tuple[int, str]]:
    """(which of the wanted, shard) of each row that is found."""
    table = runs.find(place, runs.Wanted(pa.array([key(one) for one in numbers], pa.string())), ["shard"])
    return sorted(
        (numbers[at], shard) for at, shard in zip(*(table[n].to_pylist() for n in ("at", "shard")), strict=True)
    )


@pytest.fixture(autouse=True, params=[runs.FEW, 0], ids=["", "few wanted"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FEW", request.param)
    monkeypatch.setattr(runs, "MERGED_PARTS", 4)
    monkeypatch.setattr(runs, "GROUP_ROWS", 5)
    monkeypatch.setattr(runs, "MERGED_GROUPS", 1)
    runs.KNOWN_RUNS.clear()
    runs.DESCRIBED_RUNS.clear()


@pytest.fixture
def place(tmp_path: Path) -> Blobs:
    return blobs.at(tmp_path / "index")


def test_whatever_is_merged_each_key_is_found_once_for_each_time_it_was_committed(place: Blobs) -> None:
    draw = random.Random(0)
    committed: list[int] = []
    for number in range(120):
        some = draw.sample(range(300), draw.randint(1, 6))
        commit(place, *some, shard=f"{number}/")
        committed += [(one, f"{number}/{one}") for one in some]  # type: ignore[misc]
        runs.merge(place)
    assert found(place, *range(300)) == sorted(committed)  # type: ignore[type-var]
    some = draw.sample(range(400), 20)
    assert found(place, *some) == sorted(one for one in committed if one[0] in some)  # type: ignore[index,type-var]
    layout = runs.layout(place)
    assert len(layout.alone) < 4
    assert len(layout.runs) <= 5
    assert len(index.part_names(place)) == 120, "no part is removed"


def test_rows_of_a_run_are_in_order_in_groups_of_which_few_are_read(
    place: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(0, 100, 10):
        commit(place, *range(number, number + 10))
    runs.merge(place)
    (run,) = runs.layout(place).runs
    keys = [one for table in runs.all_rows(place) for one in table["key"].to_pylist()]
    assert keys == sorted(map(key, range(100)))
    assert run.num_rows == 100
    read: list[int] = []
    real = runs.matching_rows
    monkeypatch.setattr(runs, "matching_rows", lambda rows, *more: read.append(len(rows)) or real(rows, *more))
    assert found(place, 17) == [(17, "s17")]
    assert sum(read) <= 10


def test_two_that_merge_at_once_do_no_harm(place: Blobs, tmp_path: Path) -> None:
    for number in range(8):
        commit(place, number)
    one = runs.layout(place)
    runs.merge(place)
    commit(place, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "layout", lambda _: one)  # as another process saw it before
        runs.merge(place)
    assert found(place, *range(9)) == [(n, f"s{n}") for n in range(9)]


@pytest.mark.parametrize("damage", ["flipped", "it says that it covers another part", "cut", "gone"])
def test_a_damaged_run_is_as_if_it_had_never_been(place: Blobs, tmp_path: Path, damage: str) -> None:
    for number in range(8):
        commit(place, number)
    runs.merge(place)
    (path,) = (tmp_path / "index" / "runs").glob("*.parquet")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    if "covers" in damage:
        at = data.index(runs.COVERS) + 40
        data[at] = ord("0") if data[at] != ord("0") else ord("1")
    path.write_bytes(bytes(data[:-20] if damage == "cut" else data))
    if damage == "gone":
        path.unlink()
    assert found(place, *range(8)) == [(n, f"s{n}") for n in range(8)]
    assert not runs.layout(place).runs
    assert len(runs.drop_damaged(place)) == (damage != "gone")
    runs.merge(place)
    assert len(runs.layout(place).runs) == 1


def test_a_damaged_part_whose_rows_a_run_has_costs_nothing(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    shards = []
    for number in range(8):
        shard, facts = store.place(str(number).encode())
        shards.append(shard)
        store.commit_rows([{**row(number), **facts}])
    with store.in_use(tmp_path / "tables"):
        pass
    part = sorted((tmp_path / "index").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-1])
    wanted = pa.array([key(number) for number in range(8)], pa.string())
    assert sorted(store.look_up(wanted, ("shard",))["shard"].to_pylist()) == sorted(shards)
    with store.alone():
        garbage = gc.survey(store, wanted, NOW - NOW)
        gc.sweep(store, garbage, NOW - NOW)
    assert sorted(store.look_up(wanted, ("shard",))["shard"].to_pylist()) == sorted(shards)
    assert not list((tmp_path / "index" / "runs").iterdir())


def test_a_key_that_is_no_hash_is_found_too(place: Blobs) -> None:
    for number in range(6):
        index.commit(place, pa.Table.from_pylist([{**row(number), "key": f"key {number}"}], schema=INDEX))
        runs.merge(place)
    table = runs.find(place, runs.Wanted(pa.array(["key 4", "key 9"])), ["shard"])
    assert table["shard"].to_pylist() == ["s4"]
    assert not runs.layout(place).runs


def test_keys_that_begin_alike_are_told_apart() -> None:
    first = ["0" * 16 + f"{number:016x}" for number in range(10)]
    wanted = runs.Wanted(pa.array(first[::-1][:7], pa.string()))
    assert wanted.positions(pa.array(first)).tolist() == [-1, -1, -1, 6, 5, 4, 3, 2, 1, 0]
    assert wanted.positions(pa.array(["f" * 32])).tolist() == [-1]
    assert runs.Wanted(pa.array([], pa.string())).positions(pa.array(first)).tolist() == [-1] * 10


def test_packed_keys_are_looked_up_as_texts_are() -> None:
    keys = pa.array([key(number) for number in range(50)], pa.string())
    packed = fingerprint.pack(keys)
    assert runs.Wanted(keys).positions(packed).tolist() == runs.Wanted(packed).positions(keys).tolist() == [*range(50)]

"""Rows on the disk by their keys: all come back, equal keys in one part, in the order in which they were written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hf_assets import fingerprint
from hf_assets.store import spilling
from hf_assets.store.spilling import PARTS, DistinctTexts, SpilledRows

SCHEMA = pa.schema([("row", pa.int64()), ("key", fingerprint.PACKED)])


def rows(start: int, stop: int) -> pa.Table:
    hashes = pa.array([fingerprint.of_bytes(str(number % 300).encode()) for number in range(start, stop)], pa.string())
    return pa.table([np.arange(start, stop), fingerprint.pack(hashes)], schema=SCHEMA)


@pytest.mark.parametrize("written_rows", [1, 100, 10_000])
def test_rows_lie_by_their_keys_and_keep_their_order(
    written_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilling, "WRITTEN_ROWS", written_rows)
    spilled = SpilledRows(tmp_path / "rows", SCHEMA, "key")
    whole = rows(0, 1_000)
    for start in range(0, 1_000, 37):
        spilled.add(whole.slice(start, 37))
    parts = list(spilled.parts())
    assert len(parts) == PARTS
    for number, part in enumerate(parts):
        assert all(key[0] >> 3 == number for key in part["key"].to_pylist())
        assert part["row"].to_pylist() == sorted(part["row"].to_pylist())
    assert pa.concat_tables(parts).sort_by("row").equals(whole.sort_by("row"))
    assert [len(part) for part in spilled.parts()] == [len(part) for part in parts]  # they can be read again


def test_of_nothing_every_part_is_empty(tmp_path: Path) -> None:
    spilled = SpilledRows(tmp_path / "rows", SCHEMA, "key")
    spilled.add(SCHEMA.empty_table())
    assert [len(part) for part in spilled.parts()] == [0] * PARTS


def test_rows_lie_by_their_place_in_another_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling, "WRITTEN_ROWS", 10)
    shuffled = rows(0, 1_000).take(np.random.default_rng(0).permutation(1_000))
    spilled = SpilledRows(tmp_path / "rows", SCHEMA, "row", spilling.by_position(1_000))
    spilled.add(shuffled)
    assert pa.concat_tables(part.sort_by("row") for part in spilled.parts()).equals(rows(0, 1_000))


@pytest.mark.parametrize("written_rows", [1, 10_000])
def test_pieces_hold_several_small_parts_or_one_large_one(
    written_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilling, "WRITTEN_ROWS", written_rows)
    spilled = SpilledRows(tmp_path / "rows", SCHEMA, "key")
    spilled.add(rows(0, 1_000))
    assert (tmp_path / "rows").exists() is (written_rows == 1)  # few rows stay in memory
    assert [len(piece) for piece in spilled.pieces(2_000)] == [1_000]
    pieces = list(spilled.pieces(100))
    assert 8 < len(pieces) < PARTS
    assert pa.concat_tables(pieces) == pa.concat_tables(spilled.parts())
    assert len(list(spilled.pieces(1))) == PARTS


@pytest.mark.parametrize("written_rows", [3, 10_000])
def test_different_texts_are_counted(written_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling, "WRITTEN_ROWS", written_rows)
    with DistinctTexts() as distinct:
        for start in range(0, 100, 10):
            distinct.add(pa.array([str(number % 33) for number in range(start, start + 10)]))
        distinct.add(pa.chunked_array([], pa.large_string()))
        assert distinct.count() == 33

"""Rows on the disk by their keys: all come back, equal keys in one part, in the order in which they were written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hf_assets import fingerprint
from hf_assets.store import spilling
from hf_assets.store.spilling import PARTS, SpilledRows

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

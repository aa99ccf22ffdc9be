"""A table that is written while it is made is the one that is written as a whole, or none."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import files, fingerprint
from hf_assets.store.draft import DraftTable

ROWS = pa.table(
    {
        "row": pa.array(np.arange(1_000)),
        "texts": [[str(number)] * (number % 3) for number in range(1_000)],
        "shard": pa.array([None if number % 7 else "s" for number in range(1_000)], pa.string()),
    }
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 64)
    monkeypatch.setattr("hf_assets.store.draft.HASHED_ROWS", 64)


def written(path: Path, *sizes: int, identity: tuple[str, ...] | None = None) -> DraftTable:
    draft, start = DraftTable(path, identity), 0
    for size in sizes:
        draft.add(ROWS.slice(start, size))
        start += size
    return draft


@pytest.mark.parametrize("sizes", [(1_000,), (0, 1, 63, 64, 65, 807), (500, 0, 500), tuple([40] * 25)])
def test_however_rows_come_the_table_and_its_version_are_those_of_the_whole(
    sizes: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    draft = written(path, *sizes)
    assert draft.version == fingerprint.of_table(ROWS)
    assert not path.exists()  # nobody sees half of it
    draft.note({b"said": "later"})
    draft.publish()
    assert files.read_table(path) == ROWS
    assert files.metadata_of(path)[b"said"] == b"later"
    assert pq.read_metadata(path).num_row_groups == 16
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


def test_a_version_is_that_of_the_columns_which_make_it(tmp_path: Path) -> None:
    draft = written(tmp_path / "table", 700, 300, identity=("row", "texts"))
    assert draft.version == fingerprint.of_table(ROWS, ["row", "texts"]) != fingerprint.of_table(ROWS)


def test_of_no_rows_there_is_a_table_without_rows(tmp_path: Path) -> None:
    draft = DraftTable.of(tmp_path / "table", ROWS.slice(0, 0))
    assert draft.version == fingerprint.of_table(ROWS.slice(0, 0))
    draft.publish()
    (table,) = files.read_tables(tmp_path / "table") or ()
    assert table == ROWS.slice(0, 0)


def test_what_is_discarded_or_forgotten_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table"
    written(path, 10).publish()
    written(path, 1_000).discard()
    written(path, 1_000)
    assert files.read_table(path) == ROWS.slice(0, 10)
    assert [file.name for file in tmp_path.iterdir()] == ["table"]


def test_a_table_is_read_in_pieces_and_not_at_all_where_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "table"
    written(path, 1_000).publish()
    pieces = list(files.read_tables(path, ["shard", "row"], num_rows=300) or ())
    assert max(map(len, pieces)) <= 300
    assert pa.concat_tables(pieces).select(["row", "shard"]) == ROWS.select(["row", "shard"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert files.read_tables(path) is None
    assert files.read_tables(tmp_path / "none") is None

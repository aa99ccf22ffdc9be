"""A table that is written while it is made is the one that is written as a whole, or none."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import files, fingerprint
from hf_assets.store.draft import DraftTable, Over
from hf_assets.store.pieces import PiecedFile, open_pieces

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
    assert draft.version == DraftTable.of(tmp_path / "other", ROWS).version
    assert not path.exists()  # nobody sees half of it
    draft.note({b"said": "later"})
    draft.publish()
    assert files.read_table(path) == ROWS
    assert files.metadata_of(path)[b"said"] == b"later"
    assert pq.read_metadata(path).num_row_groups == 16
    assert (tmp_path / "table.parquet").exists()


def test_a_version_is_that_of_the_columns_which_make_it(tmp_path: Path) -> None:
    draft = written(tmp_path / "table", 700, 300, identity=("row", "texts"))
    other = ROWS.set_column(2, "shard", [pa.nulls(len(ROWS), pa.string())])
    assert draft.version == DraftTable.of(tmp_path / "other", other, ("row", "texts")).version
    assert draft.version != DraftTable.of(tmp_path / "whole", ROWS).version
    named = ROWS.rename_columns(["row", "words", "shard"])
    assert draft.version != DraftTable.of(tmp_path / "named", named, ("row", "words")).version


def test_of_no_rows_there_is_a_table_without_rows(tmp_path: Path) -> None:
    draft = DraftTable.of(tmp_path / "table", ROWS.slice(0, 0))
    assert draft.version == DraftTable.of(tmp_path / "other", ROWS.slice(0, 0)).version
    assert draft.version != DraftTable.of(tmp_path / "another", ROWS.slice(0, 0).drop_columns("shard")).version
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


def by_row(path: Path, rows: pa.Table, keys: dict[int, str] | None = None, over: Over | None = None) -> DraftTable:
    draft = DraftTable(path, by_row=True, over=over or Over(None, (), keys or {}))
    draft.add(rows)
    return draft


def opened(path: Path) -> PiecedFile:
    found = open_pieces(path)
    assert found is not None
    return found


def test_pieces_are_stretches_of_the_split_however_many_rows_the_table_has(tmp_path: Path) -> None:
    path = tmp_path / "table"
    by_row(path, ROWS.take([1, 63, 64, 640, 999]), {2: "no rows", 15: "k"}).publish()
    with opened(path) as table:
        assert [(piece.number, piece.num_rows, piece.key) for piece in table.pieces.values()] == [
            (0, 2, None),
            (1, 1, None),
            (2, 0, "no rows"),
            (10, 1, None),
            (15, 1, "k"),
        ]
        assert table.read(0)["row"].to_pylist() == [1, 63]
        assert table.read(10, ["texts"]).to_pydict() == {"texts": [["640"]]}
        assert table.read(2).num_rows == table.read(3).num_rows == 0
        assert table.find(15, "k")
        assert not table.find(15, "other")
        assert not table.find(0, None)


def test_a_table_of_kept_pieces_is_the_one_that_is_made_anew(tmp_path: Path) -> None:
    old, path = tmp_path / "old", tmp_path / "new"
    by_row(old, ROWS, {15: "k"}).publish()
    changed = pa.table({**{name: ROWS[name] for name in ROWS.column_names}, "texts": [["other"]] * 1_000})
    whole = pa.concat_tables([ROWS.slice(0, 640), changed.slice(640, 64), ROWS.slice(704)])
    expected = by_row(tmp_path / "whole", whole)
    with opened(old) as table:
        kept = [number for number in range(16) if number != 10]
        draft = by_row(path, changed.slice(640, 64), over=Over(table, kept, {10: "other", 15: "k"}))
        draft.complete()
    draft.describe({b"of": b"now"})
    draft.note({b"said": "later"})
    assert draft.version == expected.version
    draft.publish()
    assert draft.num_rows == 1_000
    assert files.read_table(path) == whole
    assert pa.concat_tables(files.read_tables(path, num_rows=300) or ()) == whole
    assert duckdb.read_parquet(str(path)).arrow().read_all().to_pydict() == whole.to_pydict()
    assert files.metadata_of(path)[b"said"] == b"later"
    assert pq.read_schema(path).metadata[b"of"] == b"now"
    assert pq.ParquetFile(path, page_checksum_verification=True).read() == whole
    with opened(path) as table:
        assert {number: piece.key for number, piece in table.pieces.items()} == {
            **dict.fromkeys(range(15)), 10: "other", 15: "k"
        }  # fmt: skip


def test_a_piece_may_have_no_rows_and_is_known_all_the_same(tmp_path: Path) -> None:
    path, keys = tmp_path / "table", {0: "a", 1: "b"}
    by_row(path, ROWS.slice(64, 3), keys).publish()
    with opened(path) as table:
        again = DraftTable(tmp_path / "again", by_row=True, over=Over(table, [0, 1], keys))
        again.publish()
        nothing = DraftTable(tmp_path / "none", by_row=True, over=Over(table, [0], {0: "a"}))
        assert nothing.num_rows == 0
        nothing.publish()
    assert files.read_table(tmp_path / "again") == ROWS.slice(64, 3)
    assert again.version == by_row(tmp_path / "third", ROWS.slice(64, 3)).version
    assert files.read_table(tmp_path / "none") == ROWS.slice(0, 0)


@pytest.mark.parametrize("damage", ["cut", "altered", "gone", "of an earlier release"])
def test_no_piece_is_taken_of_a_table_that_is_not_as_it_was_written(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    by_row(path, ROWS).publish()
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-9])
    elif damage == "altered":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "gone":
        path.unlink()
    else:
        files.write_table(path, ROWS)
    assert open_pieces(path) is None


def test_types_of_all_kinds_are_as_they_were_in_a_piece_that_is_taken_over(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "row": pa.array([0, 1, 2]),
            "none": pa.nulls(3),
            "flag": [True, None, False],
            "name": pa.array(["a", "b", "a"]).dictionary_encode(),
            "size": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
            "nested": [{"a": [{"b": "x"}], "c": 1.5}, None, {"a": [], "c": None}],
            "large": pa.array(["x", "", None], pa.large_string()),
            "time": pa.array([1, None, 2], pa.timestamp("us", tz="UTC")),
            "bytes": pa.array([b"\0" * 16, None, b"\1" * 16], pa.binary(16)),
        }
    )
    by_row(tmp_path / "old", rows).publish()
    with opened(tmp_path / "old") as table:
        DraftTable(tmp_path / "new", by_row=True, over=Over(table, [0], {})).publish()
    kept = files.read_table(tmp_path / "new")
    assert kept is not None
    assert kept.schema.equals(rows.schema)
    assert kept.equals(rows)

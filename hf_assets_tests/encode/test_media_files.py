"""Rows are split by the file that holds them."""

import numpy as np
import pyarrow as pa
import pytest

from hf_assets.encode.media_files import by_file
from hf_assets.sources.spec import DataFile, Snapshot

A, B = DataFile("a.parquet", "ah", 1), DataFile("b.parquet", "bh", 1)


@pytest.mark.parametrize(
    ("listed", "places", "expected"),
    [
        ([A, B], "a0 a2 b0 b1", "a02 b01"),
        ([A, B, A], "a0 b5 a0", "a0 b5 a0"),
        ([A, A], "a0 a1 a0 a1", "a01 a01"),  # one file, listed twice in a row
        ([A, A], "a1 a1", "a1 a1"),
        ([A, A], "a0 a1", "a01"),  # of one listing or of both: the same bytes
        ([A, A, B], "a2 a0 b0 b1", "a2 a0 b01"),
        ([A], "c-1 c-1 a0 a1 d-1 a2", "c-1 c-1 a01 d-1 a2"),  # c and d are media files of their own
        ([A], "", ""),
    ],
)
def test_rows_ascend_within_each_part(listed: list[DataFile], places: str, expected: str) -> None:
    table = pa.table(
        {
            "row": np.arange(len(places.split())),
            "file_path": pa.array([f"{place[0]}.parquet" for place in places.split()], pa.string()),
            "file_hash": pa.array([f"{place[0]}h" for place in places.split()], pa.string()),
            "file_row": pa.array([int(place[1:]) for place in places.split()], pa.int64()),
        }
    )
    parts = list(by_file(table, Snapshot("d", "c", False, tuple(listed))))
    assert " ".join(part.file.path[0] + "".join(map(str, part.file_rows)) for part in parts) == expected
    assert [row for part in parts for row in part.rows] == list(range(len(table)))

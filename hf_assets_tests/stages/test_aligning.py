"""Tables side by side give each row its own, however they are cut."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hf_assets.stages.aligning import rows_at, side_by_side

ROWS = st.lists(st.integers(0, 60), unique=True).map(sorted)


def cut(rows: list[int], size: int) -> Iterator[pa.Table]:
    table = pa.table({"row": pa.array(rows, pa.int64())})
    return (table.slice(start, size) for start in range(0, len(rows) or 1, size))


@given(ROWS, ROWS, st.integers(1, 20), st.integers(1, 20))
def test_each_table_comes_with_the_rows_up_to_its_last(one: list[int], other: list[int], size: int, step: int) -> None:
    taken, last = [], -1
    for first, second in side_by_side(cut(one, size), cut(other, step)):
        rows = second["row"].to_pylist()
        assert all(row > last for row in rows)
        last = first["row"][-1].as_py() if len(first) else last
        assert all(row <= last for row in rows)
        taken += rows
    assert taken == [row for row in other if one and row <= one[-1]]


def test_rows_are_found_by_their_positions() -> None:
    found = rows_at(cut(list(range(100, 160)), 7), np.array([0, 6, 7, 30, 59]))
    assert found["row"].to_pylist() == [100, 106, 107, 130, 159]

"""Rows that are the same in two training sets are left out as they come; the others are compared."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.show.changed import without_equal

ROWS: list[dict[str, Any]] = [
    {"row": 0, "source_path": "a.jpg", "captions": ["one", "two"], "target_size": [64, 64]},
    {"row": 1, "source_path": None, "captions": [], "target_size": None},
    {"row": 2, "source_path": "c.jpg", "captions": ["three"], "target_size": [64, 128]},
]
NAMES = ["source_path", "captions", "target_size"]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """In two pieces."""
    fields = [schema.TRAINING_SET.field(name) for name in ("row", *NAMES)]
    whole = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    return pa.concat_tables([whole.slice(0, 1), whole.slice(1)])


def left(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
    before, after = without_equal(table(old), table(new), NAMES)
    return before["row"].to_pylist(), after["row"].to_pylist()


def test_of_equal_tables_nothing_is_left() -> None:
    assert left(ROWS, ROWS) == ([], [])


@pytest.mark.parametrize(
    ("row", "changed"),
    [
        (0, {"captions": ["one", "too"]}),
        (0, {"captions": ["onet", "wo"]}),
        (0, {"captions": ["one"]}),  # those of other rows have moved
        (1, {"captions": [""]}),
        (1, {"source_path": ""}),
        (1, {"target_size": [0, 0]}),
        (2, {"target_size": [128, 64]}),
        (2, {"source_path": None}),
    ],
)
def test_a_row_with_another_value_is_left_in_both(row: int, changed: dict[str, Any]) -> None:
    new = [one | changed if one["row"] == row else one for one in ROWS]
    assert left(ROWS, new) == ([row], [row])


def test_rows_that_come_and_go_are_left_and_others_are_found_by_their_number() -> None:
    assert left(ROWS[:2], ROWS[1:]) == ([0], [2])
    assert left([], ROWS) == ([], [0, 1, 2])
    assert left(ROWS, []) == ([0, 1, 2], [])

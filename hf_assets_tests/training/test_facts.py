"""Values of columns as Arrow gives them."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets.training.facts import Column

VALUES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1, -2, 1 << 60]),
    (pa.int32(), [1, None, 3]),
    (pa.float32(), [0.5, 1.5, -2.0]),
    (pa.bool_(), [True, False, True]),
    (pa.string(), ["a", "", "é日"]),
    (pa.large_string(), ["a", None, "é日"]),
    (pa.string(), ["", "", ""]),
    (pa.list_(pa.int32()), [[1, 2], [], [3]]),
    (pa.list_(pa.int32(), 2), [[1, 2], [3, 4], [5, 6]]),
    (pa.list_(pa.int32()), [[1, None], None, [3]]),
    (pa.large_list(pa.string()), [["a", "b"], [], ["c"]]),
    (pa.list_(pa.string()), [["a", None], [], ["c"]]),
    (pa.list_(pa.list_(pa.int64())), [[[1], []], [], [[2, 3]]]),
    (pa.struct({"x": pa.int64()}), [{"x": 1}, {"x": 2}, None]),
]


@pytest.mark.parametrize(
    ("kind", "values"), VALUES, ids=lambda value: str(value) if isinstance(value, pa.DataType) else ""
)
def test_each_value_is_what_arrow_gives(kind: pa.DataType, values: list[Any]) -> None:
    whole = pa.chunked_array([pa.array(values, kind)])
    sliced = pa.chunked_array([pa.array([values[0], *values], kind).slice(1)])
    parts = pa.chunked_array([pa.array(values[:1], kind), pa.array([], kind), pa.array(values[1:], kind)])
    for column in (whole, sliced, parts):
        assert [Column(column)[position] for position in range(3)] == values
        assert all(type(Column(column)[at]) is type(value) for at, value in enumerate(values))

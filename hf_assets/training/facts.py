"""Values of a table's columns, one at a time, as Python has them: read from Arrow's memory without its objects."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

# The types of a list's or a text's offsets.
_OFFSETS: dict[bool, np.dtype[Any]] = {False: np.dtype(np.int32), True: np.dtype(np.int64)}


class Column:
    """A column of a table: `column[i]` is what `table[name][i].as_py()` is."""

    def __init__(self, values: pa.ChunkedArray) -> None:
        self._chunks = [_getter(chunk) for chunk in values.chunks if len(chunk)]
        self._ends = list(accumulate(len(chunk) for chunk in values.chunks if len(chunk)))

    def __getitem__(self, position: int) -> Any:
        if len(self._chunks) == 1:
            return self._chunks[0](position)
        number = bisect_right(self._ends, position)
        return self._chunks[number](position - (self._ends[number - 1] if number else 0))


def _getter(values: pa.Array) -> Callable[[int], Any]:
    kind = values.type
    if values.null_count:
        return lambda position: values[position].as_py()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers: np.ndarray = values.to_numpy()
        return numbers.item
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _, offsets, data = values.buffers()
        ends = _offsets(values, offsets, pa.types.is_large_string(kind))
        text = memoryview(data) if data is not None else memoryview(b"")
        return lambda position: str(text[ends[position] : ends[position + 1]], "utf-8")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        ends = _offsets(values, values.buffers()[1], pa.types.is_large_list(kind))
        inner = values.values
        if (pa.types.is_integer(inner.type) or pa.types.is_floating(inner.type)) and not inner.null_count:
            elements: np.ndarray = inner.to_numpy()
            return lambda position: elements[ends[position] : ends[position + 1]].tolist()
        of_one = _getter(inner)
        return lambda position: [of_one(at) for at in range(ends[position], ends[position + 1])]
    return lambda position: values[position].as_py()


def _offsets(values: pa.Array, buffer: pa.Buffer, is_large: bool) -> np.ndarray:
    """(N + 1,) where each value begins and ends."""
    kind = _OFFSETS[is_large]
    return np.frombuffer(buffer, kind, len(values) + 1, values.offset * kind.itemsize)

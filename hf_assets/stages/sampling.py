"""Keep a number of rows, chosen so that growth and reordering upstream change the choice as little as they can.

Every row gets a number from what it is: the content of its named columns, and how many rows with the same content come
before it. The rows with the smallest numbers are kept. So neither its position nor the size of the dataset decides
about a row: of rows that are added, only those enter whose number is smaller than the largest kept.
"""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from hf_assets import fingerprint, schema

BATCH_ROWS = 65_536


def left_out(
    row_contents: npt.NDArray[np.uint64], is_candidate: npt.NDArray[np.bool_], count: int
) -> npt.NDArray[np.bool_]:
    """Which of the candidates are not among the chosen `count`.

    Args:
        row_contents: of all rows of the split, in its order (`contents`).
    """
    candidates = np.flatnonzero(is_candidate)
    lost = np.zeros(len(row_contents), bool)
    if len(candidates) > count:
        numbers = _mix(row_contents, _occurrence(row_contents))[candidates]
        lost[candidates[np.argsort(numbers, kind="stable")[count:]]] = True
    return lost


def contents(raw_dataset: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A hash of what each row holds in these columns, by which it is known."""
    found = np.zeros(len(raw_dataset), np.uint64)
    for column in columns:
        values = schema.column(raw_dataset, column)
        found = _mix(found, np.concatenate([np.empty(0, np.uint64), *map(_hashes, values.chunks)]))
    return found


def _hashes(values: pa.Array) -> npt.NDArray[np.uint64]:
    """A hash of each value; Python objects exist for one batch at a time."""
    digest = xxhash.xxh3_64_intdigest
    parts = [
        np.array([digest(_bytes_of(value)) for value in values.slice(at, BATCH_ROWS).to_pylist()], np.uint64)
        for at in range(0, len(values), BATCH_ROWS)
    ]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _bytes_of(value: object) -> bytes:
    if isinstance(value, str):
        return b"s" + value.encode()
    return json.dumps(value, default=repr, sort_keys=True).encode()


def _occurrence(contents: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Of each row, how many rows before it have the same content."""
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, bool)
    positions = np.arange(len(ordered))
    starts = np.maximum.accumulate(np.where(is_first, positions, 0))
    counts = np.empty(len(ordered), np.uint64)
    counts[order] = positions - starts
    return counts


def _mix(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One number of two."""
    return fingerprint.scramble(first * fingerprint.GOLDEN + second + np.uint64(0x632BE59BD9B4E019))

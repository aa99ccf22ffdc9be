"""Rows are chosen, and numbers counted, in however many tables they come."""

import numpy as np
import pyarrow as pa
import pytest

from hf_assets.draw.numbers import Chosen, Counts


def draw(rows: pa.Table) -> np.ndarray:
    found: np.ndarray = rows["row"].to_numpy().astype(np.uint64) * np.uint64(7) % np.uint64(31)
    return found


@pytest.mark.parametrize("count", [0, 1, 5, 31, 40])
@pytest.mark.parametrize("size", [1, 4, 31])
def test_rows_are_chosen_as_of_one_table_and_others_are_no_candidates(count: int, size: int) -> None:
    every = pa.table({"row": range(31)})
    chosen = Chosen(count, draw)
    for start in range(0, 31, size):
        some = every.slice(start, size)
        candidates = chosen.candidates(some)["row"].to_pylist()
        before = set(chosen.rows["row"].to_pylist()) if start else set()
        chosen.add(some)
        assert set(candidates) >= set(chosen.rows["row"].to_pylist()) - before
        assert len(candidates) <= count
    assert chosen.rows["row"].to_pylist() == sorted(range(31), key=lambda row: row * 7 % 31)[:count]


def test_numbers_are_counted_in_parts_too() -> None:
    one, other = Counts(), Counts()
    one.add(np.array([0, 3, 3]))
    other.add_counted([1, 5], [2, 4])
    for counts in (Counts(), other, one):
        one.include(counts)
    assert (one.values.tolist(), one.counts.tolist()) == ([0, 1, 3, 5], [2, 4, 4, 8])
    assert other.mean == 22 / 6

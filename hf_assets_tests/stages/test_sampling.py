"""A choice of rows that what comes and goes around them hardly changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hf_assets.stages.sampling import contents, left_out


def chosen(captions: Sequence[Any], count: int, among: Sequence[bool] | None = None) -> list[Any]:
    table = pa.table({"row": range(len(captions)), "columns": pa.array([{"caption": caption} for caption in captions])})
    candidates = np.array(among or [True] * len(captions), bool)
    kept = ~left_out(contents(table, ("caption",)), candidates, count) & candidates
    return [captions[at] for at in np.flatnonzero(kept)]


CAPTIONS = [f"caption {number}" for number in range(1_000)]


@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001])
def test_so_many_are_kept_or_all_where_there_are_fewer(count: int) -> None:
    assert len(chosen(CAPTIONS, count)) == min(count, 1_000)


def test_neither_order_nor_position_decides() -> None:
    assert set(chosen(CAPTIONS[::-1], 100)) == set(chosen(CAPTIONS, 100))


def test_of_rows_that_are_added_only_their_share_enters_and_none_changes_places() -> None:
    before = set(chosen(CAPTIONS, 100))
    for grown in ([*CAPTIONS, *(f"new {n}" for n in range(100))], [*(f"new {n}" for n in range(100)), *CAPTIONS]):
        after = set(chosen(grown, 100))
        assert {caption for caption in after if not caption.startswith("new")} <= before
        assert 0 < len(after - before) < 25  # about 9


def test_of_rows_that_go_only_the_chosen_are_replaced() -> None:
    before = chosen(CAPTIONS, 100)
    after = chosen([caption for caption in CAPTIONS if caption not in before[:3]], 100)
    assert len(set(after) - set(before)) == 3


def test_more_keep_all_that_fewer_kept() -> None:
    assert set(chosen(CAPTIONS, 50)) < set(chosen(CAPTIONS, 51))


@pytest.mark.parametrize("captions", [["same"] * 50, [None] * 50, [{"a": [1]}] * 50])
def test_rows_of_one_content_differ_by_how_many_came_before(captions: list[Any]) -> None:
    assert len(chosen(captions, 10)) == 10


def test_rows_that_another_filter_dropped_take_no_place() -> None:
    among = [number % 2 == 0 for number in range(1_000)]
    kept = chosen(CAPTIONS, 100, among)
    assert len(kept) == 100
    assert all(int(caption.split()[1]) % 2 == 0 for caption in kept)

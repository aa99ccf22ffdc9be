"""Threads that run ahead: in order, bounded, and honest about errors."""

import threading
import time
from collections.abc import Iterator

import pytest

from hf_assets.engines.ahead import map_ahead, run_ahead


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number

    assert list(map_ahead(slow_first, range(20), threads=4, ahead=6)) == list(range(20))


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_items_are_taken_than_the_bounds_allow(ahead: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ahead(lambda number: number, items(), threads=2, ahead=ahead)
    next(results)
    time.sleep(0.1)
    assert len(taken) <= 2 * ahead + 2  # waiting results, waiting items, and one in each hand
    results.close()  # type: ignore[attr-defined]


def test_an_error_in_an_item_or_in_the_work_reaches_the_consumer() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more items")

    with pytest.raises(RuntimeError, match="no more items"):
        list(run_ahead(items(), ahead=2))
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda number: 1 // number, [1, 0, 1], threads=2, ahead=2))


def test_a_consumer_that_stops_early_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    results = map_ahead(lambda number: number, iter(range(1000)), threads=3, ahead=4)
    next(results)
    results.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before

"""Which worker gets which unit, and what becomes of the units of one that died."""

import pyarrow as pa
import pytest

from hf_assets.engines.handout import Handout
from hf_assets.engines.unit import Unit


def units(*sizes: int) -> list[Unit]:
    """Units of consecutive numbers."""
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    return [Unit(at, pa.table({"key": [*range(start, start + sizes[at])]})) for at, start in enumerate(starts)]


class Store:
    """Knows which keys are settled."""

    def __init__(self) -> None:
        self.settled: set[int] = set()

    def left(self, given: list[Unit]) -> list[Unit]:
        rest = [(unit, [key for key in unit.jobs["key"].to_pylist() if key not in self.settled]) for unit in given]
        return [Unit(unit.number, pa.table({"key": keys})) for unit, keys in rest if keys]


def keys(unit: Unit | None) -> list[int] | None:
    return None if unit is None else unit.jobs["key"].to_pylist()


def test_a_worker_takes_units_until_there_are_none_and_all_are_done_when_all_are_finished() -> None:
    handout = Handout(units(2, 2, 1), Store().left)
    assert [keys(handout.next(0)), keys(handout.next(1)), keys(handout.next(0))] == [[0, 1], [2, 3], [4]]
    assert handout.next(1) is None
    for worker, number in ((0, 2), (1, 1), (0, 0)):
        assert not handout.is_done
        handout.finish(worker, number)
    assert handout.is_done


def test_what_a_dead_worker_had_not_stored_is_handed_out_again_each_unit_alone() -> None:
    store = Store()
    handout = Handout(units(3, 2, 2), store.left)
    for _ in range(2):
        handout.next(0)
    store.settled = {0, 1}
    assert handout.take_back(0, blame=True).settled == 2
    assert keys(handout.next(1)) == [5, 6]  # what nobody had comes first
    assert handout.next(1) is None  # and a suspect goes to a worker that has nothing else
    assert keys(handout.next(2)) == [2]
    assert handout.next(2) is None
    handout.finish(2, 0)
    assert keys(handout.next(2)) == [3, 4]


def test_without_blame_units_keep_their_place() -> None:
    handout = Handout(units(1, 1), Store().left)
    handout.next(0)
    handout.take_back(0, blame=False)
    assert [keys(handout.next(0)), keys(handout.next(0))] == [[0], [1]]


@pytest.mark.parametrize(("size", "deaths"), [(1, 3), (2, 4), (8, 6), (1024, 13)])
def test_a_sample_that_kills_every_worker_is_found_by_halving_and_given_up(size: int, deaths: int) -> None:
    """`deaths`: one in company, one for each halving, two alone."""
    store = Store()
    poison, found, died = size // 3, [], 0
    handout = Handout(units(size), store.left)
    while not handout.is_done:
        unit = handout.next(0)
        assert unit is not None
        given = unit.jobs["key"].to_pylist()
        if poison in given:
            died += 1
            found += [keys(one) for one in handout.take_back(0, blame=True).given_up]
            store.settled |= {poison} if found else set()
        else:
            store.settled |= set(given)
            handout.finish(0, unit.number)
    assert found == [[poison]]
    assert died == deaths
    assert store.settled == set(range(size))

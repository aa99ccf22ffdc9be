"""Which worker gets which unit next, and what becomes of the units of a worker that died. Knows no engine.

A unit is blamed for a death only when its worker had no other: after a death, all units that the worker had are handed
out once more, each alone. One whose worker dies then is halved, down to a single sample, and that is given up after
its second death alone. So what kills workers ends as a quarantined sample, and a machine that fails costs nothing.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from hf_assets.engines.unit import Unit

# A sample is given up after so many deaths of workers that had nothing else.
DEATHS_ALONE = 2


class _Entry(NamedTuple):
    """A unit to hand out.

    Attributes:
        is_suspect: its worker died, so it is handed out alone.
        deaths: of workers that had only this sample.
    """

    unit: Unit
    is_suspect: bool = False
    deaths: int = 0


class Handout:
    """The units of a run, until the last sample of each is written or given up."""

    def __init__(self, units: list[Unit], left: Callable[[list[Unit]], list[Unit]]) -> None:
        """
        Args:
            left: see `Work.left`.
        """
        self._left = left
        self._fresh = deque(_Entry(unit) for unit in units)
        self._suspects: deque[_Entry] = deque()
        self._given: dict[int, dict[int, _Entry]] = {}
        self._next_number = max((unit.number for unit in units), default=-1) + 1

    @property
    def is_done(self) -> bool:
        return not self._fresh and not self._suspects and not any(self._given.values())

    def given(self, worker: int) -> list[Unit]:
        """The units that a worker has."""
        return [entry.unit for entry in self._given.get(worker, {}).values()]

    def next(self, worker: int) -> Unit | None:
        """The unit that a worker gets next; None where there is none for it now."""
        given = self._given.setdefault(worker, {})
        if any(entry.is_suspect for entry in given.values()):
            return None
        if self._fresh:
            entry = self._fresh.popleft()
        elif self._suspects and not given:
            entry = self._suspects.popleft()
        else:
            return None
        given[entry.unit.number] = entry
        return entry.unit

    def finish(self, worker: int, number: int) -> None:
        """The last sample of a unit is written."""
        self._given[worker].pop(number, None)

    def take_back(self, worker: int, *, blame: bool) -> "Loss":
        """The worker died, or is gone.

        Args:
            blame: whether one of its units may be the reason.
        """
        entries = self._given.pop(worker, {})
        left = {unit.number: unit for unit in self._left([entry.unit for entry in entries.values()])}
        given_up = []
        for number, entry in entries.items():
            unit = left.get(number)
            if unit is None:
                continue
            if not blame:
                (self._suspects if entry.is_suspect else self._fresh).appendleft(entry._replace(unit=unit))
            elif not entry.is_suspect:
                self._suspects.append(_Entry(unit, is_suspect=True))
            elif len(unit.jobs) > 1:
                self._suspects.extend(_Entry(half, is_suspect=True) for half in self._halves(unit))
            elif entry.deaths + 1 < DEATHS_ALONE:
                self._suspects.append(_Entry(unit, is_suspect=True, deaths=entry.deaths + 1))
            else:
                given_up.append(unit)
        samples = sum(len(entry.unit.jobs) for entry in entries.values())
        return Loss(samples - sum(len(unit.jobs) for unit in left.values()), given_up)

    def _halves(self, unit: Unit) -> list[Unit]:
        middle = len(unit.jobs) // 2
        first, second = self._next_number, self._next_number + 1
        self._next_number += 2
        return [Unit(first, unit.jobs.slice(0, middle)), Unit(second, unit.jobs.slice(middle))]


class Loss(NamedTuple):
    """What a worker's end leaves.

    Attributes:
        settled: samples of the units it had that are stored, or known to fail.
        given_up: units of one sample at which workers die again and again.
    """

    settled: int
    given_up: list[Unit]

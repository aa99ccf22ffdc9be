"""What engines run: units of work, by workers that keep their model between them.

An engine knows nothing of what is encoded. It hands out units, and takes reports: counts, seconds and reasons, never a
tensor, since a worker writes to the store itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from hf_assets.engines.compute import Compute

Say = Callable[[str], None]


class Unit(NamedTuple):
    """Some samples to encode, contiguous in the split. It can be pickled, and running it twice is harmless.

    Attributes:
        number: distinguishes it from the others of a run.
        jobs: a row per sample; which columns, its work knows.
    """

    number: int
    jobs: pa.Table


class Report(NamedTuple):
    """What happened in a worker since its last report.

    Attributes:
        done: samples that were encoded, or failed.
        computed: samples that were written.
        failed: samples that are known to fail from now on.
        bytes_read: of media.
        finished: numbers of the units whose last sample is written.
        amounts: seconds by what they were spent on, and what else is summed up, by name.
        said: lines for the log.
    """

    done: int = 0
    computed: int = 0
    failed: int = 0
    bytes_read: int = 0
    finished: tuple[int, ...] = ()
    amounts: Mapping[str, float] = MappingProxyType({})
    said: tuple[str, ...] = ()

    def plus(self, other: "Report") -> "Report":
        """Both in one."""
        amounts = {name: self.amounts.get(name, 0.0) + other.amounts.get(name, 0.0) for name in self._names(other)}
        return Report(
            self.done + other.done,
            self.computed + other.computed,
            self.failed + other.failed,
            self.bytes_read + other.bytes_read,
            self.finished + other.finished,
            amounts,
            self.said + other.said,
        )

    def _names(self, other: "Report") -> Iterable[str]:
        return dict.fromkeys((*self.amounts, *other.amounts))


class Feed(Protocol):
    """Where a worker gets its units."""

    def take(self) -> list[Unit] | None:
        """The units at hand, in order; waits for one.

        Returns:
            [] where none will come soon, so that what waits for others is encoded now; None after the last.
        """
        ...

    def stop(self) -> None:
        """Nobody takes any more: who waits is given None."""
        ...


class AllAtOnce:
    """A feed of units that are all there."""

    def __init__(self, units: list[Unit]) -> None:
        self._answers: list[list[Unit] | None] = [None, [], units]

    def take(self) -> list[Unit] | None:
        return self._answers.pop() if self._answers else None

    def stop(self) -> None:
        self._answers.clear()


class Worker(Protocol):
    """Encodes units with one model on one device."""

    def run(self, feed: Feed) -> Iterator[Report]:
        """Load the model, encode all units of a feed, and commit each sample.

        Raises:
            HfAssetsError: the work can't go on. What this worker encoded by then is committed.
        """
        ...


class Work(Protocol):
    """What is to be done with units. It can be pickled."""

    def worker(self, compute: Compute, number: int = 0) -> Worker:
        """A worker on this machine.

        Args:
            number: distinguishes the workers of a run.
        """
        ...

    def decode(self, job: Any) -> Any:
        """Decode one sample for a worker in another process (`Compute.decode_elsewhere`)."""
        ...

    def left(self, units: list[Unit]) -> list[Unit]:
        """What of these units is neither stored by now nor known to fail."""
        ...

    def give_up(self, unit: Unit, message: str) -> None:
        """Quarantine the samples of a unit: every worker that was given it died."""
        ...


class Engine(Protocol):
    """One or more workers, ready to work.

    Attributes:
        num_workers: the more there are, the smaller are units, so that all end at about the same time.
    """

    @property
    def num_workers(self) -> int: ...

    def run(self, work: Work, units: list[Unit], say: Say) -> Iterator[Report]:
        """Run all units.

        Raises:
            HfAssetsError: the work can't go on.
        """
        ...


# Waits until a device is free, says so where that takes time, and keeps it for the block.
HoldDevice = Callable[[Say], AbstractContextManager[Engine]]

"""What a worker counts, from many threads, until the next report."""

import threading
from collections.abc import Mapping
from types import MappingProxyType

from hf_assets.encode.line import Job
from hf_assets.engines.unit import Report, Unit


class Tally:
    """Counts samples, and knows which units are finished."""

    def __init__(self) -> None:
        self._report = Report()
        self._lock = threading.Lock()
        self._left: dict[int, int] = {}  # samples of each unit that aren't written yet
        self._unit_of: dict[str, int] = {}

    def expect(self, units: list[Unit]) -> None:
        """Units of which each sample will be committed."""
        with self._lock:
            self._left |= {unit.number: len(unit.jobs) for unit in units}

    def add_job(self, job: Job) -> None:
        with self._lock:
            self._unit_of[job.key] = job.unit
            self._report = self._report.plus(Report(bytes_read=job.bytes_read))

    def add(self, done: int = 0, amounts: Mapping[str, float] = MappingProxyType({})) -> None:
        with self._lock:
            self._report = self._report.plus(Report(done=done, amounts=dict(amounts)))

    def say(self, line: str) -> None:
        """For the log of the run."""
        with self._lock:
            self._report = self._report.plus(Report(said=(line,)))

    def committed(self, stored: list[str], failed: list[str], num_bytes: int) -> None:
        """Keys that are stored from now on, in so many bytes, or known to fail."""
        with self._lock:
            finished = []
            for key in (*stored, *failed):
                number = self._unit_of.pop(key)
                self._left[number] -= 1
                if not self._left[number]:
                    finished.append(number)
                    del self._left[number]
            self._report = self._report.plus(
                Report(
                    computed=len(stored),
                    failed=len(failed),
                    finished=tuple(finished),
                    amounts={"bytes_written": num_bytes},
                )
            )

    def take(self) -> Report:
        """What was counted since this was asked last."""
        with self._lock:
            report, self._report = self._report, Report()
        return report

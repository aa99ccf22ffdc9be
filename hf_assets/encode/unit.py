"""Cut what is missing into units of work, and have an engine run them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.encode.line import Decoded, Job, Stage
from hf_assets.encode.progress import Progress
from hf_assets.encode.worker import AssemblyLine, compute_on_one_core
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import AllAtOnce, Engine, Report, Unit
from hf_assets.errors import MediaError
from hf_assets.store.index import failures, stored_keys

# The column of a unit's jobs that names their results.
KEY = "key"
# A unit is at most so many samples, and so much: 1,024 images of a megapixel, or 32 clips of 5 s at 480 lines.
MOST_SAMPLES = 1024
MOST_VOLUME = 1 << 30
# Where workers share samples, a unit is this part of what is left for each of them, but no smaller than this: so they
# all end at about the same time.
PART_OF_REST, FEWEST_SAMPLES = 3, 16
# What a sample is quarantined for at which workers die again and again.
CRASH = "crash"


def encode_unit(stage: Stage, unit: Unit, compute: Compute) -> Report:
    """Run one unit in this process, and commit its samples: reads their media, encodes, writes.

    Workers do so for many, and keep the model between them (`worker.AssemblyLine`).

    Raises:
        HfAssetsError: the work can't go on. What was encoded by then is committed.
    """
    total = Report()
    for report in AssemblyLine(stage, compute).run(AllAtOnce([unit])):
        total = total.plus(report)
    return total


@dataclass(frozen=True)
class EncodingWork:
    """See `engines.unit.Work`."""

    stage: Stage

    def worker(self, compute: Compute, number: int = 0) -> AssemblyLine:
        return AssemblyLine(self.stage, compute, number)

    def decode(self, job: Job) -> Decoded | MediaError:
        compute_on_one_core()
        return self.stage.decode(job)

    def left(self, units: list[Unit]) -> list[Unit]:
        index = self.stage.store.index()
        failed = failures(index, self.stage.tried_by)["key"].combine_chunks()
        settled = pa.concat_arrays([stored_keys(index).cast(pa.string()), failed])
        rest = []
        for unit in units:
            jobs = unit.jobs.filter(pc.invert(pc.is_in(unit.jobs[KEY], value_set=settled)))
            if len(jobs):
                rest.append(Unit(unit.number, jobs))
        return rest

    def give_up(self, unit: Unit, message: str) -> None:
        self.stage.store.fail(dict.fromkeys(unit.jobs[KEY].to_pylist(), (CRASH, message)))


def units_of(jobs: pa.Table, volumes: np.ndarray | None = None, num_workers: int = 1) -> list[Unit]:
    """Contiguous samples, at most `MOST_SAMPLES` and `MOST_VOLUME` in a unit.

    Args:
        jobs: with `KEY`, in the split's order.
        volumes: (N,) what each sample's work grows with.
        num_workers: that share them.
    """
    units: list[Unit] = []
    start = 0
    volume = np.cumsum(volumes) if volumes is not None else np.zeros(len(jobs))
    while start < len(jobs):
        before = volume[start - 1] if start else 0
        stop = int(np.searchsorted(volume, before + MOST_VOLUME, side="right"))
        stop = min(max(stop, start + 1), start + _most(len(jobs) - start, num_workers), len(jobs))
        units.append(Unit(len(units), jobs.slice(start, stop - start)))
        start = stop
    return units


def _most(left: int, num_workers: int) -> int:
    """Samples of the next unit, while so many are left."""
    if num_workers == 1:
        return MOST_SAMPLES
    return min(MOST_SAMPLES, max(FEWEST_SAMPLES, left // (PART_OF_REST * num_workers)))


class Totals(NamedTuple):
    """What a run of units came to.

    Attributes:
        report: the sum of the workers' reports.
        rate: samples per second since the first model was loaded; None where nothing was done.
    """

    report: Report = Report()
    rate: float | None = None
    seconds: float = 0.0

    def then(self, other: "Totals") -> "Totals":
        """Both, one after the other."""
        if self.rate is None or other.rate is None:
            return other if self.rate is None else self
        seconds = self.seconds + other.seconds
        done = self.rate * self.seconds + other.rate * other.seconds
        return Totals(self.report.plus(other.report), done / max(seconds, 1e-9), seconds)

    @property
    def waited(self) -> dict[str, float]:
        """For how many seconds devices waited for what, by name; all devices together."""
        amounts = self.report.amounts
        return {name: amounts[name] for name in amounts if name.startswith("waited_")}

    @property
    def device_seconds(self) -> float:
        """For how long devices were held, between their first and last batch; all together."""
        busy = self.report.amounts.get("encoding_s", 0.0)
        return busy + sum(self.waited.values()) - self.waited.get("waited_starting_s", 0.0)

    @property
    def device_seconds_each(self) -> float | None:
        """Of a sample; None where none was encoded."""
        return self.device_seconds / self.report.done if self.report.done and self.device_seconds else None

    @property
    def facts(self) -> dict[str, float]:
        """Numbers to follow from run to run: the rate; the share of the time between their first and last batch in
        which the devices were busy; for how many seconds they waited for what; the hours for which they were held, with
        what they waited to start; and the bytes of tensors that were written.
        """
        if self.rate is None:
            return {}
        amounts, held = self.report.amounts, self.device_seconds
        share = {"device_busy": amounts["encoding_s"] / held} if amounts.get("encoding_s") else {}
        hours = (held + self.waited.get("waited_starting_s", 0.0)) / 3600
        made = {"device_hours": hours, "bytes_written": round(amounts.get("bytes_written", 0.0))}
        return {"samples_per_second": self.rate, "seconds": self.seconds, **share, **self.waited, **made}


def run_units(engine: Engine, stage: Stage, units: list[Unit], what: str, say: Callable[[str], None]) -> Totals:
    """Have an engine run units, and say how far it is.

    Args:
        what: is done, for people.

    Raises:
        HfAssetsError: the work can't go on. What was encoded by then is committed.
    """
    total, progress = Report(), None
    num_samples = sum(len(unit.jobs) for unit in units)
    try:
        for report in engine.run(EncodingWork(stage), units, say):
            progress = progress or Progress(what, num_samples, say)
            progress.add(report.done)
            for line in report.said:
                say(line)
            total = total.plus(report)
    finally:
        if progress is not None:
            progress.close()
    return Totals(total) if progress is None else Totals(total, progress.per_second, progress.facts["seconds"])

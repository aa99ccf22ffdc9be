"""The assembly line: what waits for what, what is committed when, and what an error leaves."""

import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hf_assets.encode.unit import KEY, MOST_SAMPLES, EncodingWork, encode_unit, run_units, units_of
from hf_assets.encode.worker import AssemblyLine
from hf_assets.engines.compute import Compute
from hf_assets.engines.this_process import ThisProcess
from hf_assets.engines.unit import AllAtOnce, Report, Unit
from hf_assets.errors import DatasetError, StoreError
from hf_assets.store import index
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.encode.lines import Doubling, Numbers, stored, units

COMPUTE = Compute(batch_size=2, decode_threads=2)


@pytest.fixture(autouse=True)
def _no_batches() -> None:
    Doubling.batches.clear()


def total(reports: Iterator[Report]) -> Report:
    found = Report()
    for report in reports:
        found = found.plus(report)
    return found


def run(folder: Path, *keys: str, compute: Compute = COMPUTE) -> Report:
    return total(AssemblyLine(Numbers(folder), compute).run(AllAtOnce(units(*keys))))


def test_a_group_that_is_not_full_waits_for_the_next_unit(tmp_path: Path) -> None:
    report = run(tmp_path, "1:3 2:4 3:3", "4:4 5:3", "6:3")
    assert Doubling.batches == [["1:3", "3:3"], ["2:4", "4:4"], ["5:3", "6:3"]]
    assert (report.done, report.computed, report.bytes_read, sorted(report.finished)) == (6, 6, 6, [0, 1, 2])
    assert stored(tmp_path) == {"1:3": 2, "2:4": 4, "3:3": 6, "4:4": 8, "5:3": 10, "6:3": 12}


class Later:
    """A feed that hands out one after the other; from the third on, once something was encoded."""

    def __init__(self, *given: list[Unit] | None) -> None:
        self.given = list(given)
        self.taken = 0

    def take(self) -> list[Unit] | None:
        self.taken += 1
        while self.taken > 2 and not Doubling.batches:
            time.sleep(0.001)
        return self.given.pop(0) if self.given else None

    def stop(self) -> None:
        self.given.clear()


def test_when_nothing_more_is_at_hand_what_waits_is_encoded_and_committed(tmp_path: Path) -> None:
    first, second = units("1:3 2:4", "3:3")
    report = total(AssemblyLine(Numbers(tmp_path), COMPUTE).run(Later([first], [], [second], [], None)))
    assert Doubling.batches == [["1:3"], ["2:4"], ["3:3"]]
    assert sorted(report.finished) == [0, 1]


def test_a_sample_that_fails_is_committed_as_failed_and_stops_nothing(tmp_path: Path) -> None:
    report = run(tmp_path, "1:3 broken:3 undefined:3 hopeless:3 2:3")
    assert (report.done, report.computed, report.finished) == (5, 3, (0,))
    assert stored(tmp_path) == {"1:3": 2, "2:3": 4, "undefined:3": 2}  # tried again in another way
    failed = index.failures(TensorStore(tmp_path).index())
    assert dict(zip(failed["key"].to_pylist(), failed["status"].to_pylist(), strict=True)) == {
        "broken:3": "undecodable",
        "hopeless:3": "non_finite",
    }


def test_an_error_ends_the_work_and_what_was_encoded_is_committed(tmp_path: Path) -> None:
    feed = Later(units("1:3 2:3")[:1], [], [Unit(1, pa.table({KEY: ["fatal:3"]}))], None)
    with pytest.raises(DatasetError, match="the disk is gone"):
        total(AssemblyLine(Numbers(tmp_path), COMPUTE).run(feed))
    assert stored(tmp_path) == {"1:3": 2, "2:3": 4}


def test_a_store_that_cannot_be_written_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise StoreError("the disk is full")

    monkeypatch.setattr(TensorStore, "write", full)
    with pytest.raises(StoreError, match="the disk is full"):
        run(tmp_path, *(f"{number}:3" for number in range(300)))


def test_whoever_stops_early_leaves_no_thread_behind_and_loses_nothing_encoded(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    reports = AssemblyLine(Numbers(tmp_path), COMPUTE).run(AllAtOnce(units(" ".join(f"{n}:3" for n in range(500)))))
    for report in reports:
        if report.done:
            break
    reports.close()  # type: ignore[attr-defined]
    assert {"0:3", "1:3"} <= stored(tmp_path).keys()
    assert set(threading.enumerate()) <= before


def test_many_large_samples_stay_within_the_memory_that_was_given(tmp_path: Path) -> None:
    taken = []
    line = AssemblyLine(Numbers(tmp_path, encode_s=0.001), Compute(batch_size=4, ahead_bytes=4000))
    real = line.budget.take

    def watched(num_bytes: int) -> None:
        real(num_bytes)
        taken.append(line.budget.taken)

    line.budget.take = watched  # type: ignore[method-assign]
    report = total(line.run(AllAtOnce(units(" ".join(f"{n}:{100 + n % 7}" for n in range(200))))))
    assert report.computed == 200
    assert max(taken) <= 4000
    assert line.budget.taken == 0


def test_the_seconds_that_the_device_waited_are_counted_by_what_it_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    totals = run_units(
        ThisProcess(COMPUTE), Numbers(tmp_path, encode_s=0.01), units("1:3 2:3 3:3"), "counting", said.append
    )
    assert totals.facts.keys() >= {"samples_per_second", "seconds", "device_busy", "waited_starting_s"}
    assert totals.facts["device_hours"] > 0
    assert totals.facts["bytes_written"] > 0
    assert 0 < totals.facts["device_busy"] <= 1
    assert said[-1] == "done"
    assert any(line.startswith("counting: all 3") for line in said)


def test_one_unit_is_a_function_and_running_it_twice_is_harmless(tmp_path: Path) -> None:
    (unit,) = units("1:3 2:3 3:3")
    work = pickle.loads(pickle.dumps(EncodingWork(Numbers(tmp_path))))
    for _ in range(2):
        report = encode_unit(work.stage, pickle.loads(pickle.dumps(unit)), COMPUTE)
        assert (report.computed, report.finished) == (3, (0,))
    assert stored(tmp_path) == {"1:3": 2, "2:3": 4, "3:3": 6}
    assert work.left([unit, *units("4:3")]) == [Unit(0, pa.table({KEY: ["4:3"]}))]


@pytest.mark.parametrize(
    ("volumes", "workers", "sizes"),
    [
        (None, 1, [1024, 1024, 2]),
        ([1 << 20] * 2050, 1, [1024, 1024, 2]),
        ([1 << 29] * 5, 1, [2, 2, 1]),
        ([1 << 31] * 3, 1, [1, 1, 1]),  # more than a unit holds, each alone
        ([1] * 100, 4, [16, 16, 16, 16, 16, 16, 4]),
        ([1] * 400, 2, [66, 55, 46, 38, 32, 27, 22, 19, 16, 16, 16, 16, 16, 15]),  # smaller to the end
    ],
)
def test_units_are_contiguous_and_bounded(volumes: list[int] | None, workers: int, sizes: list[int]) -> None:
    count = 2 * MOST_SAMPLES + 2 if volumes is None else len(volumes)
    keys = [str(number) for number in range(count)]
    found = units_of(pa.table({KEY: keys}), None if volumes is None else np.array(volumes), workers)
    assert [len(unit.jobs) for unit in found] == sizes
    assert [key for unit in found for key in unit.jobs[KEY].to_pylist()] == keys
    assert [unit.number for unit in found] == list(range(len(found)))

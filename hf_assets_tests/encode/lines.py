"""A stage without images or encoders: numbers of some length become tensors, on a device that only counts."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import torch

from hf_assets.encode.line import Again, Batch, Decoded, Failed, Job
from hf_assets.encode.unit import KEY
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Unit
from hf_assets.errors import DatasetError, MediaError
from hf_assets.store import index
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore

# What samples may be made to do by their names.
BROKEN, UNDEFINED, HOPELESS, FATAL = "broken", "undefined", "hopeless", "fatal"


@dataclass(frozen=True)
class Killer:
    """Kills the process that comes to a moment, by SIGKILL, so many times in all processes.

    Attributes:
        moment: `decode`, `encode`, or `commit`: between a shard and its part of the index.
        key: only at this sample; empty: at the first.
        folder: remembers the kills.
    """

    moment: str
    folder: Path
    key: str = ""
    times: int = 1

    def at(self, moment: str, keys: Iterable[str]) -> None:
        if moment != self.moment or (self.key and self.key not in keys):
            return
        self.folder.mkdir(exist_ok=True)
        for number in range(self.times):
            with suppress(FileExistsError):
                (self.folder / str(number)).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(TensorStore):
    """Dies between a shard and its part of the index."""

    def __init__(self, folder: Path, killer: Killer) -> None:
        super().__init__(folder)
        self.killer = killer

    def place(self, data: bytes) -> tuple[str, dict[str, object]]:
        placed = super().place(data)
        self.killer.at("commit", [])
        return placed


@dataclass(frozen=True)
class Numbers:
    """See `encode.line.Stage`: job `7:3` is three numbers 7; `broken:3` can't be decoded, and so on."""

    folder: Path
    encode_s: float = 0.0
    killer: Killer | None = None
    by_shape = True
    tried_by = ""
    header: ClassVar[Mapping[str, str]] = {"stage": "numbers"}

    @property
    def store(self) -> TensorStore:
        return DyingStore(self.folder, self.killer) if self.killer else TensorStore(self.folder)

    def batch_size(self, compute: Compute) -> int:
        return compute.batch_size

    def jobs(self, units: list[Unit]) -> Iterator[Job]:
        for unit in units:
            for key in unit.jobs[KEY].to_pylist():
                yield Job(unit.number, key, key, num_bytes=8 * int(key.split(":")[1]), bytes_read=1)

    def decode(self, job: Job) -> Decoded | MediaError:
        if self.killer:
            self.killer.at("decode", [job.key])
        name, length = job.key.split(":")
        if name == BROKEN:
            return MediaError("undecodable", "it is broken")
        if name == FATAL:
            raise DatasetError("the disk is gone")
        number = float(name) if name.isdecimal() else float("nan")
        return Decoded(job.key, torch.full((int(length),), number), int(length), job.num_bytes)

    def assemble(self, samples: list[Decoded], compute: Compute) -> torch.Tensor:
        return torch.stack([one.content for one in samples])

    @contextmanager
    def load(self, compute: Compute, number: int) -> Iterator["Doubling"]:
        yield Doubling(self)


class Doubling:
    """See `encode.line.Model`. It keeps the keys of its batches, and of those that were prepared."""

    batches: ClassVar[list[list[str]]] = []
    prepared: ClassVar[list[list[str]]] = []

    def __init__(self, stage: Numbers) -> None:
        self.stage = stage
        self.amounts: Mapping[str, float] = {"models": 1.0}

    def prepare(self, batch: Batch) -> None:
        self.prepared.append(batch.keys)

    def encode(self, batch: Batch) -> torch.Tensor:
        self.batches.append(batch.keys)
        time.sleep(self.stage.encode_s)
        if self.stage.killer:
            self.stage.killer.at("encode", batch.keys)
        return batch.content * 2

    def collect(self, batch: Batch, encoded: Any) -> Iterator[Sample | Failed | Again]:
        for at, key in enumerate(batch.keys):
            if encoded[at].isfinite().all():
                yield Sample(key, {"doubled": encoded[at]})
            elif not batch.is_second_try:
                again = torch.ones(1, int(key.split(":")[1]))
                yield Again(Batch([key], again if key.startswith(UNDEFINED) else again * float("nan"), 0, True))
            else:
                yield Failed(key, "non_finite", "twice")

    def finish(self, say: Callable[[str], None]) -> None:
        say("done")


@dataclass(frozen=True)
class Portable(Numbers):
    """Its jobs may be decoded elsewhere, but those of one number; it notes by which process each is."""

    def jobs(self, units: list[Unit]) -> Iterator[Job]:
        return (job._replace(is_portable=not job.key.endswith(":1")) for job in super().jobs(units))

    def decode(self, job: Job) -> Decoded | MediaError:
        self.pids.mkdir(parents=True, exist_ok=True)
        (self.pids / job.key).write_text(str(os.getpid()))
        return super().decode(job)

    @property
    def pids(self) -> Path:
        return self.folder.with_name("pids")


@dataclass(frozen=True)
class SlowToArrive(Numbers):
    """It reaches the first process at once, and each other one when that has nothing left to do but to finish."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.folder.mkdir(exist_ok=True)
        try:
            (self.folder / ".arrived").touch(exist_ok=False)
        except FileExistsError:
            time.sleep(2)

    @contextmanager
    def load(self, compute: Compute, number: int) -> Iterator["Doubling"]:
        yield SlowToFinish(self)


class SlowToFinish(Doubling):
    """See `SlowToArrive`."""

    def finish(self, say: Callable[[str], None]) -> None:
        time.sleep(4)


def units(*keys: str) -> list[Unit]:
    """A unit of the keys in each string."""
    return [Unit(number, pa.table({KEY: one.split()})) for number, one in enumerate(keys)]


def stored(folder: Path) -> dict[str, float]:
    """The first number of each tensor in a store."""
    keys = index.stored_keys(TensorStore(folder).index())
    reader = TensorReader(folder, pa.chunked_array([keys]))
    return {key.as_py(): float(reader[at]["doubled"][0]) for at, key in enumerate(keys)}

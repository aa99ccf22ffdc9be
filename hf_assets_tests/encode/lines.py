"""A stage without images or encoders: numbers of some length become tensors, on a device that only counts."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import torch

from hf_assets.encode.line import Again, Batch, Decoded, Failed, Job
from hf_assets.encode.unit import KEY
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Unit
from hf_assets.errors import MediaError
from hf_assets.store.tensors import Sample, TensorStore

# What samples may be made to do by their names.
BROKEN, UNDEFINED, HOPELESS, FATAL = "broken", "undefined", "hopeless", "fatal"


@dataclass(frozen=True)
class Numbers:
    """See `encode.line.Stage`: job `7:3` is three numbers 7; `broken:3` can't be decoded, and so on."""

    folder: Path
    encode_s: float = 0.0
    by_shape = True
    tried_by = ""
    header: ClassVar[Mapping[str, str]] = {"stage": "numbers"}

    @property
    def store(self) -> TensorStore:
        return TensorStore(self.folder)

    def batch_size(self, compute: Compute) -> int:
        return compute.batch_size

    def jobs(self, units: list[Unit]) -> Iterator[Job]:
        for unit in units:
            for key in unit.jobs[KEY].to_pylist():
                yield Job(unit.number, key, key, num_bytes=8 * int(key.split(":")[1]), bytes_read=1)

    def decode(self, job: Job) -> Decoded | MediaError:
        name, length = job.key.split(":")
        if name == BROKEN:
            return MediaError("undecodable", "it is broken")
        if name == FATAL:
            raise ValueError("the disk is gone")
        number = float(name) if name.isdecimal() else float("nan")
        return Decoded(job.key, torch.full((int(length),), number), int(length), job.num_bytes)

    def assemble(self, samples: list[Decoded], compute: Compute) -> torch.Tensor:
        return torch.stack([one.content for one in samples])

    @contextmanager
    def load(self, compute: Compute, number: int) -> Iterator["Doubling"]:
        yield Doubling(self.encode_s)


class Doubling:
    """See `encode.line.Model`. It keeps the keys of its batches."""

    batches: ClassVar[list[list[str]]] = []

    def __init__(self, encode_s: float) -> None:
        self.encode_s = encode_s
        self.amounts: Mapping[str, float] = {"models": 1.0}

    def encode(self, batch: Batch) -> torch.Tensor:
        self.batches.append(batch.keys)
        time.sleep(self.encode_s)
        return batch.content * 2

    def collect(self, batch: Batch, encoded: Any) -> Iterator[Sample | Failed | Again]:
        for index, key in enumerate(batch.keys):
            if encoded[index].isfinite().all():
                yield Sample(key, {"doubled": encoded[index]})
            elif not batch.is_second_try:
                again = torch.ones(1, int(key.split(":")[1]))
                yield Again(Batch([key], again if key.startswith(UNDEFINED) else again * float("nan"), 0, True))
            else:
                yield Failed(key, "non_finite", "twice")

    def finish(self, say: Callable[[str], None]) -> None:
        say("done")


def units(*keys: str) -> list[Unit]:
    """A unit of the keys in each string."""
    return [Unit(number, pa.table({KEY: one.split()})) for number, one in enumerate(keys)]

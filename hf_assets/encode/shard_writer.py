"""Collect encoded samples into shards, and commit these before too much would be lost in a crash."""

import time
from collections.abc import Mapping
from types import TracebackType

from hf_assets.encode.compute import UNIT_BYTES, UNIT_SECONDS
from hf_assets.errors import StoreError
from hf_assets.store.tensors import Sample, TensorStore


class ShardWriter:
    """Groups samples of one shape into shards; or of any, where `by_shape` is false: embeds differ in length.

    At most `unit_samples` samples, 512 MiB or 30 seconds of work wait in memory.

    Args:
        tried_by: see `TensorStore.fail`.

    As a context manager: what waits is written at the end, also where an exception ends the work, unless it is that
    nothing can be written.
    """

    def __init__(
        self,
        store: TensorStore,
        header: Mapping[str, str],
        unit_samples: int,
        *,
        by_shape: bool = True,
        tried_by: str = "",
    ) -> None:
        self.store = store
        self.header = header
        self.unit_samples = unit_samples
        self.by_shape = by_shape
        self.tried_by = tried_by
        self.waiting: dict[object, list[Sample]] = {}
        self.failed: dict[str, tuple[str, str]] = {}
        self.computed = 0
        self.written_at = time.monotonic()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, StoreError):
            self.flush()

    def add(self, sample: Sample) -> None:
        shape: object = None
        if self.by_shape:
            tensors = sorted(sample.tensors.items())
            shape = tuple((name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors)
        self.waiting.setdefault(shape, []).append(sample)
        samples = [one for group in self.waiting.values() for one in group]
        is_full = len(samples) >= self.unit_samples or sum(one.num_bytes for one in samples) >= UNIT_BYTES
        if is_full or time.monotonic() - self.written_at >= UNIT_SECONDS:
            self.flush()

    def fail(self, key: str, reason: str, message: str) -> None:
        """Note that a sample can't be computed."""
        self.failed[key] = (reason, message)

    def flush(self) -> None:
        """Commit everything that waits."""
        for shape in list(self.waiting):
            samples = self.waiting.pop(shape)
            self.store.write(samples, self.header)
            self.computed += len(samples)
        self.store.fail(self.failed, self.tried_by)
        self.failed = {}
        self.written_at = time.monotonic()

"""Collect encoded samples into shards, and commit these before too much would be lost in a crash."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from hf_assets.engines.compute import UNIT_BYTES, UNIT_SECONDS
from hf_assets.errors import StoreError
from hf_assets.store.tensors import Sample, TensorStore

# Commits that go on while the next samples are collected: one is hashed while another is flushed to the disk.
COMMITS = 2


class ShardWriter:
    """Groups samples of one shape into shards; or of any, where `by_shape` is false: embeds differ in length.

    At most `unit_samples` samples, 512 MiB or 30 seconds of work wait in memory, and as much is being committed twice.

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
        committed: Callable[[list[str], list[str], int], None] | None = None,
    ) -> None:
        """
        Args:
            tried_by: see `TensorStore.fail`.
            committed: is given the keys that are stored from now on, those that are known to fail, and the bytes of
                the tensors.
        """
        self.store = store
        self.header = header
        self.unit_samples = unit_samples
        self.by_shape = by_shape
        self.tried_by = tried_by
        self.committed = committed
        self.waiting: dict[object, list[Sample]] = {}
        self.num_waiting = self.num_bytes = 0
        self.failed: dict[str, tuple[str, str]] = {}
        self.written_at = time.monotonic()
        self._pool = ThreadPoolExecutor(COMMITS, "commit")
        self._commits: list[Future[None]] = []

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not isinstance(error, StoreError):
                self.flush()
                self.wait()
        finally:
            self._pool.shutdown()

    def add(self, sample: Sample) -> None:
        shape: object = None
        if self.by_shape:
            tensors = sorted(sample.tensors.items())
            shape = tuple((name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors)
        self.waiting.setdefault(shape, []).append(sample)
        self.num_waiting += 1
        self.num_bytes += sample.num_bytes
        is_full = self.num_waiting >= self.unit_samples or self.num_bytes >= UNIT_BYTES
        if is_full or time.monotonic() - self.written_at >= UNIT_SECONDS:
            self.flush()

    def fail(self, key: str, reason: str, message: str) -> None:
        """Note that a sample can't be computed."""
        self.failed[key] = (reason, message)

    def flush(self) -> None:
        """Begin to commit everything that waits; waits itself while more than one commit goes on.

        Raises:
            StoreError: an earlier commit failed.
        """
        if len(self._commits) >= COMMITS:
            self._commits.pop(0).result()
        groups, failed = list(self.waiting.values()), self.failed
        self.waiting, self.failed = {}, {}
        self.num_waiting = self.num_bytes = 0
        self.written_at = time.monotonic()
        if groups or failed:
            self._commits.append(self._pool.submit(self._commit, groups, failed))

    def wait(self) -> None:
        """Wait until all is committed that `flush` began.

        Raises:
            StoreError: it can't be.
        """
        while self._commits:
            self._commits.pop(0).result()

    def _commit(self, groups: list[list[Sample]], failed: Mapping[str, tuple[str, str]]) -> None:
        for samples in groups:
            self.store.write(samples, self.header)
            if self.committed is not None:
                self.committed([sample.key for sample in samples], [], sum(sample.num_bytes for sample in samples))
        self.store.fail(failed, self.tried_by)
        if self.committed is not None:
            self.committed([], list(failed), 0)

"""The assembly line of one worker: reading, decoding, assembly, encoding, collecting and writing each in their thread.

    feed -> read -> decode (a pool) -> assemble -> prepare -> encode (the caller's) -> collect -> write -> reports

The encoding thread does nothing but give batches to the device. Reading begins while the model is loaded. What may lie
between two stages is bounded: decoded samples by bytes, all else by a number of batches.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from hf_assets.encode.batches import Groups
from hf_assets.encode.line import Again, Batch, Decoded, Failed, Job, Model, Stage
from hf_assets.encode.pipes import Budget, Ended, Pipe, Stopped
from hf_assets.encode.shard_writer import ShardWriter
from hf_assets.encode.tally import Tally
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Feed, Report
from hf_assets.errors import MediaError
from hf_assets.media import memory
from hf_assets.store.tensors import Sample

# Batches that wait for the device, assembled; those of them that are prepared; on the device or on their way from it.
BATCHES_AHEAD, BATCHES_PREPARED, BATCHES_ON_DEVICE = 16, 2, 2
# Media that are read ahead of the decoding threads take so many bytes.
READ_AHEAD_BYTES = 256 << 20
# Nothing happened.
NOTHING = Report()
# While the device waits, it is noted so often for what.
LOOK_EVERY_S = 0.02
# A thread that reads from afar may hold on for so long after the work was given up.
PATIENCE_S = 10.0


class _Mark:
    """Goes through the line behind all samples so far: partial groups are encoded, and all is committed."""


class AssemblyLine:
    """See `engines.unit.Worker`. It runs once."""

    def __init__(self, stage: Stage, compute: Compute, number: int = 0) -> None:
        self.stage = stage
        self.compute = compute
        self.number = number
        self.tally = Tally()
        self.failure: BaseException | None = None
        self.budget = Budget(compute.ahead_bytes)
        memory.DECODING.resize(compute.decode_bytes)
        self.read_bytes = Budget(READ_AHEAD_BYTES)
        ahead = 64 + 4 * compute.decode_threads
        self.decoding: Pipe[tuple[Job, Future[Decoded | MediaError]] | _Mark] = Pipe(ahead)
        self.assembled: Pipe[Batch | _Mark] = Pipe(BATCHES_AHEAD)
        self.prepared: Pipe[Batch | _Mark] = Pipe(BATCHES_PREPARED)
        self.encoded: Pipe[tuple[Batch, Any] | _Mark | threading.Event] = Pipe(BATCHES_ON_DEVICE)
        self.again: list[Batch] = []
        self.results: Pipe[Sample | Failed | _Mark] = Pipe(64 + 4 * stage.batch_size(compute))
        self.is_reading = False
        self.undecoded = 0
        self.lock = threading.Lock()

    def run(self, feed: Feed) -> Iterator[Report]:
        started = time.monotonic()
        threads: list[threading.Thread] = []
        pool = ThreadPoolExecutor(self.compute.decode_threads, "decode")
        with _keep_threads():
            try:
                threads += [self._start(self._read, feed, pool), self._start(self._assemble)]
                with self.stage.load(self.compute, self.number) as model:
                    threads += [self._start(self._prepare, model)]
                    threads += [self._start(self._collect, model), self._start(self._write)]
                    yield self.tally.take()
                    yield from self._encode(model, started)
                    self._join(threads)
                    model.finish(self.tally.say)
                    yield self.tally.take()
            except Stopped:
                self._join(threads)
                raise AssertionError("who stops the line says why") from None
            finally:
                feed.stop()
                self._stop_feeding()
                pool.shutdown(wait=False, cancel_futures=True)
                self._join(threads)

    def _encode(self, model: Model, started: float) -> Iterator[Report]:
        """Give every batch to the device, and note for what the device waits between the first and the last."""
        waited: dict[str, float] = {}
        is_first = True
        for batch in self._batches(waited):
            if batch is None:
                if (report := self.tally.take()) != NOTHING:
                    yield report
                continue
            begun = time.monotonic()
            self.tally.add(amounts={"waited_starting_s": begun - started} if is_first else waited)
            waited.clear()
            is_first = False
            encoded = model.encode(batch)
            done = time.monotonic()
            self.encoded.put((batch, encoded))
            waited["waited_writing_s"] = time.monotonic() - done
            self.tally.add(amounts={"encoding_s": done - begun})
            yield self.tally.take()

    def _batches(self, waited: dict[str, float]) -> Iterator[Batch | None]:
        """What is assembled; before it, what is to be encoded in another way. None where there is nothing so far."""
        while True:
            while self.again:
                yield self.again.pop()
            begun = time.monotonic()
            try:
                item = self.prepared.get(LOOK_EVERY_S)
            except Ended:
                yield from self._all_again()
                return
            except TimeoutError:
                yield None
                continue
            finally:
                is_read = self.is_reading and self.undecoded < self.compute.decode_threads
                name = "waited_reading_s" if is_read else "waited_decoding_s"
                waited[name] = waited.get(name, 0.0) + time.monotonic() - begun
            if isinstance(item, Batch):
                yield item
            else:
                yield from self._all_again()
                self.encoded.put(item)

    def _all_again(self) -> Iterator[Batch]:
        """What of all that was encoded is to be encoded in another way."""
        while self._has_more():
            while self.again:
                yield self.again.pop()

    def _has_more(self) -> bool:
        """Whether of what was encoded, once all is collected, something is to be encoded again."""
        is_settled = threading.Event()
        self.encoded.put(is_settled)
        while not is_settled.wait(0.1):
            if self.failure is not None:
                raise Stopped
        return bool(self.again)

    # Each of these is a thread.

    def _read(self, feed: Feed, pool: ThreadPoolExecutor) -> None:
        while (units := feed.take()) is not None:
            if not units:
                self.decoding.put(_Mark())
                continue
            self.tally.expect(units)
            jobs = self.stage.jobs(units)
            while (job := self._next(jobs)) is not None:
                self.tally.add_job(job)
                self.read_bytes.take(job.held_bytes)
                self.budget.take(job.num_bytes)
                with self.lock:
                    self.undecoded += 1
                self.decoding.put((job, pool.submit(self._decode, job)))
        self.decoding.end()

    def _next(self, jobs: Iterator[Job]) -> Job | None:
        self.is_reading = True
        try:
            return next(jobs, None)
        finally:
            self.is_reading = False

    def _decode(self, job: Job) -> Decoded | MediaError:
        compute_on_one_core()
        elsewhere = self.compute.decode_elsewhere if job.is_portable else None
        try:
            return self.stage.decode(job) if elsewhere is None else elsewhere(job)
        finally:
            with self.lock:
                self.undecoded -= 1
            self.read_bytes.give_back(job.held_bytes)

    def _assemble(self) -> None:
        groups: Groups[Decoded] = Groups(self.stage.batch_size(self.compute), self.compute.ahead_bytes // 2)

        def assemble(samples: list[Decoded]) -> None:
            content = self.stage.assemble(samples, self.compute)
            self.assembled.put(Batch([one.key for one in samples], content, sum(one.num_bytes for one in samples)))

        for item in _items(self.decoding):
            if isinstance(item, _Mark):
                for group in groups.rest():
                    assemble(group)
                self.assembled.put(item)
                continue
            job, future = item
            sample = future.result()
            if isinstance(sample, MediaError):
                self.budget.give_back(job.num_bytes)
                self.results.put(Failed(job.key, sample.reason, str(sample)))
                continue
            for group in groups.add(sample, sample.shape, sample.num_bytes):
                assemble(group)
        for group in groups.rest():
            assemble(group)
        self.assembled.end()

    def _prepare(self, model: Model) -> None:
        for item in _items(self.assembled):
            if isinstance(item, Batch):
                model.prepare(item)
            self.prepared.put(item)
        self.prepared.end()

    def _collect(self, model: Model) -> None:
        for item in _items(self.encoded):
            if isinstance(item, threading.Event):
                item.set()
            elif isinstance(item, _Mark):
                self.results.put(item)
            else:
                batch, encoded = item
                kept = 0
                for result in model.collect(batch, encoded):
                    if isinstance(result, Again):
                        kept += result.batch.num_bytes
                        self.again.append(result.batch)
                    else:
                        self.results.put(result)
                self.budget.give_back(batch.num_bytes - kept)
        self.results.end()
        self.tally.add(amounts=model.amounts)

    def _write(self) -> None:
        stage = self.stage
        with ShardWriter(
            stage.store,
            stage.header,
            self.compute.unit_samples,
            by_shape=stage.by_shape,
            tried_by=stage.tried_by,
            committed=self.tally.committed,
        ) as shards:
            for item in _items(self.results):
                if isinstance(item, _Mark):
                    shards.flush()
                    continue
                self.tally.add(done=1)
                if isinstance(item, Failed):
                    shards.fail(item.key, item.reason, item.message)
                else:
                    shards.add(item)

    def _start(self, work: Callable[..., None], *args: Any) -> threading.Thread:
        """Run a stage in a thread. Its failure stops all that comes before it; that of the last two, everything."""

        def run() -> None:
            try:
                work(*args)
            except Stopped:
                pass
            except BaseException as error:
                with self.lock:
                    self.failure = self.failure or error
                self._stop_feeding()
                if work in (self._collect, self._write):
                    self.encoded.stop()
                    self.results.stop()

        thread = threading.Thread(target=run, name=work.__name__.strip("_"), daemon=True)
        thread.start()
        return thread

    def _stop_feeding(self) -> None:
        for pipe in (self.decoding, self.assembled, self.prepared, self.budget, self.read_bytes):
            pipe.stop()

    def _join(self, threads: list[threading.Thread]) -> None:
        """Let what was encoded be written, and all threads end.

        Raises:
            BaseException: what one of them failed of.
        """
        self.encoded.end()
        for thread in threads:
            thread.join(PATIENCE_S if thread in threads[:2] else None)
        if self.failure is not None:
            raise self.failure


def _items(pipe: "Pipe[Any]") -> Iterator[Any]:
    while True:
        try:
            yield pipe.get()
        except Ended:
            return


_THREAD = threading.local()


def compute_on_one_core() -> None:
    """Let torch start no others for this thread. As many decode as there are cores: where each of their resizes took
    all cores, they would wait for each other (a frame of 640 x 360: 1.8 ms in one, 25 ms in two on a busy machine).
    """
    import torch

    if not hasattr(_THREAD, "is_settled"):
        torch.set_num_threads(1)
        _THREAD.is_settled = True


@contextmanager
def _keep_threads() -> Iterator[None]:
    """This thread's number is settled before those that decode settle theirs, and is that of all threads to come."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)

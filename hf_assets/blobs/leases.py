"""Who is at work in a folder of an object store, which has no locks that end with a process.

A run writes a lease of its own and renews it; garbage collection writes one that all look for. Each writes first and
looks second, and an object store shows what was written to all at once: of a run and garbage collection that start
together, at least one sees the other. All ages are by the store's own clock. A lease that isn't renewed is dead after
`LEASE_S`; a run that comes back after that (a machine that was asleep) finds it gone, and its result isn't kept.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator

from hf_assets.blobs.interface import Blob, Blobs
from hf_assets.errors import StoreError

LEASE_S = 120.0
RENEW_S = 20.0
# Between two looks at whether garbage collection is done.
WAIT_S = 1.0
RUN_PREFIX = ".run-"
GARBAGE = ".garbage-collection"


class Lease:
    """One lease, renewed by a thread until it is given up."""

    def __init__(self, blobs: Blobs, name: str) -> None:
        self.blobs, self.name = blobs, name
        self.content = uuid.uuid4().hex.encode()
        self.renewed_s = _clock()
        self.is_lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name=f"lease {name}")

    def start(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            started_s = _clock()
            content = uuid.uuid4().hex.encode()
            with contextlib.suppress(StoreError, FileNotFoundError):  # the next try may reach the store again
                data, version = self.blobs.get_versioned(self.name)
                if data != self.content or not self.blobs.put_if_unchanged(self.name, content, version):
                    self.is_lost = True
                    return
                self.content, self.renewed_s = content, started_s

    def require(self) -> None:
        """
        Raises:
            StoreError: others may take it for dead.
        """
        if self.is_lost or _clock() - self.renewed_s > LEASE_S / 2:
            raise StoreError(
                f"{self.blobs.address}: this process did not reach the store for {LEASE_S / 2:.0f} s, so others "
                "may have come between, and its result is not kept: run again; nothing that was stored is lost"
            )

    def end(self) -> None:
        """Give it up."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(RENEW_S)
        with contextlib.suppress(StoreError):  # then it ends by itself
            if self.blobs.get_versioned(self.name)[0] == self.content:
                self.blobs.delete(self.name)


@contextlib.contextmanager
def in_use(blobs: Blobs) -> Iterator[None]:
    """A run's lease. Waits while garbage is collected."""
    lease = Lease(blobs, f"{RUN_PREFIX}{uuid.uuid4().hex}")
    while True:
        mine = blobs.put(lease.name, lease.content)
        other = blobs.stat(GARBAGE)
        if other is None or not is_alive(other, mine):
            break
        blobs.delete(lease.name)
        time.sleep(WAIT_S)
    lease.renewed_s = _clock()
    lease.start()
    try:
        yield
        lease.require()
    finally:
        lease.end()


@contextlib.contextmanager
def alone(blobs: Blobs) -> Iterator[Lease]:
    """Garbage collection's lease.

    Raises:
        StoreError: a run is at work, or another garbage collection.
    """
    lease = Lease(blobs, GARBAGE)
    if not blobs.put_if_absent(GARBAGE, lease.content):
        clock = blobs.put(f"{RUN_PREFIX}{uuid.uuid4().hex}", b"")  # only to see the store's time
        blobs.delete(clock.name)
        data, version = blobs.get_versioned(GARBAGE)
        other = blobs.stat(GARBAGE)
        is_dead = data is None or other is None or not is_alive(other, clock)
        if not is_dead or not blobs.put_if_unchanged(GARBAGE, lease.content, version):
            raise StoreError(f"garbage of {blobs.address} is being collected by another process: try again later")
    lease.renewed_s = _clock()
    try:
        mine = blobs.stat(GARBAGE)
        assert mine is not None, "nobody else removes a lease that is alive"
        for blob in blobs.list(hidden=True):
            if blob.name.startswith(RUN_PREFIX):
                if is_alive(blob, mine):
                    raise StoreError(f"a run is using {blobs.address}: try again when it is done")
                blobs.delete(blob.name)  # so that its run notices
        lease.start()
        yield lease
    finally:
        lease.end()


def is_alive(lease: Blob, now: Blob) -> bool:
    """Whether a lease was renewed shortly before another blob was written."""
    return now.modified_ns - lease.modified_ns < LEASE_S * 1e9


def _clock() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

"""Memory that all decoding threads of this process share: what an image takes while it is decoded is taken from it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What decoding takes of the machine's memory, or of the part of it that this process may use.
SHARE = 4
LEAST_BYTES = 1 << 30
# Where a container's limit stands.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class Memory:
    """Bytes that are taken and given back.

    What needs more than there is waits until it is alone: it is decoded all the same, so the limit changes no result.
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self.taken = 0
        self._changed = threading.Condition()

    def resize(self, num_bytes: int) -> None:
        """Let it have so many bytes; 0: as many as is usual."""
        with self._changed:
            self.num_bytes = num_bytes or usual_bytes()
            self._changed.notify_all()

    @contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """Wait until there are so many bytes, and keep them for the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self.taken or self.taken + num_bytes <= self.num_bytes)
            self.taken += num_bytes
        try:
            yield
        finally:
            with self._changed:
                self.taken -= num_bytes
                self._changed.notify_all()


def usual_bytes() -> int:
    """A share of the memory that this process may use."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        try:
            most = min(most, int(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return max(LEAST_BYTES, most // SHARE)


DECODING = Memory(usual_bytes())

"""What was read of shards that lie elsewhere, kept on this machine within a bound, so that a second epoch reads less.

Entries are named by the checksum of what they hold, and whoever takes one checks it: a damaged entry is read anew, and
processes share the folder without locks. The longest unused entries go first.
"""

import contextlib
import os
import time
import uuid
from pathlib import Path

import numpy as np

from hf_assets.errors import StoreError
from hf_assets.folder import machine_cache

# In bytes; 0 keeps nothing.
BOUND_VARIABLE = "HF_ASSETS_READ_CACHE_BYTES"
BOUND_BYTES = 16 << 30
# A process that wrote this share of the bound looks whether something has to go.
LOOK_SHARE = 1 / 32
# An entry that is read counts as used just now, within so many seconds.
TOUCH_S = 60.0


def _bound_bytes() -> int:
    given = os.environ.get(BOUND_VARIABLE) or str(BOUND_BYTES)
    if not given.isdecimal():
        raise StoreError(f'{BOUND_VARIABLE} is "{given}": write a number of bytes, or remove it')
    return int(given)


class RangeCache:
    """Byte strings by name, in one folder."""

    def __init__(self, folder: Path | None = None, bound_bytes: int | None = None) -> None:
        self.bound_bytes = _bound_bytes() if bound_bytes is None else bound_bytes
        self.folder = folder or machine_cache() / "reads"
        self._written_bytes = 0

    def get(self, name: str) -> bytes | None:
        """What is kept under a name, as it was written or damaged."""
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data

    def read_into(self, name: str, target: np.ndarray) -> bool:
        """Read what is kept under a name, as it was written or damaged, if it has this length.

        Args:
            target: (n,) uint8.
        """
        path = f"{self.folder}/{name[:2]}/{name}"
        try:
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            status = os.fstat(number)
            if status.st_size != len(target) or os.preadv(number, [target.data], 0) != len(target):
                return False
            if time.time() - status.st_mtime > TOUCH_S:
                os.utime(number)
        except OSError:
            return False
        finally:
            os.close(number)
        return True

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Keep bytes, if they can be kept: it saves time only."""
        if len(data) > self.bound_bytes * LOOK_SHARE:
            return
        path = self._path(name)
        temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except OSError:  # a full disk, or one that may not be written
            with contextlib.suppress(OSError):
                temporary.unlink()
            return
        self._written_bytes += len(data)
        if self._written_bytes > self.bound_bytes * LOOK_SHARE:
            self._written_bytes = 0
            self.shrink()

    def shrink(self) -> None:
        """Remove the longest unused entries until the bound holds, and a little more."""
        entries = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process removed it
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(num_bytes for _, num_bytes, _ in entries)
        for _, num_bytes, path in sorted(entries):
            if total <= self.bound_bytes * (1 - 2 * LOOK_SHARE):
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= num_bytes

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name

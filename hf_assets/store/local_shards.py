"""Tensors of shards on this machine, read from files that stay open."""

import operator
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_assets import fingerprint
from hf_assets.store import shards
from hf_assets.store.tensors import TensorStore

# Shards held open at once by a process, whatever it reads: each takes one of the files that a process may open.
OPEN_SHARDS = 256
BY_OFFSET = operator.attrgetter("offset")


class Piece(NamedTuple):
    """A tensor's bytes, and where they are to go.

    Attributes:
        row: its number in `Places`.
        offset: of its first byte in the shard.
        target: (n,) uint8.
        checksum_of: gives the checksum of a row.
        is_checked: the bytes were read before, and were what was written.
    """

    row: int
    offset: int
    target: np.ndarray
    checksum_of: Callable[[int], str]
    is_checked: bool

    @property
    def end(self) -> int:
        return self.offset + len(self.target)

    @property
    def checksum(self) -> str:
        return self.checksum_of(self.row)

    def holds(self, data: memoryview) -> bool:
        """Whether these are its bytes."""
        return fingerprint.checksum(data) == self.checksum


class LocalShards:
    """The shards of one store."""

    def __init__(self, store: TensorStore) -> None:
        self.store = store

    def header(self, shard: str) -> tuple[int, dict[str, Any], int | None]:
        """Where a shard's data starts, what lies in it (`shards.header`), and its size.

        Raises:
            FileNotFoundError: there is no such shard.
            ValueError: it isn't one.
        """
        file = self._open(shard)
        num_bytes = os.fstat(file.number).st_size
        start, entries = shards.read_header(lambda first, last: os.pread(file.number, last - first, first), num_bytes)
        return start, entries, num_bytes

    def fill(self, shard: str, pieces: list[Piece]) -> Piece | None:
        """Read pieces of a shard, in the order in which they lie there.

        Returns:
            One that isn't what was written, if there is one.

        Raises:
            FileNotFoundError: there is no such shard.
        """
        file = self._open(shard)
        for piece in sorted(pieces, key=BY_OFFSET):
            if not _read_fully(file.number, piece.target, piece.offset):
                return piece
            if not piece.is_checked and not piece.holds(piece.target.data):
                return piece
        return None

    def forget(self) -> None:
        """Open files anew."""
        OPEN_FILES.close_below(self.store.folder)

    def _open(self, shard: str) -> "OpenFile":
        return OPEN_FILES.get(str(self.store.shard_path(shard)))


def _read_fully(number: int, target: np.ndarray, offset: int) -> bool:
    view = target.data
    while view:
        num_read = os.preadv(number, [view], offset)
        if not num_read:
            return False
        view, offset = view[num_read:], offset + num_read
    return True


class OpenFile:
    """A file that is open as long as somebody has this."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class OpenFiles:
    """The files that were read last."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def __len__(self) -> int:
        return len(self._files)

    def get(self, path: str) -> OpenFile:
        with self._lock:
            if path not in self._files:
                self._files[path] = OpenFile(path)
                while len(self._files) > OPEN_SHARDS:
                    self._files.popitem(last=False)
            self._files.move_to_end(path)
            return self._files[path]

    def close_below(self, folder: Any) -> None:
        """Let go of the files of a folder."""
        with self._lock:
            for path in [path for path in self._files if Path(path).parent == folder]:
                del self._files[path]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # which another thread of the parent may have held


OPEN_FILES = OpenFiles()

"""The verbs of a folder of blobs, after zarr-python's `abc/store.py`.

A name is a path within the folder, with slashes and without dots: `index/0a1b.parquet`. A name whose last part starts
with a dot is hidden: no data, and listed only where it is asked for.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

# A blob whose name starts so was left by a killed process: no data, and never read.
TEMPORARY_PREFIX = ".tmp-"
# A blob whose name starts so was found damaged, and is kept out of the way until garbage collection.
DAMAGED_PREFIX = ".damaged-"


# Of a blob: its size, and when it was last written (`Blob.modified_ns`).
State = tuple[int, int]


class Blob(NamedTuple):
    """What a listing says of one blob.

    Attributes:
        name: within the folder that was asked.
        modified_ns: when it was last written, in nanoseconds since 1970, by the clock of the place where it lies. It
            changes whenever the blob is written, also within the clock's resolution.
    """

    name: str
    num_bytes: int
    modified_ns: int


class Blobs(ABC):
    """A folder of blobs. Each blob is wholly there or not at all, whatever happens to who writes it.

    Every verb raises `StoreError`, in one line, where the place is full, may not be read or written, or can't be
    reached.

    Attributes:
        address: the folder, as a person writes it.
    """

    address: str

    @abstractmethod
    def within(self, folder: str) -> "Blobs":
        """A folder in this one."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """All bytes of a blob.

        Raises:
            FileNotFoundError: there is no such blob.
        """

    @abstractmethod
    def get_range(self, name: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a blob, fewer where it ends before.

        Raises:
            FileNotFoundError: there is no such blob.
        """

    @abstractmethod
    def get_versioned(self, name: str) -> tuple[bytes, str] | tuple[None, None]:
        """All bytes of a blob and their version, for `put_if_unchanged`; None twice where there is no such blob."""

    @abstractmethod
    def put(self, name: str, data: bytes | memoryview) -> Blob:
        """Write a blob, in place of one that is there."""

    def put_file(self, name: str, file: Path) -> Blob:
        """`put` of a file's bytes, of which a disk needs few in memory."""
        return self.put(name, file.read_bytes())

    @abstractmethod
    def put_if_absent(self, name: str, data: bytes | memoryview) -> bool:
        """Write a blob unless there is one of this name. Returns whether it was written."""

    @abstractmethod
    def put_if_unchanged(self, name: str, data: bytes | memoryview, version: str | None) -> bool:
        """Write a blob where it still has the version that was read; None: where there still is none.

        Returns:
            Whether it was written.
        """

    @abstractmethod
    def local_path(self, name: str) -> Path | None:
        """Where a blob lies on this machine, for memory maps; None where it lies elsewhere."""

    @abstractmethod
    def stat(self, name: str) -> Blob | None:
        """What a listing would say of a blob; None where there is no such blob."""

    @abstractmethod
    def list(self, folder: str = "", *, recursive: bool = False, hidden: bool = False) -> Iterator[Blob]:
        """The blobs of a folder, in the order of their names.

        Args:
            folder: within this one; one that isn't there has no blobs.
            recursive: also of all folders in it.
            hidden: the hidden ones in place of the others.
        """

    def names(self) -> Sequence[str]:
        """The names of `list`, which a disk gives without looking at each blob."""
        return [blob.name for blob in self.list()]

    def states(self) -> Mapping[str, State]:
        """The states of `list`'s blobs, by their names; within `listings.held` maybe as they were listed before."""
        return {blob.name: (blob.num_bytes, blob.modified_ns) for blob in self.list()}

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no blob at any depth, hidden or not."""

    @abstractmethod
    def set_aside(self, name: str) -> str:
        """Rename a damaged blob to a hidden one, so that nothing takes it for data. Returns the new name."""

    @abstractmethod
    def delete(self, name: str) -> int:
        """Remove a blob if it is there. Returns its size."""

    @abstractmethod
    def touch(self, name: str) -> None:
        """Let a blob, if it is there, count as written just now."""

    @abstractmethod
    def now(self) -> datetime:
        """The time by the clock that `Blob.modified_ns` is of."""

    @abstractmethod
    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Keep garbage collection away. Any number of runs may do so at a time; waits while it is at work."""

    @abstractmethod
    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep runs away.

        Raises:
            StoreError: a run is at work here.
        """

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        """Read a blob, change it, and write it so that no other writer's change is lost.

        Args:
            change: takes the bytes that are there, None where there are none; gives the new ones, None to leave it as
                it is. It is called again where another writer came between.
        """
        while True:
            data, version = self.get_versioned(name)
            changed = change(data)
            if changed is None or self.put_if_unchanged(name, changed, version):
                return

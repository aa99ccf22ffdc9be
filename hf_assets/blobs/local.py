"""A folder on a disk: temporary file, flush, rename; and locks that end with the process that holds them."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from hf_assets import fingerprint
from hf_assets.blobs import listings
from hf_assets.blobs.atomic import explain_refusals, open_atomically, write_atomically
from hf_assets.blobs.interface import DAMAGED_PREFIX, Blob, Blobs, State
from hf_assets.errors import StoreError

# Held by runs together, or by garbage collection alone.
USE_LOCK = ".lock"
# Held for a moment by who changes a file that others may be changing.
CHANGE_LOCK = ".changes.lock"


class LocalBlobs(Blobs):
    """Files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = str(folder)

    def within(self, folder: str) -> "LocalBlobs":
        return LocalBlobs(self.folder / folder)

    def get(self, name: str) -> bytes:
        return self.local_path(name).read_bytes()

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        with self.local_path(name).open("rb") as file:
            file.seek(start)
            return file.read(max(stop - start, 0))

    def get_versioned(self, name: str) -> tuple[bytes, str] | tuple[None, None]:
        try:
            data = self.get(name)
        except FileNotFoundError:
            return None, None
        return data, fingerprint.of_bytes(data)

    def put(self, name: str, data: bytes | memoryview) -> Blob:
        with open_atomically(self.local_path(name)) as temporary:
            temporary.write_bytes(data)
            status = temporary.stat()  # once it has its name, another process may remove it
        return _describe(name, status)

    def put_file(self, name: str, file: Path) -> Blob:
        with open_atomically(self.local_path(name)) as temporary:
            shutil.copyfile(file, temporary)
            status = temporary.stat()
        return _describe(name, status)

    def put_if_absent(self, name: str, data: bytes | memoryview) -> bool:
        return self.put_if_unchanged(name, data, None)

    def put_if_unchanged(self, name: str, data: bytes | memoryview, version: str | None) -> bool:
        path = self.local_path(name)
        with explain_refusals(path), _lock(path.with_name(CHANGE_LOCK), fcntl.LOCK_EX):
            if self.get_versioned(name)[1] != version:
                return False
            write_atomically(path, data)
            return True

    def local_path(self, name: str) -> Path:
        return self.folder / name

    def stat(self, name: str) -> Blob | None:
        try:
            return _describe(name, self.local_path(name).stat())
        except FileNotFoundError:
            return None

    def list(self, folder: str = "", *, recursive: bool = False, hidden: bool = False) -> Iterator[Blob]:
        prefix = f"{folder}/" if folder else ""
        for entry in listings.entries_of(self.folder / folder):
            name = entry.name
            try:
                if entry.is_dir():
                    if recursive:
                        yield from self.list(f"{prefix}{name}", recursive=True, hidden=hidden)
                elif (name[0] == ".") is hidden:
                    yield _describe(f"{prefix}{name}", entry.stat())
            except FileNotFoundError:  # removed since it was listed
                continue

    def names(self) -> Sequence[str]:
        return listings.names_of(self.folder)

    def states(self) -> Mapping[str, State]:
        return listings.states_of(self.folder)

    def is_empty(self) -> bool:
        return not any(names for _, _, names in os.walk(self.folder))

    def set_aside(self, name: str) -> str:
        path = self.local_path(name)
        aside = path.with_name(f"{DAMAGED_PREFIX}{path.name}")
        os.replace(path, aside)
        listings.changed(path.parent)
        return str(aside.relative_to(self.folder))

    def delete(self, name: str) -> int:
        path = self.local_path(name)
        try:
            num_bytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        listings.changed(path.parent)
        return num_bytes

    def touch(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            path = self.local_path(name)
            os.utime(path)
            listings.changed(path.parent)

    def now(self) -> datetime:
        return datetime.now(UTC)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        with _lock(self.folder / USE_LOCK, fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        try:
            with _lock(self.folder / USE_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield
        except BlockingIOError:
            raise StoreError(f"a run is using {self.folder}: try again when it is done") from None


@contextlib.contextmanager
def _lock(path: Path, how: int) -> Iterator[None]:
    with explain_refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _open_lock(path)
    with lock:
        fcntl.flock(lock, how)
        yield


def _open_lock(path: Path) -> IO[bytes]:
    """A lock's file: of another user's, who made it, to be read, which is enough for a lock."""
    try:
        return path.open("ab")
    except OSError:
        if not path.exists():
            raise
        return path.open("rb")


def _describe(name: str, status: os.stat_result) -> Blob:
    return Blob(name, status.st_size, status.st_mtime_ns)

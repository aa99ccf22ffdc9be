"""Files on a disk that are either wholly there or not at all."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hf_assets.blobs import listings
from hf_assets.blobs.interface import TEMPORARY_PREFIX
from hf_assets.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_DISK = "the disk of {} is full: free space, then run again; nothing that was stored is lost"
# What libraries say that keep no number: of Rust, SQLite.
FULL_WORDS = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a temporary file, flush it to the disk, rename it: a reader or a crash sees all of it or nothing.

    Raises:
        StoreError: the disk is full, or may not be written.
    """
    with open_atomically(path) as temporary, temporary.open("wb") as file:
        file.write(data)


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[Path]:
    """Let a file be written bit by bit under another name, then flush it to the disk and rename it.

    Raises:
        StoreError: the disk is full, or may not be written.
    """
    with explain_refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
            listings.changed(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


@contextlib.contextmanager
def explain_refusals(path: Path, setting: str = "cache_dir") -> Iterator[None]:
    """Say in a line why a file can't be written.

    Args:
        setting: what names the place.

    Raises:
        StoreError: the disk is full, or may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(FULL_DISK.format(path.parent)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"{path.parent} may not be written by this user: change its rights, or name another {setting}"
            ) from error
        raise


def full_disk(error: BaseException | str) -> StoreError | None:
    """What to say of an error, of whichever library, where it says that a disk is full; None where it doesn't.

    Args:
        error: or its message.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number not in FULL and not any(words in str(error) for words in FULL_WORDS):
        return None
    place = getattr(error, "filename", None)
    where = f'of "{place}"' if place else "of cache_dir, of temporary files (TMPDIR) or of Dagster's history"
    return StoreError(f"the disk {where} is full: free space, then run again; nothing that was stored is lost")


def require_folder(folder: Path, *, writable: bool = False) -> None:
    """Refuse a place that can't be a folder; or one that couldn't be made, or written to.

    Raises:
        StoreError: why.
    """
    try:
        place = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
        is_there, is_folder = place.exists(), place.is_dir()
    except OSError as error:
        raise StoreError(f'"{folder}": {error.strerror}: correct cache_dir, or who may read there') from None
    if not is_there:
        raise StoreError(
            f'"{place}" leads to "{place.readlink()}", which isn\'t there, and results are to lie in "{folder}": mount '
            "what it leads to, or correct cache_dir"
        )
    if not is_folder:
        raise StoreError(f'"{place}" is a file, and results are to lie in "{folder}": correct cache_dir')
    if writable:
        _try_to_write(place)


def _try_to_write(folder: Path) -> None:
    """A folder's rights don't say all: of a superuser, of a disk that is mounted to be read, of a folder of the system.

    Raises:
        StoreError: it can't be written to.
    """
    refusal = f'"{folder}" can\'t be written to%s: correct cache_dir, or who may write there'
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(refusal % "")
    try:
        os.rmdir(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder))
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(FULL_DISK.format(folder)) from None
        raise StoreError(refusal % f" ({error.strerror})") from None


def make_folder(folder: Path) -> str | None:
    """Make a folder by the user's umask, and say who else may use it; None where it is there already.

    Raises:
        StoreError: it can't be made.
    """
    if folder.exists():
        return None
    with explain_refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & 0o022:
        whom = "other users" if mode & 0o002 else "its group"
        may = f"{whom} may write into it, and so decide what you train on"
    elif mode & 0o055:
        may = f"{'other users' if mode & 0o005 else 'its group'} may read it and not write"
    else:
        may = "no other user may read it"
    return f"{folder} is made, by your umask: {may}"


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current

"""Files on a disk that are either wholly there or not at all."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hf_assets.blobs.interface import TEMPORARY_PREFIX
from hf_assets.errors import StoreError


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"the disk of {path.parent} is full: free space, then run again; nothing that was stored is lost"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"{path.parent} may not be written by this user: change its rights, or name another {setting}"
            ) from error
        raise


def require_folder(folder: Path, *, writable: bool = False) -> None:
    """Refuse a place that can't be a folder; or one that couldn't be made, or written to.

    Raises:
        StoreError: why.
    """
    place = next(one for one in (folder, *folder.parents) if one.exists() or one.is_symlink())
    if not place.exists():
        raise StoreError(
            f'"{place}" leads to "{place.readlink()}", which isn\'t there, and results are to lie in "{folder}": mount '
            "what it leads to, or correct cache_dir"
        )
    if not place.is_dir():
        raise StoreError(f'"{place}" is a file, and results are to lie in "{folder}": correct cache_dir')
    if writable and not os.access(place, os.W_OK | os.X_OK):
        raise StoreError(f'"{place}" can\'t be written to: correct cache_dir, or who may write there')


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

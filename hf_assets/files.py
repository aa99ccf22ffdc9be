"""Files that are either wholly there or not at all, and tables that know when they are damaged."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from hf_assets.errors import StoreError

# A file with this prefix was left by a killed process: no data, and never read.
TEMPORARY_PREFIX = ".tmp-"
# A file with this prefix was found damaged, and is kept out of the way until `hf-assets gc`.
DAMAGED_PREFIX = ".damaged-"

# `write_table` puts this and a hash of all other bytes between a Parquet file's pages and its footer, where readers
# look for nothing: Parquet's own checksums cover the pages, but not the footer.
CHECKSUM_MARK = b"hf_assets xxh3:"
CHECKSUM_BYTES = len(CHECKSUM_MARK) + 32
# The end of a Parquet file: the footer's length (4 bytes) and this.
PARQUET_MARK = b"PAR1"


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a temporary file, flush it to the disk, rename it: a reader or a crash sees all of it or nothing.

    Raises:
        StoreError: the disk is full, or may not be written.
    """
    with refusals_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _flush_folder(path.parent)


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Let a file be written bit by bit under another name, then flush it to the disk and rename it.

    Raises:
        StoreError: the disk is full, or may not be written.
    """
    with refusals_explained(path):
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


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically, with a checksum of all of it. Any reader of Parquet reads it."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data = memoryview(sink.getvalue())
    at = _footer_start(data)
    assert at is not None
    pages, footer = data[:at], data[at:]
    write_atomically(path, b"".join([pages, CHECKSUM_MARK, _checksum(pages, footer), footer]))


def read_table(path: Path) -> pa.Table | None:
    """Read a Parquet file that `write_table` wrote; None where it is missing or a bit of it isn't as it was written."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return pq.read_table(pa.BufferReader(data)) if is_whole_table(memoryview(data)) else None


def is_whole_table(data: memoryview) -> bool:
    """Whether these are the bytes of a file that `write_table` wrote."""
    stop = _footer_start(data)
    if stop is None or stop < CHECKSUM_BYTES:
        return False
    start = stop - CHECKSUM_BYTES
    mark, checksum = data[start : start + len(CHECKSUM_MARK)], data[start + len(CHECKSUM_MARK) : stop]
    return mark == CHECKSUM_MARK and checksum == _checksum(data[:start], data[stop:])


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing takes it for data."""
    aside = path.with_name(f"{DAMAGED_PREFIX}{path.name}")
    os.replace(path, aside)
    return aside


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checksum(pages: memoryview, footer: memoryview) -> bytes:
    state = xxhash.xxh3_128(pages)
    state.update(footer)
    return state.hexdigest().encode()


def _footer_start(data: memoryview) -> int | None:
    if len(data) < 12 or data[-4:] != PARQUET_MARK:
        return None
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return start if start >= len(PARQUET_MARK) else None


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


@contextlib.contextmanager
def refusals_explained(path: Path) -> Iterator[None]:
    """Say in a line why a file can't be written.

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
                f"{path.parent} may not be written by this user: change its rights, or name another cache_dir"
            ) from error
        raise

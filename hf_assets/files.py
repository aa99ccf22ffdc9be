"""Files that are either wholly there or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# A file with this prefix was left by a killed process: no data, and never read.
TEMPORARY_PREFIX = ".tmp-"


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a temporary file, flush it to the disk, rename it: a reader or a crash sees all of it or nothing."""
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


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically, with a checksum in every page."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_atomically(path, memoryview(sink.getvalue()))


def read_table(path: Path) -> pa.Table | None:
    """Read a Parquet file that `write_table` wrote; None where it is missing or damaged."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return None


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that are either wholly there or not at all, and tables that know when they are damaged."""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from hf_assets.blobs import Location, ObjectPath, at
from hf_assets.blobs.atomic import explain_refusals, full_disk, open_atomically
from hf_assets.blobs.interface import DAMAGED_PREFIX, TEMPORARY_PREFIX

__all__ = [
    "DAMAGED_PREFIX",
    "TEMPORARY_PREFIX",
    "explain_refusals",
    "full_disk",
    "is_whole_file",
    "is_whole_open",
    "is_whole_table",
    "metadata_of",
    "open_atomically",
    "open_table",
    "parquet",
    "read_table",
    "read_tables",
    "remove",
    "set_aside",
    "update_table",
    "write_atomically",
    "write_table",
    "written_ns",
]

# `write_table` puts this and a hash of all other bytes between a Parquet file's pages and its footer, where readers
# look for nothing: Parquet's own checksums cover the pages, but not the footer.
CHECKSUM_MARK = b"hf_assets xxh3:"
CHECKSUM_BYTES = len(CHECKSUM_MARK) + 32
# The end of a Parquet file: the footer's length (4 bytes) and this.
PARQUET_MARK = b"PAR1"
# How tables are written.
PARQUET: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
# So many rows of a table are in memory at once, where it needn't be there as a whole.
READ_ROWS = 65_536


def write_atomically(location: Location, data: bytes | memoryview) -> None:
    """Write a file: a reader or a crash sees all of it or nothing.

    Raises:
        StoreError: there is no room for it, or it may not be written.
    """
    at(location.parent).put(location.name, data)


def write_table(location: Location, table: pa.Table) -> None:
    """Write a Parquet file atomically, with a checksum of all of it. Any reader of Parquet reads it."""
    if isinstance(location, Path):
        with open_table(location) as temporary:
            pq.write_table(table, temporary, **PARQUET)
        return
    write_atomically(location, _to_bytes(table))


@contextlib.contextmanager
def open_table(location: Location) -> Iterator[Path]:
    """Let a Parquet file be written bit by bit, with the options `PARQUET`; then it is what `write_table` writes.

    Raises:
        StoreError: there is no room for it, or it may not be written.
    """
    if isinstance(location, Path):
        with open_atomically(location) as temporary:
            yield temporary
            _add_checksum(temporary)
        return
    with tempfile.TemporaryDirectory(prefix="hf-assets-table-") as place:
        temporary = Path(place) / "table"
        yield temporary
        _add_checksum(temporary)
        write_atomically(location, temporary.read_bytes())


def update_table(location: Location, change: Callable[[pa.Table | None], pa.Table]) -> None:
    """Read a small table, change it, and write it so that no other writer's change is lost.

    Args:
        change: takes the table that is there, None where there is none that can be read. It is called again where
            another writer came between.
    """

    def change_bytes(data: bytes | None) -> bytes:
        is_whole = data is not None and is_whole_table(memoryview(data))
        return _to_bytes(change(pq.read_table(pa.BufferReader(data)) if is_whole else None))

    at(location.parent).update(location.name, change_bytes)


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **PARQUET)
    data = memoryview(sink.getvalue())
    start = _footer_start(data)
    assert start is not None
    pages, footer = data[:start], data[start:]
    return b"".join([pages, CHECKSUM_MARK, _checksum(pages, footer), footer])


def _add_checksum(path: Path) -> None:
    """Make of a Parquet file one that `write_table` wrote, without reading all of it into memory."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - 8)
        start = size - 8 - int.from_bytes(file.read(4), "little")
        file.seek(start)
        footer = file.read()
        file.seek(0)
        state = _state_of(file, start)
        state.update(footer)
        file.seek(start)
        file.write(CHECKSUM_MARK + state.hexdigest().encode() + footer)


def _state_of(file: BinaryIO, num_bytes: int) -> xxhash.xxh3_128:
    """Of the next bytes of a file."""
    state = xxhash.xxh3_128()
    while num_bytes > 0 and (data := file.read(min(num_bytes, 1 << 20))):
        state.update(data)
        num_bytes -= len(data)
    return state


def read_table(location: Location, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Read a Parquet file that `write_table` wrote; None where it is missing or a bit of it isn't as it was written.

    Args:
        columns: that are wanted; None: all.
    """
    wanted = None if columns is None else list(columns)
    if isinstance(location, Path):
        try:
            with location.open("rb") as file:
                return _read(file, wanted) if is_whole_open(file) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
    data = _whole_data(location)
    return None if data is None else _read(pa.BufferReader(data), wanted)


def _whole_data(location: Location) -> bytes | None:
    """The bytes of a table; None where there is none, or a bit of it isn't as it was written."""
    try:
        data = at(location.parent).get(location.name)
    except FileNotFoundError:
        return None
    return data if is_whole_table(memoryview(data)) else None


def _read(file: BinaryIO | pa.NativeFile, columns: list[str] | None) -> pa.Table:
    # as `pq.read_table`, which takes twice as long for a file of few rows
    with pq.ParquetFile(file) as stored:
        table = stored.read(columns, use_threads=stored.metadata.num_rows > READ_ROWS)
    return table if columns is None else table.select(columns)  # in this order, and all of them


def read_tables(
    location: Location, columns: Sequence[str] | None = None, num_rows: int | None = None
) -> Iterator[pa.Table] | None:
    """`read_table` in pieces, of which there is at least one; None where there is no such file, or it isn't whole.

    Args:
        num_rows: of a piece, `READ_ROWS` if it isn't given.
    """
    num_rows = num_rows or READ_ROWS
    if not isinstance(location, Path):
        data = _whole_data(location)
        return None if data is None else _read_pieces(io.BytesIO(data), columns, num_rows)
    try:
        file = location.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not is_whole_open(file):
        file.close()
        return None
    return _read_pieces(file, columns, num_rows)


def _read_pieces(file: BinaryIO, columns: Sequence[str] | None, num_rows: int) -> Iterator[pa.Table]:
    wanted = None if columns is None else list(columns)
    with file, pq.ParquetFile(file) as stored:
        if not stored.metadata.num_rows:
            yield stored.read(wanted)
        for batch in stored.iter_batches(num_rows, columns=wanted):
            yield pa.Table.from_batches([batch])


def metadata_of(location: Location) -> dict[bytes, bytes]:
    """What a Parquet file says of itself: its schema's metadata, and what was added when it was complete.

    Raises:
        OSError, pa.ArrowException: there is none, or its end is damaged.
    """
    return dict(pq.read_metadata(parquet(location)).metadata or {})


def is_whole_table(data: memoryview) -> bool:
    """Whether these are the bytes of a file that `write_table` wrote."""
    stop = _footer_start(data)
    if stop is None or stop < CHECKSUM_BYTES:
        return False
    start = stop - CHECKSUM_BYTES
    mark, checksum = data[start : start + len(CHECKSUM_MARK)], data[start + len(CHECKSUM_MARK) : stop]
    return mark == CHECKSUM_MARK and checksum == _checksum(data[:start], data[stop:])


def parquet(location: Location) -> Any:
    """What pyarrow is to be given in place of a path to a Parquet file: of one that lies elsewhere, its bytes.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if isinstance(location, ObjectPath):
        return pa.BufferReader(location.read_bytes())
    return location


def is_whole_file(location: Location) -> bool:
    """Whether a file is as `write_table` wrote it: all of it is read, a little at a time."""
    try:
        if not isinstance(location, Path):
            return is_whole_table(memoryview(location.read_bytes()))
        with location.open("rb") as file:
            return is_whole_open(file)
    except OSError:
        return False


def is_whole_open(file: BinaryIO) -> bool:
    """Whether an open file is as `write_table` wrote it; it then stands at its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    end = file.read(8)
    start = size - 8 - int.from_bytes(end[:4], "little") - CHECKSUM_BYTES
    if end[4:] != PARQUET_MARK or start < len(PARQUET_MARK):
        return False
    file.seek(start)
    block, footer = file.read(CHECKSUM_BYTES), file.read()
    file.seek(0)
    state = _state_of(file, start)
    state.update(footer)
    file.seek(0)
    return block == CHECKSUM_MARK + state.hexdigest().encode()


def set_aside(location: Location) -> Location:
    """Rename a damaged file, so that nothing takes it for data."""
    return location.with_name(at(location.parent).set_aside(location.name))


def remove(location: Location) -> int:
    """Remove a file if it is there. Returns its size."""
    return at(location.parent).delete(location.name)


def written_ns(location: Location) -> int | None:
    """When a file was last written, in nanoseconds since 1970; None where there is none."""
    blob = at(location.parent).stat(location.name)
    return blob and blob.modified_ns


def _checksum(pages: memoryview, footer: memoryview) -> bytes:
    state = xxhash.xxh3_128(pages)
    state.update(footer)
    return state.hexdigest().encode()


def _footer_start(data: memoryview) -> int | None:
    if len(data) < 12 or data[-4:] != PARQUET_MARK:
        return None
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return start if start >= len(PARQUET_MARK) else None

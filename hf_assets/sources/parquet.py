"""Parquet files: a few columns over byte ranges, or the media of chosen rows."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import schema
from hf_assets.errors import DatasetError

MEDIA_BATCH_ROWS = 32
READ_BUFFER_BYTES = 1 << 20


class Columns(NamedTuple):
    """The columns read from one file."""

    table: pa.Table  # one struct column `columns`; none where no column is wanted
    num_rows: int
    bytes_read: int


class WantedColumns(NamedTuple):
    """Which columns to read, as dotted paths: all of `required`, and those of `optional` that are there."""

    media: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


def read_columns(file: BinaryIO, wanted: WantedColumns, name: str) -> Columns:
    """Read columns, and of the file no more bytes than these and its footer.

    Args:
        name: of the file, for messages.

    Raises:
        DatasetError: a required column is missing, or the file is no Parquet.
    """
    counted = _CountedFile(file)
    try:
        parquet = pq.ParquetFile(pa.PythonFile(counted, mode="r"), pre_buffer=True)
    except pa.ArrowInvalid as error:
        raise DatasetError(f'"{name}" can\'t be read as Parquet: {error}') from None
    names = parquet.schema_arrow.names
    for column in (wanted.media, *wanted.required):
        _top_level(column, names, name)
    tops = dict.fromkeys(_top_level(column, names, name) for column in wanted.required)
    tops.update(dict.fromkeys(column for column in wanted.optional if column in names))
    _media_field(parquet.schema_arrow, wanted.media, name)
    num_rows = parquet.metadata.num_rows
    if not tops:
        return Columns(pa.table({}), num_rows, counted.num_bytes)
    table = (
        parquet.read(columns=list(tops), use_pandas_metadata=False)
        .select(list(tops))
        .replace_schema_metadata(None)
        .combine_chunks()
    )
    arrays = [table[top].combine_chunks() for top in tops]
    struct = pa.StructArray.from_arrays(arrays, names=list(tops))
    return Columns(pa.table({schema.COLUMNS: struct}), num_rows, counted.num_bytes)


def read_media(
    path: Path, column: str, rows: Sequence[int] | np.ndarray[Any, Any]
) -> Iterator[tuple[int, bytes | None]]:
    """The media of chosen rows, in the file's order; only row groups that hold one are read, a few rows in memory at a time.

    Args:
        rows: positions within the file, ascending.

    Yields:
        (row, bytes); None where the row holds none.
    """
    wanted = np.asarray(rows, dtype=np.int64)
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BUFFER_BYTES) as parquet:
        leaf = _media_field(parquet.schema_arrow, column, str(path))
        start = 0
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            if np.searchsorted(wanted, stop) > np.searchsorted(wanted, start):
                for batch in parquet.iter_batches(MEDIA_BATCH_ROWS, row_groups=[group], columns=[leaf]):
                    values = batch.column(0)
                    inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + len(values))]
                    if pa.types.is_struct(values.type):
                        values = values.flatten()[0]
                    for row in inside.tolist():
                        yield row, values[row - start].as_py()
                    start += len(values)
            start = stop


def _top_level(column: str, names: list[str], file: str) -> str:
    """The top-level column that a dotted path leads into."""
    head = column if column in names else column.split(".")[0]
    if head not in names:
        near = difflib.get_close_matches(head, names, n=1)
        hint = f'did you mean "{near[0]}"? It has' if near else "it has"
        raise DatasetError(f'column "{head}" is not in the dataset ("{file}"): {hint} {", ".join(names)}')
    return head


def _media_field(arrow: pa.Schema, column: str, file: str) -> str:
    """The leaf that holds the media's bytes: `datasets` keeps media as a struct of bytes and path."""
    kind = arrow.field(_top_level(column, arrow.names, file)).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return f"{column}.bytes"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column
    raise DatasetError(f'column "{column}" ("{file}") holds {kind}, not media bytes: name the column that holds them')


class _CountedFile:
    """A file that counts the bytes read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.num_bytes += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    @property
    def closed(self) -> bool:
        return self.file.closed

    def close(self) -> None:
        self.file.close()

    def flush(self) -> None: ...

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

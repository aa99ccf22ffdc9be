"""Rows of columnar files, Arrow, Lance and Parquet, that can't be read: found by halving those among which one is.

A column of text may hold bytes that are no UTF-8, and offsets that lead nowhere: readers then refuse the batch, or the
file. What can be read is copied, or read around them.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hf_assets.errors import DatasetError
from hf_assets.sources.formats import row_checks
from hf_assets.sources.formats.faults import Fault

T = TypeVar("T")

ARROW_FILE, ARROW_HEADER_BYTES = b"ARROW1", 8
# Of a Lance file, read at a time.
LANCE_ROWS = 256


def read_around(read: Callable[[int, int], T], first: int, num_rows: int, found: list[Fault]) -> Iterator[T]:
    """What is read of rows without those that can't be.

    Args:
        read: gives `num_rows` rows from the first one on, or raises ArrowException or ValueError.
        found: is given those that can't be read.
    """
    try:
        part = read(first, num_rows)
    except (pa.ArrowException, ValueError) as error:
        if num_rows == 1:
            found.append(Fault(f"row {first + 1:,}", "undecodable", f"it can't be read: {_line(error)}"))
            return
        half = num_rows // 2
        yield from read_around(read, first, half, found)
        yield from read_around(read, first + half, num_rows - half, found)
    else:
        yield part


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def of_arrow(local: Path, path: str, target: Path) -> list[Fault]:
    """Copy the rows of an Arrow file, or stream, that can be read, as a stream.

    Args:
        path: in the repository, for messages.

    Returns:
        Those that can't, and batches that can't.

    Raises:
        DatasetError: no row can be read.
    """
    found: list[Fault] = []
    num_good = num_rows = 0
    with local.open("rb") as file:
        schema, batches = _batches(file)
        with pa.ipc.new_stream(target, _plain(schema)) as copy:
            for number, batch in enumerate(batches, 1):
                if isinstance(batch, Exception):
                    message = f"it can't be read: {_line(batch)}; fetch the file again"
                    found.append(Fault(f"batch {number:,}", "undecodable", message))
                    continue
                valid = functools.partial(_valid, batch, num_rows)
                for part in read_around(valid, num_rows, batch.num_rows, found) if batch.num_rows else ():
                    copy.write_batch(part)
                    num_good += part.num_rows
                num_rows += batch.num_rows
    _require_some(num_good, found, path, "Arrow")
    return found


def _valid(batch: pa.RecordBatch, start: int, first: int, num_rows: int) -> pa.RecordBatch:
    """Some rows of a batch; `start` is the number of its first one."""
    part = batch.slice(first - start, num_rows)
    for name, column in zip(batch.schema.names, part.columns, strict=True):
        try:
            row_checks.require_sound(column)
        except pa.ArrowInvalid as error:
            why = str(error).replace("Invalid UTF8 sequence at string index 0", "a text that is not UTF-8")
            raise pa.ArrowInvalid(f'its column "{name}" holds {why}') from None
    return pa.record_batch(list(map(row_checks.plain, part.columns)), schema=_plain(batch.schema))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Without dictionaries, which the rows that can't be read may share."""
    kinds = (field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema)
    fields = [field.with_type(kind) for field, kind in zip(schema, kinds, strict=True)]
    return pa.schema(fields, schema.metadata)


def _batches(file: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch | Exception]]:
    """A file's schema and batches; what is raised in place of those that can't be read.

    A file without its end, which lists the batches, is read as a stream, which each file holds.
    """
    if file.read(len(ARROW_FILE)) == ARROW_FILE:
        with contextlib.suppress(pa.ArrowException, OSError):
            reader = pa.ipc.open_file(file)
            numbers = range(reader.num_record_batches)
            return reader.schema, (_attempt(functools.partial(reader.get_batch, at)) for at in numbers)
        file.seek(ARROW_HEADER_BYTES)
    else:
        file.seek(0)
    stream = pa.ipc.open_stream(file)
    return stream.schema, _streamed(stream, file)


def _streamed(stream: pa.RecordBatchReader, file: IO[bytes]) -> Iterator[pa.RecordBatch | Exception]:
    while True:
        start = file.tell()
        batch = _attempt(stream.read_next_batch)
        if isinstance(batch, StopIteration) or (isinstance(batch, Exception) and file.tell() == start):
            return
        yield batch


def _attempt(read: Callable[[], pa.RecordBatch]) -> pa.RecordBatch | Exception:
    try:
        return read()
    except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
        return error


def of_lance(local: Path, path: str, target: Path) -> list[Fault]:
    """Copy the rows of a single Lance file that can be read.

    Args:
        path: in the repository, for messages.

    Raises:
        DatasetError: no row can be read.
    """
    import lance.file

    found: list[Fault] = []
    reader = lance.file.LanceFileReader(str(local))
    num_rows, num_good = reader.num_rows(), 0
    with lance.file.LanceFileWriter(str(target), reader.metadata().schema) as copy:

        def read(first: int, count: int) -> pa.Table:
            return reader.read_range(first, count).to_table()

        for first in range(0, num_rows, LANCE_ROWS):
            for part in read_around(read, first, min(LANCE_ROWS, num_rows - first), found):
                copy.write_batch(part)
                num_good += len(part)
    _require_some(num_good, found, path, "Lance")
    return found


def of_texts(columns: Mapping[str, pa.Array], path: str) -> tuple[npt.NDArray[np.int64], list[Fault]]:
    """The rows of which all texts are UTF-8; and the others.

    Args:
        columns: of all rows, without dictionaries: their texts are looked at row by row.
        path: in the repository, for messages.

    Returns:
        Positions (N,), ascending; and the rows that are left out.

    Raises:
        DatasetError: no row is left.
    """
    num_rows = len(next(iter(columns.values())))
    is_good = np.ones(num_rows, bool)
    found: dict[int, str] = {}
    for name, values in columns.items():

        def check(first: int, count: int, values: pa.Array = values) -> None:
            # copied, since of a slice of structs or lists all of their texts are checked
            values.take(pa.array(np.arange(first, first + count))).validate(full=True)

        try:
            values.validate(full=True)
        except pa.ArrowInvalid:
            for row in bad_positions(check, 0, num_rows):
                is_good[row] = False
                found.setdefault(row, f'a text in its column "{name}" is not UTF-8: write it as UTF-8')
    faults = [Fault(f"row {row + 1:,}", "undecodable", why) for row, why in sorted(found.items())]
    _require_some(int(is_good.sum()), faults, path, "Parquet")
    return np.flatnonzero(is_good), faults


def replaced(texts: pa.Array) -> pa.Array:
    """Texts with a mark in place of what isn't UTF-8 in them."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        plain = (
            None if data is None else data.decode(errors="replace") for data in texts.cast(pa.binary()).to_pylist()
        )
        return pa.array(plain, pa.string())
    return texts


def bad_positions(check: Callable[[int, int], None], first: int, num_rows: int) -> Iterator[int]:
    """Those of some rows that a check refuses, which raises ArrowInvalid where any of its rows is bad."""
    try:
        check(first, num_rows)
    except pa.ArrowInvalid:
        if num_rows == 1:
            yield first
            return
        half = num_rows // 2
        yield from bad_positions(check, first, half)
        yield from bad_positions(check, first + half, num_rows - half)


def _require_some(num_good: int, found: list[Fault], path: str, kind: str) -> None:
    if found and not num_good:
        raise DatasetError(
            f'"{path}" can\'t be read as {kind}: none of its rows can ({found[0].member}: {found[0].message}); mend '
            "the file, or fetch it again"
        )

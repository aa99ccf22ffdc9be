"""How large the pages of a Parquet file say they are, read from their headers before Arrow unpacks them.

Arrow takes as much memory for a page as its header says, up to 2 GiB, whatever the footer says of its column. Headers
are in Thrift's compact protocol (parquet.thrift, `PageHeader`): fields 2 and 3 are the sizes unpacked and packed.
"""

import bisect
import itertools
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

from hf_assets.errors import DatasetError

# A page is a megabyte as a rule; of media that don't shrink it may be large.
MAX_PAGE_RATIO, MIN_PAGE_BYTES = 20, 64 << 20
# A header is some dozen bytes; with the smallest and the largest text of its page it is longer.
HEADER_BYTES, MAX_HEADER_BYTES = 512, 1 << 20

_STRUCT, _LIST, _SET, _BINARY, _DOUBLE, _BYTE = 12, 9, 10, 8, 7, 3
_INTEGERS, _FLAGS = (4, 5, 6), (1, 2)
_MAX_DEPTH = 8


class Header(NamedTuple):
    """Of a page. `num_bytes`: of the header itself."""

    num_bytes: int
    unpacked: int
    packed: int


class Chunk(NamedTuple):
    """Where a column of a row group lies."""

    start: int
    stop: int


def chunk_of(column: Any) -> Chunk:
    """Of a `pyarrow.parquet.ColumnChunkMetaData`."""
    starts = [column.data_page_offset]
    if column.has_dictionary_page and column.dictionary_page_offset:
        starts.append(column.dictionary_page_offset)
    return Chunk(min(starts), min(starts) + column.total_compressed_size)


class _Cut(Exception):
    """The bytes at hand end within a header."""


def parse(data: memoryview) -> Header:
    """The header at the beginning of these bytes.

    Raises:
        _Cut: it isn't all there.
        ValueError: it is none.
    """
    sizes: dict[int, int] = {}
    position = _read_struct(data, 0, sizes, 0)
    if 2 not in sizes or 3 not in sizes or min(sizes[2], sizes[3]) < 0:
        raise ValueError("no page header")
    return Header(position, sizes[2], sizes[3])


def _byte(data: memoryview, position: int) -> int:
    if position >= len(data):
        raise _Cut
    return data[position]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = _byte(data, position)
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("no number")


def _read_struct(data: memoryview, position: int, numbers: dict[int, int] | None, depth: int) -> int:
    """Pass over a struct, noting its integers by field; gives the position behind it."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested")
    field = 0
    while head := _byte(data, position):
        position += 1
        kind = head & 0x0F
        if head >> 4:
            field += head >> 4
        else:
            zigzag, position = _varint(data, position)
            field = (zigzag >> 1) ^ -(zigzag & 1)
        if kind in _INTEGERS:
            zigzag, position = _varint(data, position)
            if numbers is not None:
                numbers[field] = (zigzag >> 1) ^ -(zigzag & 1)
        elif kind not in _FLAGS:
            position = _skip(data, position, kind, depth)
    return position + 1


def _skip(data: memoryview, position: int, kind: int, depth: int) -> int:
    if kind == _STRUCT:
        return _read_struct(data, position, None, depth + 1)
    if kind in _INTEGERS:
        return _varint(data, position)[1]
    if kind == _BINARY:
        length, position = _varint(data, position)
        if position + length > len(data):
            raise _Cut
        return position + length
    if kind in (*_FLAGS, _BYTE):
        return position + 1
    if kind == _DOUBLE:
        return position + 8
    if kind in (_LIST, _SET):
        head = _byte(data, position)
        position += 1
        count, inner = head >> 4, head & 0x0F
        if count == 15:
            count, position = _varint(data, position)
        for _ in range(count):
            position = _skip(data, position, inner, depth + 1)
        return position
    raise ValueError(f"type {kind}")  # maps aren't in page headers


class Watch:
    """Looks at the headers of pages in the bytes of some column chunks as they are read, in order within each.

    Args:
        name: of the file, for messages.
    """

    def __init__(self, chunks: Sequence[Chunk], name: str) -> None:
        self.name = name
        self.chunks = sorted(chunks)
        # of these and all before them, in case they overlap
        self.stops = list(itertools.accumulate((chunk.stop for chunk in self.chunks), max))
        self.next = {chunk: chunk.start for chunk in chunks}
        self.cut: dict[Chunk, bytes] = {}

    def see(self, start: int, data: bytes) -> None:
        """Bytes of the file from a position on.

        Raises:
            DatasetError: a page in them unpacks to too much.
        """
        view, stop = memoryview(data), start + len(data)
        first, last = bisect.bisect_right(self.stops, start), bisect.bisect_left(self.chunks, (stop,))
        for chunk in self.chunks[first:last]:
            if chunk in self.next:
                self._see(chunk, start, view, stop)

    def _see(self, chunk: Chunk, start: int, view: memoryview, stop: int) -> None:
        before = self.cut.pop(chunk, b"")
        if before and self.next[chunk] + len(before) == start:
            view, start = memoryview(before + view), start - len(before)
        while start <= self.next[chunk] < min(stop, chunk.stop):
            rest = view[self.next[chunk] - start :]
            try:
                header = parse(rest)
            except _Cut:
                if len(rest) <= MAX_HEADER_BYTES:
                    self.cut[chunk] = bytes(rest)
                    return
                header = None
            except ValueError:
                header = None
            if header is None:  # no header: Arrow says so
                del self.next[chunk]
                return
            require_page(header, self.name)
            self.next[chunk] += header.num_bytes + header.packed


def require_page(header: Header, name: str) -> None:
    """
    Raises:
        DatasetError: the page unpacks to too much.
    """
    if header.unpacked > max(MIN_PAGE_BYTES, MAX_PAGE_RATIO * header.packed):
        raise DatasetError(
            f'a page of "{name}" unpacks from {header.packed:,d} to {header.unpacked:,d} bytes, more than '
            f"{MAX_PAGE_RATIO} times as many, which is not read: write it in smaller pages, or uncompressed"
        )


def look_through(file: BinaryIO, chunks: Sequence[Chunk], name: str) -> None:
    """Look at the headers of all pages of some column chunks of a file on this machine.

    Raises:
        DatasetError: a page unpacks to too much.
    """
    for chunk in chunks:
        watch = Watch([chunk], name)
        num_bytes = HEADER_BYTES
        while (position := watch.next.get(chunk, chunk.stop)) < chunk.stop:
            file.seek(position)
            data = file.read(min(num_bytes, chunk.stop - position))
            watch.cut.clear()
            watch.see(position, data)
            is_cut = watch.next.get(chunk) == position
            if is_cut and len(data) < num_bytes:
                return
            num_bytes = 4 * num_bytes if is_cut else HEADER_BYTES

"""Parquet files put together of row groups: new ones, and those of another file byte for byte.

The bytes of a row group don't say where they lie; the footer does (parquet.thrift, `FileMetaData`, in Thrift's compact
protocol). So a row group is copied without being unpacked, and its description gets other offsets.
"""

import io
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files

# Thrift's types in the compact protocol. A flag's value is its type.
_FLAGS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LIST, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 9, 12
_I64 = 6

# A field's type and value, by its number. A list's value is the type of its items, and these.
Struct: TypeAlias = dict[int, tuple[int, Any]]

# Fields of `FileMetaData`, `RowGroup`, `ColumnChunk`, `ColumnMetaData` and `KeyValue`.
_NUM_ROWS, _ROW_GROUPS, _KEY_VALUES = 3, 4, 5
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _ORDINAL = 1, 3, 5, 7
_CHUNK_OFFSET, _CHUNK_METADATA = 2, 3
_PACKED_BYTES, _DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE = 7, 9, 10, 11
_KEY, _VALUE = 1, 2


class RowGroup(NamedTuple):
    """A row group of a file.

    Attributes:
        described: its part of the footer.
        start, stop: of its bytes in the file.
    """

    described: Struct
    start: int
    stop: int

    @property
    def num_rows(self) -> int:
        count: int = self.described[_GROUP_ROWS][1]
        return count


def row_groups_of(footer: bytes) -> list[RowGroup]:
    """The row groups that a footer describes, in order.

    Args:
        footer: a `FileMetaData`.
    """
    described = _Reader(footer).struct()
    return [_row_group(one) for one in described[_ROW_GROUPS][1][1]]


def _row_group(described: Struct) -> RowGroup:
    edges = []
    for chunk in described[_COLUMNS][1][1]:
        column = chunk[_CHUNK_METADATA][1]
        start = min(column[at][1] for at in (_DATA_PAGE, _DICTIONARY_PAGE) if column.get(at, (0, 0))[1])
        edges += [start, start + column[_PACKED_BYTES][1]]
    return RowGroup(described, min(edges), max(edges))


def footer_of(file: BinaryIO) -> bytes:
    """The footer of an open Parquet file."""
    size = file.seek(0, io.SEEK_END)
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - 8 - length)
    return file.read(length)


class RowGroupWriter:
    """Writes a Parquet file, one row group after the other.

    Attributes:
        schema: of all rows. Its metadata may be replaced until the end.
    """

    def __init__(self, file: pa.NativeFile, arrow: pa.Schema) -> None:
        self._file, self.schema = file, arrow
        self._groups: list[Struct] = []
        self._num_rows = 0
        self._position = file.write(files.PARQUET_MARK)

    def write(self, rows: pa.Table) -> None:
        """A row group of these rows, of which there is one at least."""
        data = _written(rows.combine_chunks().replace_schema_metadata(None), max(len(rows), 1))
        (group,) = row_groups_of(footer_of(io.BytesIO(data)))
        self.copy(data[group.start : group.stop], group)

    def copy(self, data: bytes | memoryview, group: RowGroup) -> None:
        """A row group that was written with the same schema.

        Args:
            data: its bytes.
        """
        self._groups.append(_moved(group.described, self._position - group.start, len(self._groups)))
        self._num_rows += group.num_rows
        self._position += self._file.write(data)

    def close(self, metadata: Mapping[bytes, bytes]) -> None:
        """Write the footer.

        Args:
            metadata: what the file says of itself beside its schema's metadata.
        """
        described = _Reader(footer_of(io.BytesIO(_written(self.schema.empty_table(), 1)))).struct()
        described[_NUM_ROWS] = (_I64, self._num_rows)
        described[_ROW_GROUPS] = (_LIST, (_STRUCT, self._groups))
        if metadata:
            known = described[_KEY_VALUES][1][1] if _KEY_VALUES in described else []
            known = [one for one in known if one[_KEY][1] not in metadata]
            added: list[Struct] = [{_KEY: (_BINARY, key), _VALUE: (_BINARY, value)} for key, value in metadata.items()]
            described[_KEY_VALUES] = (_LIST, (_STRUCT, [*known, *added]))
        footer = bytearray()
        _write_struct(footer, dict(sorted(described.items())))
        self._file.write(bytes(footer) + len(footer).to_bytes(4, "little") + files.PARQUET_MARK)


def _written(table: pa.Table, num_rows: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=num_rows, **files.PARQUET)
    return sink.getvalue()


def _moved(group: Struct, by: int, ordinal: int) -> Struct:
    """A row group's description where its bytes lie elsewhere."""
    chunks = []
    for chunk in group[_COLUMNS][1][1]:
        column = _shifted(chunk[_CHUNK_METADATA][1], (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE), by)
        chunks.append({**_shifted(chunk, (_CHUNK_OFFSET,), by), _CHUNK_METADATA: (_STRUCT, column)})
    moved = {**_shifted(group, (_GROUP_OFFSET,), by), _COLUMNS: (_LIST, (_STRUCT, chunks))}
    if _ORDINAL in moved:
        moved[_ORDINAL] = (moved[_ORDINAL][0], ordinal)
    return moved


def _shifted(one: Struct, fields: Iterable[int], by: int) -> Struct:
    return {**one, **{at: (one[at][0], one[at][1] + by) for at in fields if one.get(at, (0, 0))[1]}}


class _Reader:
    """Reads Thrift's compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> Struct:
        found: Struct = {}
        field = 0
        while head := self._byte():
            kind = head & 0x0F
            field = field + (head >> 4) if head >> 4 else self._integer()
            found[field] = (kind, None if kind in _FLAGS else self._value(kind))
        return found

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        zigzag = self._varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _value(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind == _LIST:
            head = self._byte()
            size, items = head >> 4, head & 0x0F
            size = self._varint() if size == 15 else size
            return items, [self._byte() if items in _FLAGS else self._value(items) for _ in range(size)]
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BYTE:
            return self._byte()
        raise ValueError(f"Parquet's footer has no type {kind}")

    def _bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]


def _write_struct(sink: bytearray, one: Struct) -> None:
    before = 0
    for field, (kind, value) in one.items():
        if 0 < field - before <= 15:
            sink.append((field - before) << 4 | kind)
        else:
            sink.append(kind)
            _write_integer(sink, field)
        before = field
        if kind not in _FLAGS:
            _write_value(sink, kind, value)
    sink.append(0)


def _write_value(sink: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_integer(sink, value)
    elif kind == _BINARY:
        _write_varint(sink, len(value))
        sink += value
    elif kind == _STRUCT:
        _write_struct(sink, value)
    elif kind == _LIST:
        items, values = value
        if len(values) < 15:
            sink.append(len(values) << 4 | items)
        else:
            sink.append(0xF0 | items)
            _write_varint(sink, len(values))
        for item in values:
            if items in _FLAGS:
                sink.append(item)
            else:
                _write_value(sink, items, item)
    elif kind == _DOUBLE:
        sink += value
    else:
        sink += struct.pack("B", value)


def _write_integer(sink: bytearray, value: int) -> None:
    _write_varint(sink, value << 1 if value >= 0 else (-value << 1) - 1)


def _write_varint(sink: bytearray, value: int) -> None:
    while value >= 0x80:
        sink.append(value & 0x7F | 0x80)
        value >>= 7
    sink.append(value)

"""Content hashes: the only identity that this project uses (BLAKE3, its first 128 bits, 32 hex digits).

Datasets are written by strangers, and whatever has one hash is one thing here. So the hash is a cryptographic one;
`docs/security.md` says what 128 bits of it withstand.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from blake3 import blake3

# Of BLAKE3's output, of which any number of bytes may be taken.
HASH_BYTES = 16
# So many rows of a table are hashed at once: another number makes another hash of a larger table.
HASHED_ROWS = 65_536
# A hash in memory, where many are held.
PACKED = pa.binary(HASH_BYTES)
# 2^64 over the golden ratio: the step of SplitMix64.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def of_bytes(data: bytes | bytearray | memoryview) -> str:
    return blake3(data).hexdigest(length=HASH_BYTES)


def checksum(data: bytes | bytearray | memoryview) -> str:
    """Shows accidents (a bad disk, a cut file), not forgeries, at the speed of memory (xxh3, 128 bit)."""
    return xxhash.xxh3_128_hexdigest(data)


def checksum_of_stream(stream: BinaryIO) -> str:
    """`checksum` of all that a stream holds."""
    state = xxhash.xxh3_128()
    while block := stream.read(1 << 20):
        state.update(block)
    return state.hexdigest()


def of_value(value: Any) -> str:
    """Hash a JSON value. Key order is irrelevant; 1 and 1.0 differ."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return of_stream(file)


def of_stream(stream: BinaryIO) -> str:
    state = blake3()
    while block := stream.read(1 << 20):
        state.update(block)
    return state.hexdigest(length=HASH_BYTES)


def of_strings(strings: pa.Array | pa.ChunkedArray, batch_rows: int = 65_536) -> pa.ChunkedArray:
    """Hash each string of a column; null stays null. Python objects exist for one batch at a time."""
    column = strings if isinstance(strings, pa.ChunkedArray) else pa.chunked_array([strings], type=strings.type)
    chunks = [
        pa.array(
            [None if text is None else of_bytes(text) for text in chunk.slice(start, batch_rows).to_pylist()],
            pa.string(),
        )
        for chunk in column.cast(pa.large_binary()).chunks
        for start in range(0, len(chunk), batch_rows)
    ]
    return pa.chunked_array(chunks, type=pa.string())


def packed_of_strings(strings: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """`of_strings` of a column without nulls, packed (`pack`)."""
    return _packed(strings, lambda text: blake3(text).digest(length=HASH_BYTES))


def packed_second_of_strings(strings: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """Hash of each string of a column without nulls by another function than `of_strings`: what has both in common is
    the same text (SHA-256), packed.
    """
    return _packed(strings, lambda text: sha256(text).digest()[:HASH_BYTES])


def _packed(
    strings: pa.Array | pa.ChunkedArray, digest: Callable[[bytes], bytes], batch_rows: int = 65_536
) -> pa.ChunkedArray:
    chunks = []
    for chunk in strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings]:
        assert not chunk.null_count, "a null has no hash"
        for start in range(0, len(chunk), batch_rows):
            some = chunk.slice(start, batch_rows)
            data = pa.py_buffer(b"".join(map(digest, some.cast(pa.large_binary()).to_pylist())))
            chunks.append(pa.FixedSizeBinaryArray.from_buffers(PACKED, len(some), [None, data]))
    return pa.chunked_array(chunks, PACKED)


def pack(hashes: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of hashes (32 hex digits, none null) in 16 bytes each, where many are held in memory."""
    chunks = hashes.chunks if isinstance(hashes, pa.ChunkedArray) else [hashes]
    return pa.chunked_array([_pack_chunk(chunk) for chunk in chunks], PACKED)


def unpack(packed: pa.ChunkedArray) -> pa.ChunkedArray:
    """The inverse of `pack`: hex digits."""
    return pa.chunked_array([_unpack_chunk(chunk) for chunk in packed.chunks], pa.string())


def _unpack_chunk(packed: pa.FixedSizeBinaryArray) -> pa.StringArray:
    if not len(packed):
        return pa.array([], pa.string())
    num_bytes = PACKED.byte_width
    start = packed.offset * num_bytes
    digits = packed.buffers()[1][start : start + len(packed) * num_bytes].to_pybytes().hex().encode()
    offsets = np.arange(len(packed) + 1, dtype=np.int32) * 2 * num_bytes
    return pa.StringArray.from_buffers(len(packed), pa.py_buffer(offsets), pa.py_buffer(digits))


def _pack_chunk(hashes: pa.Array) -> pa.FixedSizeBinaryArray:
    assert not hashes.null_count, "a null is no hash"
    if not len(hashes):
        return pa.array([], PACKED)
    texts = hashes.cast(pa.large_binary())
    _, offsets, digits = texts.buffers()
    start, stop = np.frombuffer(offsets, np.int64)[[texts.offset, texts.offset + len(texts)]].tolist()
    data = bytes.fromhex(digits[start:stop].to_pybytes().decode())
    assert len(data) == PACKED.byte_width * len(hashes), "a hash has 32 hex digits"
    return pa.FixedSizeBinaryArray.from_buffers(PACKED, len(hashes), [None, pa.py_buffer(data)])


def second_of_text(text: str) -> str:
    """Hash of a text by another function than `of_bytes`: what has both in common is the same text (SHA-256)."""
    return sha256(text.encode()).hexdigest()[: 2 * HASH_BYTES]


def numbers_of(strings: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A number for each string of a column without nulls: the same for the same one (xxh3, 64 bit). To count, not to
    know again: whoever wants to makes two strings with one number.
    """
    digest = xxhash.xxh3_64_intdigest
    chunks = strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings]
    parts = [
        np.array([digest(text) for text in chunk.cast(pa.large_binary()).to_pylist()], np.uint64) for chunk in chunks
    ]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def of_table(table: pa.Table, columns: Iterable[str] | None = None) -> str:
    """Hash a table's logical content: values, column names and types, row order.

    It is taken over a few rows at a time, so that it needs no second copy of the table. How the table is chunked or
    sliced, whether a column without nulls carries a validity bitmap, and schema metadata don't matter: the hash is
    taken over the rows written as plain Parquet, which has one form for all of these. Nor does the width of text's
    offsets; with wide ones, text of more than 2 GiB can be hashed.
    """
    chosen = table.select(list(columns)) if columns is not None else table
    state = TableHash(chosen.schema)
    for start in range(0, len(chosen), HASHED_ROWS):
        state.add(chosen.slice(start, HASHED_ROWS))
    return state.hexdigest()


class TableHash:
    """`of_table` of a table that comes in `Pieces`."""

    def __init__(self, arrow: pa.Schema) -> None:
        self._arrow = pa.schema([field.with_type(large(field.type)) for field in arrow])
        self._sink = _HashSink()
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            self._arrow,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            store_schema=False,
        )

    def add(self, piece: pa.Table) -> None:
        """The next rows, with at least the columns of the hash."""
        rows = piece.select(self._arrow.names).cast(self._arrow).combine_chunks()
        self._writer.write_table(rows, row_group_size=HASHED_ROWS)

    def hexdigest(self) -> str:
        """The hash. Nothing is added after that."""
        self._writer.close()
        return self._sink.state.hexdigest(length=HASH_BYTES)


class Pieces:
    """Rows that come in any number, as pieces of `HASHED_ROWS`, the last one smaller."""

    def __init__(self) -> None:
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0

    def add(self, rows: pa.Table) -> Iterator[pa.Table]:
        """The pieces that are complete with these rows."""
        if len(rows):
            self._waiting.append(rows)
            self._num_waiting += len(rows)
        while self._num_waiting >= HASHED_ROWS:
            joined = pa.concat_tables(self._waiting)
            self._num_waiting -= HASHED_ROWS
            self._waiting = [joined.slice(HASHED_ROWS)]
            yield joined.slice(0, HASHED_ROWS)

    def end(self) -> Iterator[pa.Table]:
        """The last piece, if there is one."""
        if self._num_waiting:
            yield pa.concat_tables(self._waiting)
        self._waiting, self._num_waiting = [], 0


def large(kind: pa.DataType) -> pa.DataType:
    """The type that holds the same values, with text and bytes at any depth in the form that has no limit of 2 GiB.

    Views become that form too: pyarrow can't filter them. Text within structs or lists of which a Parquet file has more
    than 2 GiB can be read back only in this form.
    """
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(large(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(large(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(large(kind.value_type)))
    return kind


class _HashSink:
    """A file that keeps only the hash of what is written to it."""

    def __init__(self) -> None:
        self.state = blake3()
        self.closed = False

    def write(self, data: Any) -> int:
        self.state.update(data)
        return memoryview(data).nbytes

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def scramble(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A number for each that looks drawn at random: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).

    For choices that a stranger may foresee, such as which rows are shown; not for anything that decides reuse.
    """
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))

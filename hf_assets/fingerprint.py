"""Content hashes: the only identity that this project uses (BLAKE3, its first 128 bits, 32 hex digits).

Datasets are written by strangers, and whatever has one hash is one thing here. So the hash is a cryptographic one;
`docs/security.md` says what 128 bits of it withstand.
"""

import hashlib
import json
from collections.abc import Iterable
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


def pack(hashes: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of hashes (32 hex digits, none null) in 16 bytes each, where many are held in memory."""
    chunks = hashes.chunks if isinstance(hashes, pa.ChunkedArray) else [hashes]
    return pa.chunked_array([_pack_chunk(chunk) for chunk in chunks], PACKED)


def unpack(packed: pa.ChunkedArray) -> pa.ChunkedArray:
    """The inverse of `pack`: hex digits."""
    chunks = [pa.array([data.hex() for data in chunk.to_pylist()], pa.string()) for chunk in packed.chunks]
    return pa.chunked_array(chunks, pa.string())


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
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * HASH_BYTES]


def second_of_strings(strings: pa.ChunkedArray) -> pa.ChunkedArray:
    """`second_of_text` of each string of a column without nulls."""
    chunks = [pa.array([second_of_text(text) for text in chunk.to_pylist()], pa.string()) for chunk in strings.chunks]
    return pa.chunked_array(chunks, pa.string())


def of_table(table: pa.Table, columns: Iterable[str] | None = None) -> str:
    """Hash a table's logical content: values, column names and types, row order.

    It is taken over a few rows at a time, so that it needs no second copy of the table. How the table is chunked or
    sliced, whether a column without nulls carries a validity bitmap, and schema metadata don't matter: the hash is
    taken over the rows written as plain Parquet, which has one form for all of these. Nor does the width of text's
    offsets; with wide ones, text of more than 2 GiB can be hashed.
    """
    chosen = table.select(list(columns)) if columns is not None else table
    wide = pa.schema([field.with_type(large(field.type)) for field in chosen.schema])
    sink = _HashSink()
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        wide,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    ) as writer:
        for start in range(0, len(chosen), HASHED_ROWS):
            some = chosen.slice(start, HASHED_ROWS).cast(wide).combine_chunks()
            writer.write_table(some, row_group_size=HASHED_ROWS)
    return sink.state.hexdigest(length=HASH_BYTES)


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

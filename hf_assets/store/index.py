"""The index of a store: append-only Parquet parts, each named by the hash of its bytes.

A part's appearance is the commit.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import fingerprint
from hf_assets.blobs import Blobs

SUFFIX = ".parquet"

# The two values of `status` that aren't the reason of a failure.
OK = "ok"
RETRY = "retry"

# One row per tensor of a sample. A sample that failed has one row per attempt, with its reason in `status` and no
# shard; a row with status `retry` that is newer than these makes it count as missing again, and so does code of
# another version than the one that failed last.
INDEX = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("tensor", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("shape", pa.list_(pa.field("element", pa.int32()))),
        pa.field("dtype", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("tried_by", pa.string()),  # of a failure: the version of the code
        pa.field("text", pa.string()),  # of an embed: its caption by another hash (`fingerprint.second_of_strings`)
        pa.field("checksum", pa.string()),  # of the tensor's bytes
        pa.field("num_bytes", pa.int64()),  # of the tensor
        pa.field("offset", pa.int64()),  # of the tensor's first byte in the shard; earlier releases don't say it
        pa.field("shard_bytes", pa.int64()),
        pa.field("shard_mtime_ns", pa.int64()),
        pa.field("written_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
# What shows whether a key can be computed, besides the key (`failures`).
ATTEMPT = ("status", "message", "tried_by", "written_at")
# Columns whose values repeat within a part; keys and checksums don't.
REPEATING = ["tensor", "shard", "dtype", "status", "message", "tried_by", "text"]


def commit(parts: Blobs, rows: pa.Table) -> str:
    """Write rows (`INDEX`) as one part. Returns its name."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=REPEATING)
    data = memoryview(sink.getvalue())
    return parts.put(f"{fingerprint.of_bytes(data)}{SUFFIX}", data).name


def read_parts(blobs: Blobs) -> dict[str, pa.Table | None]:
    """Every part by its file name; None for a damaged one.

    Parts are listed until what was read is what is there: garbage collection commits new parts before it removes the
    old ones, so nothing is missed that way.
    """
    parts: dict[str, pa.Table | None] = {}
    while (names := part_names(blobs)) != list(parts):
        read = {name: parts[name] if name in parts else _read_part(blobs, name) for name in names}
        parts = {name: part for name, part in read.items() if part is not _GONE}
    return parts


def read_part(blobs: Blobs, name: str) -> pa.Table | None:
    """The rows of one part; None for a damaged one.

    Raises:
        FileNotFoundError: there is no such part any more.
    """
    part = _read_part(blobs, name)
    if part is _GONE:
        raise FileNotFoundError(name)
    return part


def part_names(blobs: Blobs) -> list[str]:
    """The parts that lie in an index folder, in order of their names."""
    return [name for name in blobs.names() if name.endswith(SUFFIX)]


def join_parts(parts: Mapping[str, pa.Table | None]) -> pa.Table:
    """The rows of all parts that aren't damaged (`INDEX`)."""
    whole = [part for part in parts.values() if part is not None]
    return pa.concat_tables(whole) if whole else INDEX.empty_table()


def stored_rows(index: pa.Table) -> pa.Table:
    """The rows of an index that name a tensor."""
    is_stored = pc.equal(index["status"], OK)
    return index if pc.all(is_stored).as_py() else index.filter(is_stored)


def stored_keys(index: pa.Table) -> pa.Array:
    """The keys of an index that can be read."""
    return pc.unique(stored_rows(index)["key"])


def failures(index: pa.Table, tried_by: str | None = None) -> pa.Table:
    """The keys that failed, weren't computed since, and aren't marked to be tried again.

    Args:
        tried_by: only what this version of the code can't compute, as it found out last.

    Returns:
        `key`, `status` (the reason), `message` (both of the last attempt), `first_seen`, `last_seen`.
    """
    others = index.filter(pc.not_equal(index["status"], OK))
    if len(others):  # mostly nothing failed, and the set of all stored keys needn't be made
        others = others.filter(pc.invert(pc.is_in(others["key"], value_set=stored_keys(index)))).sort_by("written_at")
    is_marker = pc.equal(others["status"], RETRY)
    failed, markers = others.filter(pc.invert(is_marker)), others.filter(is_marker)
    attempts = failed.group_by("key", use_threads=False).aggregate(
        [("status", "last"), ("message", "last"), ("tried_by", "last"), ("written_at", "min"), ("written_at", "max")]
    )
    if tried_by is not None:
        attempts = attempts.filter(pc.equal(attempts["tried_by_last"], tried_by))
    marked = markers.group_by("key").aggregate([("written_at", "max")])
    marked_at = marked["written_at_max"].take(pc.index_in(attempts["key"], value_set=marked["key"].combine_chunks()))
    is_settled = pc.fill_null(pc.less_equal(marked_at, attempts["written_at_max"]), True)
    names = ["key", "status_last", "message_last", "written_at_min", "written_at_max"]
    return (
        attempts.select(names)
        .rename_columns(["key", "status", "message", "first_seen", "last_seen"])
        .filter(is_settled)
    )


def copies(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Which of the rows that name tensors are to be read: two runs may have stored one key twice.

    Returns:
        positions of the rows ordered by key and tensor, without those that say the same twice; and for each whether
        it belongs to the newest copy of its key.
    """
    key, shard, tensor = (_codes(rows[name]) for name in ("key", "shard", "tensor"))
    time = rows["written_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((-time, tensor, shard, key))
    order = order[_starts(key[order], shard[order], tensor[order])]
    by_age = order[np.lexsort((-shard[order], -time[order], key[order]))]
    newest = by_age[_starts(key[by_age])]
    newest_shard = np.empty(int(key.max(initial=-1)) + 1, dtype=shard.dtype)
    newest_shard[key[newest]] = shard[newest]
    return order, shard[order] == newest_shard[key[order]]


def now() -> datetime:
    return datetime.now(UTC)


def _starts(*codes: np.ndarray) -> np.ndarray:
    """Where a run of equal values starts."""
    is_start = np.ones(len(codes[0]), dtype=bool)
    is_start[1:] = np.logical_or.reduce([values[1:] != values[:-1] for values in codes])
    return is_start


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    codes: np.ndarray = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return codes


_GONE = pa.table({})


def _read_part(blobs: Blobs, name: str) -> pa.Table | None:
    try:
        data = blobs.get(name)
    except FileNotFoundError:
        return _GONE
    if fingerprint.of_bytes(data) != name.removesuffix(SUFFIX):
        return None
    return completed(pq.ParquetFile(pa.BufferReader(data)).read())


def completed(rows: pa.Table) -> pa.Table:
    """Rows of `INDEX` that an earlier release wrote, which knew fewer columns."""
    for field in INDEX:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(INDEX.names)

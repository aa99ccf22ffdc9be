"""A few stored tensors, read without torch and checked against their checksums: what a check of a store may cost."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint
from hf_assets.store import index, shards
from hf_assets.store.tensors import TensorStore, shard_name

# The checks of a store read at most so much of it.
MAX_SAMPLES = 32
MAX_BYTES = 64 << 20
# Of a table's metadata: the first few of the keys that it names (`first`).
FIRST = b"hf_assets.first_keys"
# safetensors' names of the types whose values can be infinite or undefined.
FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
EIGHT_BITS = {"F8_E4M3": (0x7F, 0x7F), "F8_E5M2": (0x7C, 0x7C)}  # NaN or infinite where (byte & mask) >= this


class Tensor(NamedTuple):
    """One tensor that was read.

    Attributes:
        values: in float32; None where it can't be read, or isn't of floats.
        is_finite: whether no value is NaN or infinite.
        wrong: why it can't be read; None where it can.
    """

    key: str
    name: str
    values: np.ndarray | None
    is_finite: bool
    wrong: str | None = None


def first(keys: pa.Array) -> pa.Array:
    """The first few keys in their order, which is as good as at random: keys are hashes."""
    return keys.take(pc.select_k_unstable(keys, MAX_SAMPLES, [("", "ascending")]))


def first_of(tables: Iterable[pa.Table], column: str) -> pa.Array:
    """The first few different keys of a column."""
    found = pa.array([], pa.string())
    for table in tables:
        keys = table[column]
        if len(found) == MAX_SAMPLES:
            keys = keys.filter(pc.less(keys, pc.max(found)))
        found = first(pc.unique(pa.chunked_array([found, *keys.chunks], pa.string())))
    return found


def noted(keys: pa.Array | pa.ChunkedArray) -> dict[bytes, str]:
    """For the metadata of the table that names these keys."""
    return {FIRST: json.dumps(first(pc.unique(keys)).to_pylist())}


def sample(store: TensorStore, keys: pa.Array) -> Iterator[Tensor]:
    """Read the tensors of a few of the keys (`first`), as many as `MAX_BYTES` allow."""
    chosen = first(keys)
    columns = ("tensor", "shard", "status", "checksum", "num_bytes", "written_at")
    stored = index.stored_rows(store.look_up(chosen, columns))
    order, is_newest = index.copies(stored)
    num_bytes = 0
    rows = stored.take(pa.array(order[is_newest])).sort_by([("key", "ascending"), ("tensor", "ascending")])
    for row in rows.to_pylist():
        num_bytes += row["num_bytes"]
        if num_bytes > MAX_BYTES and num_bytes > row["num_bytes"]:
            return
        yield _read(store, row)


def _read(store: TensorStore, row: dict[str, Any]) -> Tensor:
    key, name = row["key"], row["tensor"]
    try:
        start, entries = shards.header(store.blobs, shard_name(row["shard"]))
        entry = entries[f"{key}.{name}"]
        first, last = entry["data_offsets"]
        data = store.blobs.get_range(shard_name(row["shard"]), start + first, start + last)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Tensor(key, name, None, True, f"{row['shard']}: {error}")
    if fingerprint.checksum(data) != row["checksum"]:
        return Tensor(key, name, None, True, f"{row['shard']}: it isn't what was written")
    values = _floats(data, entry["dtype"])
    if values is None:
        mask, least = EIGHT_BITS.get(entry["dtype"], (0, 1))
        return Tensor(key, name, None, not bool(((np.frombuffer(data, np.uint8) & mask) >= least).any()))
    return Tensor(key, name, values.reshape(entry["shape"]), bool(np.isfinite(values).all()))


def _floats(data: bytes, kind: str) -> np.ndarray | None:
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, FLOATS[kind]).astype(np.float32) if kind in FLOATS else None

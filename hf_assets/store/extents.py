"""Which bytes of which shard each tensor is: numbers in arrays, found out shard by shard when it is first read."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import torch

# safetensors' names of types that are stored here, and torch's.
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


class Places(NamedTuple):
    """Where the tensors of keys lie: those of key i are `rows[starts[group[i]]:starts[group[i] + 1]]`.

    Attributes:
        rows: `tensor`, `shard` and `checksum`.
    """

    group: np.ndarray
    starts: np.ndarray
    rows: pa.Table


class Form(NamedTuple):
    """What a tensor's bytes are."""

    dtype: "torch.dtype"
    shape: tuple[int, ...]
    num_bytes: int


class Extents:
    """The bytes of the rows of `Places`: 21 bytes a row, and no Python object.

    Attributes:
        offset: (R,) of a tensor's first byte in its shard; 0: not known yet.
        form_codes: (R,) which of `forms`; meaningless where the offset isn't known.
        is_checked: (R,) whether the bytes were read, and were what was written.
        forms: those that were met.
        shard_codes, tensor_codes: (R,) which of `shards` and `tensors`.
    """

    def __init__(self, places: Places, keys: pa.ChunkedArray) -> None:
        """
        Args:
            keys: those whose places they are.
        """
        num_rows = len(places.rows)
        self._places, self._keys = places, keys
        self.offset = np.zeros(num_rows, np.int64)
        self.form_codes = np.zeros(num_rows, np.int32)
        self.is_checked = np.zeros(num_rows, bool)
        self.forms: list[Form] = []
        self._codes_of_forms: dict[Form, int] = {}
        self.tensor_codes, tensors = _codes(places.rows["tensor"])
        self.tensors: list[str] = tensors.to_pylist()
        self.shard_codes, self.shards = _codes(places.rows["shard"])
        self._checksums = places.rows["checksum"]
        self._by_shard: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def checksum(self, row: int) -> str:
        value: str = self._checksums[row].as_py()
        return value

    def shard(self, code: int) -> str:
        name: str = self.shards[code].as_py()
        return name

    def learn(self, code: int, start: int, entries: dict[str, Any], num_bytes: int | None) -> None:
        """Note where all tensors of a shard lie. What its header doesn't name, or names wrongly, stays unknown.

        Args:
            start, entries: what its header says (`shards.header`).
            num_bytes: of the shard, where that is known.
        """
        order, bounds, first = self._sorted_by_shard()
        rows = order[bounds[code] : bounds[code + 1]]
        groups = np.searchsorted(self._places.starts, rows, side="right") - 1
        keys = self._keys.take(pa.array(first[groups])).to_pylist()
        for row, key in zip(rows.tolist(), keys, strict=True):
            found = _read_entry(entries.get(f"{key}.{self.tensors[self.tensor_codes[row]]}"))
            if found is None or (num_bytes is not None and start + found[0] + found[1].num_bytes > num_bytes):
                continue
            form = self._codes_of_forms.setdefault(found[1], len(self.forms))
            if form == len(self.forms):
                self.forms.append(found[1])
            self.form_codes[row] = form
            self.offset[row] = start + found[0]

    def _sorted_by_shard(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(R,) rows by shard, (S + 1,) where each shard's begin, and for each group a position that has its key."""
        if self._by_shard is None:
            order = np.argsort(self.shard_codes, kind="stable")
            bounds = np.searchsorted(self.shard_codes[order], np.arange(len(self.shards) + 1))
            first = np.zeros(max(len(self._places.starts) - 1, 0), np.int32)
            first[self._places.group] = np.arange(len(self._places.group), dtype=np.int32)
            self._by_shard = order.astype(np.int32), bounds, first
        return self._by_shard


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """A column as numbers, and what they stand for."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    return array.indices.to_numpy(zero_copy_only=False), array.dictionary


def _read_entry(entry: Any) -> tuple[int, Form] | None:
    """A tensor's first byte in the data, and what it is; None for what is no entry of a header."""
    import torch

    try:
        dtype: torch.dtype = getattr(torch, DTYPES[entry["dtype"]])
        shape = tuple(int(edge) for edge in entry["shape"])
        first, last = (int(edge) for edge in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        return None
    form = Form(dtype, shape, math.prod(shape) * dtype.itemsize)
    return (first, form) if first >= 0 and min(shape, default=0) >= 0 and last - first == form.num_bytes else None

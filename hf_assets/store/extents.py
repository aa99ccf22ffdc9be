"""Which bytes of which shard each tensor is, as numbers in arrays. The index says it; of what an earlier release stored
the shards do, when they are first read.
"""

import math
from collections.abc import Sequence
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

# Of a tensor: its first byte in its shard, 0 where that isn't known; which of `Places.shards`, `forms` and `tensors`
# are its own; and the checksum of its bytes.
ROW = np.dtype(
    [("offset", np.int64), ("shard", np.int32), ("form", np.int32), ("tensor", np.int32), ("checksum", np.uint8, 16)]
)


class Form(NamedTuple):
    """What a tensor's bytes are.

    Attributes:
        dtype: by torch's name.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def torch_dtype(self) -> "torch.dtype":
        import torch

        found: torch.dtype = getattr(torch, self.dtype)
        return found

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.torch_dtype.itemsize


class Places(NamedTuple):
    """Where the tensors of keys lie: those of key i are `rows[starts[group[i]]:starts[group[i] + 1]]`.

    All of it may be mapped from files (`store.located`).

    Attributes:
        group: (K,) of each key that was asked for, which of `keys` it is.
        starts: (G + 1,) where the tensors of each of `keys` begin.
        rows: (R,) `ROW`.
        keys: (G,) the different ones.
        shards, forms, tensors: what the rows' numbers stand for.
        are_known: whether all offsets are.
    """

    group: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    keys: pa.ChunkedArray
    shards: Sequence[str]
    forms: Sequence[Form]
    tensors: Sequence[str]
    are_known: bool

    def key_of(self, row: int) -> str:
        """The key that a row is of."""
        key: str = self.keys[int(np.searchsorted(self.starts, row, side="right")) - 1].as_py()
        return key


class Extents:
    """The bytes of the rows of `Places`. A process holds a bit for each, and 12 bytes where the index doesn't say it.

    Attributes:
        offset: (R,) of a tensor's first byte in its shard; 0: not known yet.
        form_codes: (R,) which of `forms`; meaningless where the offset isn't known.
        forms: those that were met.
        shard_codes, tensor_codes: (R,) which of the places' `shards` and `tensors`.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.tensors = places.tensors
        self.offset, self.form_codes = places.rows["offset"], places.rows["form"]
        self.shard_codes, self.tensor_codes = places.rows["shard"], places.rows["tensor"]
        if not places.are_known:  # what is mapped is for all processes, and isn't written to
            self.offset, self.form_codes = self.offset.copy(), self.form_codes.copy()
        self._checked = np.zeros(-(-len(places.rows) // 8), np.uint8)
        self.forms = list(places.forms)
        self._codes_of_forms = {form: code for code, form in enumerate(self.forms)}
        self._by_shard: tuple[np.ndarray, np.ndarray] | None = None

    def checksum(self, row: int) -> str:
        digits: str = self._places.rows["checksum"][row].tobytes().hex()
        return digits

    def shard(self, code: int) -> str:
        return self._places.shards[code]

    def are_checked(self, rows: np.ndarray) -> np.ndarray:
        """Whether the bytes of some rows were read, and were what was written."""
        bits: np.ndarray = self._checked[rows >> 3] >> (rows & 7).astype(np.uint8) & np.uint8(1)
        return bits.astype(bool)

    def note_checked(self, rows: np.ndarray) -> None:
        """The bytes of these rows were what was written."""
        np.bitwise_or.at(self._checked, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))

    def learn(self, code: int, start: int, entries: dict[str, Any], num_bytes: int | None) -> None:
        """Note where all tensors of a shard lie. What its header doesn't name, or names wrongly, stays unknown.

        Args:
            start, entries: what its header says (`shards.header`).
            num_bytes: of the shard, where that is known.
        """
        order, bounds = self._sorted_by_shard()
        for row in order[bounds[code] : bounds[code + 1]].tolist():
            name = f"{self._places.key_of(row)}.{self.tensors[self.tensor_codes[row]]}"
            found = _read_entry(entries.get(name))
            if found is None or (num_bytes is not None and start + found[0] + found[1].num_bytes > num_bytes):
                continue
            form = self._codes_of_forms.setdefault(found[1], len(self.forms))
            if form == len(self.forms):
                self.forms.append(found[1])
            self.form_codes[row] = form
            self.offset[row] = start + found[0]

    def _sorted_by_shard(self) -> tuple[np.ndarray, np.ndarray]:
        """(R,) rows by shard, and (S + 1,) where each shard's begin."""
        if self._by_shard is None:
            order = np.argsort(self.shard_codes, kind="stable")
            bounds = np.searchsorted(self.shard_codes[order], np.arange(len(self._places.shards) + 1))
            self._by_shard = order.astype(np.int32), bounds
        return self._by_shard


def _read_entry(entry: Any) -> tuple[int, Form] | None:
    """A tensor's first byte in the data, and what it is; None for what is no entry of a header."""
    try:
        form = Form(DTYPES[entry["dtype"]], tuple(int(edge) for edge in entry["shape"]))
        first, last = (int(edge) for edge in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        return None
    return (first, form) if first >= 0 and min(form.shape, default=0) >= 0 and last - first == form.num_bytes else None

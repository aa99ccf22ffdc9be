"""Read tensors by key from memory-mapped shards."""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.errors import StoreError
from hf_assets.store.tensors import OK, TensorStore, checksum

if TYPE_CHECKING:
    import torch

# Shards held open at once: each is one memory map.
OPEN_SHARDS = 256


class TensorReader:
    """The tensors of some keys: `reader[key]` is a dict by tensor name. Each is checked against its checksum when it is read.

    Raises:
        StoreError: a key has no whole shard, or a tensor isn't what was written.
    """

    def __init__(self, folder: Path, keys: pa.ChunkedArray) -> None:
        self.store = TensorStore(folder)
        index = self.store.index()
        wanted = index.filter(pc.and_(pc.equal(index["status"], OK), pc.is_in(index["key"], value_set=pc.unique(keys))))
        lacking = pc.invert(pc.is_in(pc.unique(keys), value_set=wanted["key"].combine_chunks()))
        if num_lacking := pc.sum(lacking).as_py():
            raise StoreError(
                f"{num_lacking:,} of {len(lacking):,} tensors of {folder} are missing or damaged: materialize this dataset again"
            )
        self.index = wanted.select(["key", "tensor", "shard", "checksum"]).sort_by("key").combine_chunks()
        self._open: OrderedDict[str, Any] = OrderedDict()

    def __getitem__(self, key: str) -> "dict[str, torch.Tensor]":
        start, stop = self._rows_of(key)
        rows = self.index.slice(start, stop - start).to_pylist()
        shard = rows[0]["shard"]  # a key that two runs wrote lies in two shards: either is right
        return {
            row["tensor"]: self._read(shard, key, row["tensor"], row["checksum"])
            for row in rows
            if row["shard"] == shard
        }

    def _rows_of(self, key: str) -> tuple[int, int]:
        keys = self.index["key"].chunk(0)
        low, high = 0, len(keys)
        while low < high:
            middle = (low + high) // 2
            if keys[middle].as_py() < key:
                low = middle + 1
            else:
                high = middle
        stop = low
        while stop < len(keys) and keys[stop].as_py() == key:
            stop += 1
        if stop == low:
            raise KeyError(key)
        return low, stop

    def _read(self, shard: str, key: str, name: str, expected: str) -> "torch.Tensor":
        try:
            tensor: torch.Tensor = self._shard(shard).get_tensor(f"{key}.{name}")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"shard {self.store.shard_path(shard)} can't be read ({error}): materialize this dataset again"
            ) from None
        if checksum(tensor) != expected:
            raise StoreError(
                f"shard {self.store.shard_path(shard)} is damaged at {key}: materialize this dataset again, which computes its samples anew"
            )
        return tensor

    def _shard(self, shard: str) -> Any:
        from safetensors import safe_open

        if shard not in self._open:
            self._open[shard] = safe_open(self.store.shard_path(shard), framework="pt")
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        return self._open[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # workers map the shards themselves

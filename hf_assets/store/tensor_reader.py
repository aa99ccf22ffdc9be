"""Read tensors of memory-mapped shards, or by range where they lie elsewhere."""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.blobs import Location
from hf_assets.errors import StoreError
from hf_assets.store import index, memo, packing
from hf_assets.store.memo import Rest, State
from hf_assets.store.remote_shards import RemoteShards, Wanted
from hf_assets.store.tensors import TensorStore, checksum, shard_name

if TYPE_CHECKING:
    import torch

# Shards held open at once: each is one memory map.
OPEN_SHARDS = 256


class Places(NamedTuple):
    """Where the tensors of keys lie: those of key i are `rows[starts[group[i]]:starts[group[i] + 1]]`.

    Attributes:
        rows: `tensor`, `shard` and `checksum`.
    """

    group: np.ndarray
    starts: np.ndarray
    rows: pa.Table


class TensorReader:
    """The tensors of a column of keys: `reader[i]` is a dict by tensor name for the i-th.

    Each tensor is checked against its checksum when it is read.
    The index is looked up once, for all keys. A shard that garbage collection replaced since then is looked up again.

    Raises:
        StoreError: a key has no whole shard, or a tensor isn't what was written.
    """

    def __init__(self, folder: Location, keys: pa.ChunkedArray, places: Places | None = None) -> None:
        """
        Args:
            places: of the keys, where they are known already.
        """
        self.store = TensorStore(folder)
        self.keys = keys
        self.open_shards: OrderedDict[str, Any] = OrderedDict()
        self.remote = None if isinstance(folder, Path) else RemoteShards(self.store)
        self._seen: tuple[dict[str, State], dict[str, State]] | None = None
        self.places = places or self._locate()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> "dict[str, torch.Tensor]":
        try:
            return self._tensors(position)
        except FileNotFoundError:
            self.open_shards.clear()
            if self.remote is not None:
                self.remote.forget()
            self.places = self._locate()
        try:
            return self._tensors(position)
        except FileNotFoundError as error:
            raise StoreError(f"{error}: materialize this dataset again") from None

    def rests(self) -> tuple[Rest, ...] | None:
        """The files of the store that say where the tensors lie; None where they changed while they were read."""
        if self._seen is None:
            return None
        shards, parts = self._seen
        names = [shard_name(shard) for shard in pc.unique(self.places.rows["shard"]).to_pylist()]
        if any(name not in shards for name in names):
            return None
        return Rest(self.store.folder, {name: shards[name] for name in names}), Rest(self.store.index_folder, parts)

    def _locate(self) -> Places:
        """Find where each key's tensors lie."""
        before = memo.states_of(self.store.folder), memo.states_of(self.store.index_folder)
        wanted = pc.unique(self.keys)
        rows, lacking = self._rows_of(wanted)
        if len(lacking):
            rows, lacking = self._rows_of(wanted)  # garbage collection may have moved them while the index was read
        if len(lacking):
            raise StoreError(
                f"{len(lacking):,} of {len(wanted):,} tensors of {self.store.folder} are missing or damaged: "
                "materialize this dataset again"
            )
        codes = rows["key"].combine_chunks().dictionary_encode()
        self._seen = before if before[1] == memo.states_of(self.store.index_folder) else None
        return Places(
            pc.index_in(self.keys, value_set=codes.dictionary).to_numpy(),
            np.searchsorted(codes.indices.to_numpy(), np.arange(len(codes.dictionary) + 1)),
            pa.table(
                {
                    "tensor": rows["tensor"].combine_chunks().dictionary_encode(),
                    "shard": rows["shard"].combine_chunks().dictionary_encode(),
                    "checksum": rows["checksum"].combine_chunks(),
                }
            ),
        )

    def _rows_of(self, wanted: pa.Array) -> tuple[pa.Table, pa.Array]:
        """The index's rows of these keys, one copy of each, by key and tensor; and the keys that have none."""
        columns = ("tensor", "shard", "status", "checksum", "written_at")
        stored = index.stored_rows(self.store.look_up(wanted, columns))
        order, is_newest = index.copies(stored)
        rows = stored.take(pa.array(order[is_newest]))
        return rows, wanted.filter(pc.invert(pc.is_in(wanted, value_set=pc.unique(rows["key"]))))

    def _tensors(self, position: int) -> "dict[str, torch.Tensor]":
        group = self.places.group[position]
        start, stop = int(self.places.starts[group]), int(self.places.starts[group + 1])
        key = self.keys[position].as_py()
        if self.remote is not None:
            return packing.unpack(self._read_remote(self.remote, key, self.places.rows.slice(start, stop - start)))
        return packing.unpack(
            {
                row["tensor"]: self._read(row["shard"], key, row["tensor"], row["checksum"])
                for row in self.places.rows.slice(start, stop - start).to_pylist()
            }
        )

    def _read_remote(self, remote: RemoteShards, key: str, rows: pa.Table) -> "dict[str, torch.Tensor]":
        from safetensors import SafetensorError

        found = {}
        for shard in pc.unique(rows["shard"]).to_pylist():
            wanted = [
                Wanted(f"{key}.{row['tensor']}", row["checksum"]) for row in rows.to_pylist() if row["shard"] == shard
            ]
            try:
                tensors = remote.read(shard, wanted)
            except (ValueError, KeyError, TypeError, SafetensorError) as error:
                raise self._damage_error(shard, str(error)) from None
            for one in wanted:
                if one.name not in tensors:
                    raise self._damage_error(shard, f"{one.name} isn't what was written")
                found[one.name.removeprefix(f"{key}.")] = tensors[one.name]
        return found

    def _read(self, shard: str, key: str, name: str, expected: str) -> "torch.Tensor":
        from safetensors import SafetensorError

        try:
            tensor: torch.Tensor = (
                self._shard(shard).get_tensor(f"{key}.{name}").clone()
            )  # what is read is the map itself
        except SafetensorError as error:
            raise self._damage_error(shard, str(error)) from None
        if checksum(tensor) != expected:
            raise self._damage_error(shard, f"{name} of {key} isn't what was written")
        return tensor

    def _damage_error(self, shard: str, details: str) -> StoreError:
        return StoreError(
            f"shard {self.store.shard_path(shard)} is damaged ({details}): run `hf-assets verify`, which sets it "
            "aside, then materialize this dataset again, which computes its samples anew"
        )

    def _shard(self, shard: str) -> Any:
        from safetensors import safe_open

        if shard not in self.open_shards:
            self.open_shards[shard] = safe_open(self.store.shard_path(shard), framework="pt")
            if len(self.open_shards) > OPEN_SHARDS:
                self.open_shards.popitem(last=False)
        self.open_shards.move_to_end(shard)
        return self.open_shards[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "open_shards": OrderedDict()}  # each process maps the shards itself

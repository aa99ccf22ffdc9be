"""Read tensors by key, one or a batch at a time, from shards on this machine or by range from elsewhere."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from hf_assets.blobs import Location
from hf_assets.errors import StoreError
from hf_assets.store import located, packing
from hf_assets.store.extents import Extents, Places
from hf_assets.store.local_shards import LocalShards, Piece
from hf_assets.store.remote_shards import RemoteShards
from hf_assets.store.stacking import Stack, allocate, bytes_of
from hf_assets.store.tensors import TensorStore

if TYPE_CHECKING:
    import torch

# Keys that are texts in memory at a time.
AT_ONCE = 65_536


class Tensors(NamedTuple):
    """What was read of several samples, B of them.

    Attributes:
        samples: each one's tensors by name.
        wholes: by name (B, …), where the samples' tensors lie in it one after the other, as views.
    """

    samples: "list[dict[str, torch.Tensor]]"
    wholes: "dict[str, torch.Tensor]"


class TensorReader:
    """The tensors of a column of keys: `reader[i]` is a dict by tensor name for the i-th.

    What is read is copied once, into memory of its own. Each tensor is checked against its checksum when it is first
    read; what lies on this machine isn't checked again.
    The index is looked up once, for all keys. A shard that garbage collection replaced since then is looked up again.

    Raises:
        StoreError: a key has no whole shard, or a tensor isn't what was written.
    """

    def __init__(self, folder: Location, keys: pa.ChunkedArray | Places) -> None:
        """
        Args:
            keys: as texts, or where their tensors lie, if that is known already.
        """
        self.store = TensorStore(folder)
        self.places = keys if isinstance(keys, Places) else located.locate(self.store, [keys])
        self._start()

    def _start(self) -> None:
        is_local = isinstance(self.store.folder, Path)
        self._shards = LocalShards(self.store) if is_local else RemoteShards(self.store)
        self._extents = Extents(self.places)

    def __len__(self) -> int:
        return len(self.places.group)

    def __getitem__(self, position: int) -> "dict[str, torch.Tensor]":
        return self.read([position]).samples[0]

    def read(self, positions: Sequence[int]) -> Tensors:
        """Several samples at a time, from each shard in the order in which they lie there."""
        try:
            return self._read(positions)
        except FileNotFoundError:
            self._shards.forget()
            self.places = located.locate(self.store, self._keys())
            self._extents = Extents(self.places)
        try:
            return self._read(positions)
        except FileNotFoundError as error:
            raise StoreError(f"{error}: materialize this dataset again") from None

    def _keys(self) -> Iterator[pa.ChunkedArray]:
        """All keys, some at a time."""
        places = self.places
        for start in range(0, len(places.group), AT_ONCE):
            yield places.keys.take(pa.array(places.group[start : start + AT_ONCE]))

    def _read(self, positions: Sequence[int]) -> Tensors:
        count = len(positions)
        groups = self.places.group[np.asarray(positions, np.int64)]
        firsts = self.places.starts[groups]
        counts = self.places.starts[groups + 1] - firsts
        owners = np.repeat(np.arange(count), counts)  # the sample that each row is of
        rows = np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(len(owners))
        self._learn(rows)
        packed: dict[str, Stack] = {}
        pieces: dict[int, list[Piece]] = defaultdict(list)
        tensor_codes = self._extents.tensor_codes[rows]
        for code in np.unique(tensor_codes).tolist():
            of_name = np.flatnonzero(tensor_codes == code)
            packed[self._extents.tensors[code]] = self._prepare(rows[of_name], owners[of_name], count, pieces)
        for shard, wanted in pieces.items():
            self._fill(shard, wanted)
        self._extents.note_checked(rows)
        stacks = packing.unpack_batch(packed)
        samples: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
        for name, (tensors, _) in stacks.items():
            for sample, tensor in zip(samples, tensors, strict=True):
                if tensor is not None:
                    sample[name] = tensor
        return Tensors(samples, {name: whole for name, (_, whole) in stacks.items() if whole is not None})

    def _learn(self, rows: np.ndarray) -> None:
        """Find out where the tensors of some rows of `places` lie in their shards."""
        extents = self._extents
        for code in np.unique(extents.shard_codes[rows[extents.offset[rows] == 0]]).tolist():
            shard = extents.shard(code)
            try:
                extents.learn(code, *self._shards.header(shard))
            except (ValueError, TypeError, AttributeError) as error:
                raise self._damage_error(shard, str(error)) from None
        unknown = rows[extents.offset[rows] == 0]
        if len(unknown):
            row = int(unknown[0])
            shard = extents.shard(extents.shard_codes[row])
            raise self._damage_error(shard, f"its header doesn't say where {self._name(row)} lies")

    def _prepare(self, rows: np.ndarray, owners: np.ndarray, count: int, pieces: dict[int, list[Piece]]) -> Stack:
        """Memory for the tensors of one name, and what has to be read into it."""
        extents = self._extents
        tensors: list[torch.Tensor | None] = [None] * count
        forms = extents.form_codes[rows]
        distinct = np.unique(forms).tolist()
        for code in distinct:
            own = np.flatnonzero(forms == code) if len(distinct) > 1 else np.arange(len(rows))
            form = extents.forms[code]
            whole = allocate(len(own), form.shape, form.torch_dtype)
            places = bytes_of(whole)
            numbers = rows[own]
            for place, tensor, row, owner, shard, offset, is_checked in zip(
                places,
                whole.unbind(0),
                numbers.tolist(),
                owners[own].tolist(),
                extents.shard_codes[numbers].tolist(),
                extents.offset[numbers].tolist(),
                extents.are_checked(numbers).tolist(),
                strict=True,
            ):
                tensors[owner] = tensor
                pieces[shard].append(Piece(row, offset, place, extents.checksum, is_checked))
            if len(own) == count:
                return Stack(tensors, whole)
        return Stack(tensors)

    def _fill(self, code: int, pieces: list[Piece]) -> None:
        damaged = self._shards.fill(self._extents.shard(code), pieces)
        if damaged is not None:
            raise self._damage_error(self._extents.shard(code), f"{self._name(damaged.row)} isn't what was written")

    def _name(self, row: int) -> str:
        """A row of `places`, for messages."""
        return f"{self._extents.tensors[self._extents.tensor_codes[row]]} of {self.places.key_of(row)}"

    def _damage_error(self, shard: str, details: str) -> StoreError:
        return StoreError(
            f"shard {self.store.shard_path(shard)} is damaged ({details}): run `hf-assets verify`, which sets it "
            "aside, then materialize this dataset again, which computes its samples anew"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "places": self.places}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)  # each process opens the shards itself
        self._start()

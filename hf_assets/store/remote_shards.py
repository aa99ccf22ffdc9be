"""Tensors of shards that lie elsewhere, read by range: only the bytes of the samples that are asked for."""

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_assets import fingerprint
from hf_assets.store import shards
from hf_assets.store.range_cache import RangeCache
from hf_assets.store.tensors import TensorStore, shard_name

if TYPE_CHECKING:
    import torch

# Headers held at once, of about half a megabyte each.
OPEN_HEADERS = 64
# Ranges with no more than this between them are read as one: a request costs about as much as so many bytes.
GAP_BYTES = 1 << 16


class Wanted(NamedTuple):
    """A tensor of a shard, and the checksum of its bytes."""

    name: str
    checksum: str


class RemoteShards:
    """The shards of one store."""

    def __init__(self, store: TensorStore) -> None:
        self.store = store
        self.cache = RangeCache()
        self._headers: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()

    def read(self, shard: str, wanted: list[Wanted]) -> "dict[str, torch.Tensor]":
        """Some tensors of a shard by name, each as its checksum says; one that isn't is left out.

        Raises:
            FileNotFoundError: there is no such shard.
            ValueError: it isn't one.
        """
        start, entries = self._header(shard)
        found: dict[str, bytes] = {}
        missing: list[tuple[int, int, Wanted]] = []
        for one in wanted:
            data = self.cache.get(one.checksum)
            if data is not None and fingerprint.checksum(data) == one.checksum:
                found[one.name] = data
            elif one.name in entries:
                first, last = entries[one.name]["data_offsets"]
                missing.append((start + first, start + last, one))
        for group in _join(sorted(missing)):
            begin, end = group[0][0], max(last for _, last, _ in group)
            data = self.store.blobs.get_range(shard_name(shard), begin, end)
            for first, last, one in group:
                part = data[first - begin : last - begin]
                if fingerprint.checksum(part) == one.checksum:
                    found[one.name] = part
                    self.cache.put(one.checksum, part)
        return {name: _tensor(data, entries[name]) for name, data in found.items() if name in entries}

    def forget(self) -> None:
        """Ask for all headers anew."""
        self._headers.clear()

    def _header(self, shard: str) -> tuple[int, dict[str, Any]]:
        if shard not in self._headers:
            self._headers[shard] = self._kept_header(shard) or self._fetch_header(shard)
            if len(self._headers) > OPEN_HEADERS:
                self._headers.popitem(last=False)
        self._headers.move_to_end(shard)
        return self._headers[shard]

    def _kept_header(self, shard: str) -> tuple[int, dict[str, Any]] | None:
        try:
            start, entries = json.loads(self.cache.get(f"{shard}.header") or b"")
            return int(start), dict(entries)
        except (ValueError, TypeError):
            return None

    def _fetch_header(self, shard: str) -> tuple[int, dict[str, Any]]:
        start, entries = shards.header(self.store.blobs, shard_name(shard))
        self.cache.put(f"{shard}.header", json.dumps([start, entries]).encode())
        return start, entries

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_headers": OrderedDict()}


def _join(ranges: list[tuple[int, int, Wanted]]) -> list[list[tuple[int, int, Wanted]]]:
    """Ranges that lie close together, as groups."""
    groups: list[list[tuple[int, int, Wanted]]] = []
    for one in ranges:
        if groups and one[0] - max(last for _, last, _ in groups[-1]) <= GAP_BYTES:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _tensor(data: bytes, entry: dict[str, Any]) -> "torch.Tensor":
    """The tensor that safetensors would give, by safetensors itself."""
    from safetensors.torch import load

    header = {"x": {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    tensor: torch.Tensor = load(len(text).to_bytes(8, "little") + text + data)["x"]
    return tensor

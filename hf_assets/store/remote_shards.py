"""Tensors of shards that lie elsewhere, read by range: only the bytes of the samples that are asked for."""

import json
from typing import Any

import numpy as np

from hf_assets.store import shards
from hf_assets.store.local_shards import BY_OFFSET, Piece
from hf_assets.store.range_cache import RangeCache
from hf_assets.store.tensors import TensorStore, shard_name

# Ranges with no more than this between them are read as one: a request costs about as much as so many bytes.
GAP_BYTES = 1 << 16


class RemoteShards:
    """The shards of one store."""

    def __init__(self, store: TensorStore) -> None:
        self.store = store
        self.cache = RangeCache()

    def header(self, shard: str) -> tuple[int, dict[str, Any], int | None]:
        """Where a shard's data starts, what lies in it (`shards.header`), and None, since its size isn't known.

        Raises:
            FileNotFoundError: there is no such shard.
            ValueError: it isn't one.
        """
        start, entries = self._kept_header(shard) or self._fetch_header(shard)
        return start, entries, None

    def fill(self, shard: str, pieces: list[Piece]) -> Piece | None:
        """Read pieces of a shard. Those that this machine keeps are checked each time: other processes write there.

        Returns:
            One that isn't what was written, if there is one.

        Raises:
            FileNotFoundError: there is no such shard.
        """
        for group in _join(sorted((piece for piece in pieces if not self._recall(piece)), key=BY_OFFSET)):
            begin, end = group[0].offset, max(piece.end for piece in group)
            data = memoryview(self.store.blobs.get_range(shard_name(shard), begin, end))
            for piece in group:
                part = data[piece.offset - begin : piece.end - begin]
                if not piece.holds(part):
                    return piece
                piece.target[:] = np.frombuffer(part, np.uint8)
                self.cache.put(piece.checksum, part)
        return None

    def forget(self) -> None:
        """Ask for all headers anew: nothing of them is held here."""

    def _recall(self, piece: Piece) -> bool:
        """Read a piece from what this machine keeps, if it is there and whole."""
        return self.cache.read_into(piece.checksum, piece.target) and piece.holds(piece.target.data)

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


def _join(pieces: list[Piece]) -> list[list[Piece]]:
    """Pieces that lie close together, as groups."""
    groups: list[list[Piece]] = []
    for piece in pieces:
        if groups and piece.offset - max(one.end for one in groups[-1]) <= GAP_BYTES:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups

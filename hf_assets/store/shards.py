"""Shards as bytes: plain safetensors files, the same bytes for the same tensors.

The format: 8 bytes with the length of the header, the header as JSON (name -> dtype, shape, range in the data), the
data.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_assets.blobs import Blobs

if TYPE_CHECKING:
    import torch

METADATA = "__metadata__"
# Read of a shard at once, to find its header: as much as the headers of most shards need.
HEADER_BYTES = 1 << 17


def pack(tensors: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str]) -> bytes:
    """A safetensors file. safetensors itself writes the metadata in an order that changes from call to call."""
    from safetensors.torch import save

    return select(save(dict(tensors), metadata=dict(metadata)), set(tensors))


def select(shard: bytes, names: set[str]) -> bytes:
    """A file with some of another one's tensors, byte by byte as they are, and all its metadata."""
    start = 8 + int.from_bytes(shard[:8], "little")
    header = json.loads(shard[8:start])
    chosen = {METADATA: dict(sorted(header.pop(METADATA, {}).items()))}
    pieces, offset = [], 0
    # in the order of the data, in which safetensors keeps tensors aligned
    for name, entry in sorted(header.items(), key=lambda item: (item[1]["data_offsets"], item[0])):
        if name in names:
            first, last = entry["data_offsets"]
            pieces.append(memoryview(shard)[start + first : start + last])
            chosen[name] = {
                "dtype": entry["dtype"],
                "shape": entry["shape"],
                "data_offsets": [offset, offset + last - first],
            }
            offset += last - first
    text = json.dumps(chosen, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *pieces])


def header(blobs: Blobs, name: str) -> tuple[int, dict[str, Any]]:
    """Where a shard's data starts, and by name each tensor's type, shape and range in the data.

    Raises:
        FileNotFoundError: there is no such shard.
        ValueError: it isn't one.
    """
    data = blobs.get_range(name, 0, HEADER_BYTES)
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) == HEADER_BYTES < start:
        blob = blobs.stat(name)
        if blob is not None and start <= blob.num_bytes:
            data += blobs.get_range(name, HEADER_BYTES, start)
    if len(data) < start:
        raise ValueError("its header is damaged")
    entries: dict[str, Any] = json.loads(data[8:start])
    return start, entries

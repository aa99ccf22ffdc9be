"""Shards as bytes: plain safetensors files, the same bytes for the same tensors.

The format: 8 bytes with the length of the header, the header as JSON (name -> dtype, shape, range in the data), the
data.
"""

import json
from collections.abc import Callable, Mapping
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
    """What `read_header` gives, of a shard in a folder.

    Raises:
        FileNotFoundError: there is no such shard.
        ValueError: it isn't one.
    """

    def num_bytes() -> int:
        blob = blobs.stat(name)
        return 0 if blob is None else blob.num_bytes

    return read_header(lambda start, stop: blobs.get_range(name, start, stop), num_bytes)


def offsets(data: bytes) -> dict[str, int]:
    """Of each tensor of a shard, by name, its first byte."""
    start, entries = read_header(lambda first, last: data[first:last], len(data))
    return {name: start + entry["data_offsets"][0] for name, entry in entries.items() if name != METADATA}


def read_header(
    get_range: Callable[[int, int], bytes], num_bytes: int | Callable[[], int]
) -> tuple[int, dict[str, Any]]:
    """Where a shard's data starts, and by name each tensor's type, shape and range in the data.

    Args:
        get_range: bytes of the shard, fewer where it ends before.
        num_bytes: of the shard, or what finds it out, where more than a usual header has to be read.

    Raises:
        ValueError: it isn't a shard.
    """
    data = get_range(0, HEADER_BYTES)
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) == HEADER_BYTES < start and start <= (num_bytes if isinstance(num_bytes, int) else num_bytes()):
        data += get_range(HEADER_BYTES, start)
    if len(data) < start:
        raise ValueError("its header is damaged")
    entries: dict[str, Any] = json.loads(data[8:start])
    return start, entries

"""Tensors as columns of Parquet files, and rows as the groups that such a file is written in."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from hf_assets.export.sharding import Sample

if TYPE_CHECKING:
    import torch

# A row group is full where it holds so many bytes of tensors: a sample can be read without many others, few are in
# memory, and the time that twenty columns take for a group is little beside that of its bytes.
GROUP_BYTES = 2 << 20


def row_groups(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Samples by the row groups that they are written in."""
    group: list[Sample] = []
    num_bytes = 0
    for sample in samples:
        group.append(sample)
        num_bytes += sum(tensor.nbytes for tensor in sample.tensors.values())
        if num_bytes >= GROUP_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group


def column_of(tensors: "Sequence[torch.Tensor]", kind: pa.DataType) -> pa.Array:
    """Each tensor's numbers in order, little-endian, as one value of a column.

    Arrow's own way from Python never lets go of the tensors (`pa.array` of memoryviews, pyarrow 26.0).

    Args:
        kind: `pa.binary()` for at most 2 GiB together, or `pa.large_binary()`.
    """
    import numpy as np
    import torch

    flat = [tensor.contiguous().flatten().view(torch.uint8).numpy() for tensor in tensors]
    ends = np.cumsum([0, *(len(one) for one in flat)], dtype=np.int64)
    offsets = ends.astype(np.int64 if pa.types.is_large_binary(kind) else np.int32)
    data = flat[0] if len(flat) == 1 else np.concatenate(flat)
    return pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(offsets), pa.py_buffer(data)])

"""The tensors of several samples side by side, so that a batch of them is there without another copy.

Shape letters: B samples.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch


class Stack(NamedTuple):
    """Tensors of one name.

    Attributes:
        tensors: one for each sample; None for a sample that has none of this name.
        whole: (B, …), where all of them have one shape and lie in it, one after the other.
    """

    tensors: "Sequence[torch.Tensor | None]"
    whole: "torch.Tensor | None" = None


def allocate(count: int, shape: Sequence[int], dtype: "torch.dtype", *, zeros: bool = False) -> "torch.Tensor":
    """Memory for tensors of one shape: (count, *shape).

    A batch that a worker of a `DataLoader` reads lies in memory that it shares with the trainer's process, as what
    torch's own `default_collate` makes: nothing is copied on the way.
    """
    import torch
    from torch.utils.data import get_worker_info

    whole = (count, *shape)
    num_bytes = math.prod(whole) * dtype.itemsize
    if count > 1 and num_bytes and get_worker_info() is not None:
        storage = torch.UntypedStorage._new_shared(num_bytes)  # type: ignore[no-untyped-call]  # filled with zeros
        return torch.empty(0, dtype=dtype).set_(storage, 0, whole)  # type: ignore[call-overload, no-any-return]
    return torch.zeros(whole, dtype=dtype) if zeros else torch.empty(whole, dtype=dtype)


def bytes_of(tensors: "torch.Tensor") -> np.ndarray:
    """The memory of (B, …), as (B, n) uint8."""
    import torch

    count = len(tensors)
    flat: np.ndarray = tensors.reshape(count, tensors.numel() // count).view(torch.uint8).numpy()
    return flat


def slices_of(tensor: "torch.Tensor", axis: int) -> np.ndarray:
    """A tensor's memory with one axis kept: (what is before it, its length, bytes of what is after it)."""
    import torch

    before, after = math.prod(tensor.shape[:axis]), math.prod(tensor.shape[axis + 1 :])
    flat: np.ndarray = tensor.view(before, tensor.shape[axis], after).view(torch.uint8).numpy()
    return flat


def stack(tensors: "torch.Tensor") -> Stack:
    return Stack(tensors.unbind(0), tensors)

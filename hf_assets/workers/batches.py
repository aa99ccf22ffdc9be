"""Batches that shrink until they fit into memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def in_halves(
    encode: "Callable[[torch.Tensor], dict[str, torch.Tensor]]", batch: "torch.Tensor"
) -> "list[dict[str, torch.Tensor]]":
    """Encode a batch, and where memory doesn't suffice, its halves.

    Args:
        encode: (B, …) to tensors (B, …) by name.

    Returns:
        B results on the CPU, without the batch axis.
    """
    import torch

    try:
        encoded = {name: tensor.cpu() for name, tensor in encode(batch).items()}
        return [{name: tensor[index] for name, tensor in encoded.items()} for index in range(len(batch))]
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return in_halves(encode, batch[:middle]) + in_halves(encode, batch[middle:])

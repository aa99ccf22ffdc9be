"""Batches of one shape, no larger than memory allows, that shrink until they fit into the device's."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


# A batch has at most so many values, but always one sample: 85 images of a megapixel, or one clip of 5 s at 480 lines.
BATCH_VALUES = 2**28
# So many values may wait for the encoder, decoded, whatever shapes they have; each takes one byte, of audio four.
WAITING_VALUES = 2**30


def num_ahead(wanted: int, threads: int, largest: int) -> int:
    """How many samples to decode ahead of the encoder: what keeps the threads busy at least.

    Args:
        largest: values of the largest sample.
    """
    return min(wanted, max(threads, WAITING_VALUES // largest))


class Waiting:
    """Decoded samples that wait for others of their shape, to be encoded together."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.num_values = 0
        self.groups: dict[tuple[int, ...], list[tuple[str, torch.Tensor]]] = {}

    def add(self, key: str, sample: "torch.Tensor") -> "Iterator[list[tuple[str, torch.Tensor]]]":
        """Let a sample wait, and give out the batch that it fills; and others, while too much waits."""
        group = self.groups.setdefault(tuple(sample.shape), [])
        group.append((key, sample))
        self.num_values += sample.numel()
        if len(group) == self.batch_size or (len(group) + 1) * sample.numel() > BATCH_VALUES:
            yield self._take(tuple(sample.shape))
        while self.num_values > WAITING_VALUES:
            yield self._take(max(self.groups, key=lambda shape: len(self.groups[shape]) * math.prod(shape)))

    def rest(self) -> "Iterator[list[tuple[str, torch.Tensor]]]":
        """All that still waits."""
        for shape in list(self.groups):
            yield self._take(shape)

    def _take(self, shape: tuple[int, ...]) -> "list[tuple[str, torch.Tensor]]":
        group = self.groups.pop(shape)
        self.num_values -= len(group) * math.prod(shape)
        return group


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

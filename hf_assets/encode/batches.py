"""Batches of one shape, no larger than memory allows, that shrink until they fit into the device's."""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

# A batch has at most so many bytes, but always one sample: 85 images of a megapixel, or one clip of 5 s at 480 lines.
BATCH_BYTES = 2**28


class Groups(Generic[T]):
    """Samples that wait for others of their shape, to be encoded together."""

    def __init__(self, batch_size: int, most_bytes: int) -> None:
        """
        Args:
            most_bytes: what may wait, whatever shapes it has.
        """
        self.batch_size = batch_size
        self.most_bytes = most_bytes
        self.num_bytes = 0
        self.groups: dict[Hashable, list[tuple[T, int]]] = {}

    def add(self, sample: T, shape: Hashable, num_bytes: int) -> Iterator[list[T]]:
        """Let a sample wait, and give out the batch that it fills; and others, while too much waits."""
        group = self.groups.setdefault(shape, [])
        group.append((sample, num_bytes))
        self.num_bytes += num_bytes
        if len(group) == self.batch_size or (len(group) + 1) * num_bytes > BATCH_BYTES:
            yield self._take(shape)
        while self.num_bytes > self.most_bytes:
            yield self._take(max(self.groups, key=lambda shape: sum(size for _, size in self.groups[shape])))

    def rest(self) -> Iterator[list[T]]:
        """All that still waits."""
        for shape in list(self.groups):
            yield self._take(shape)

    def _take(self, shape: Hashable) -> list[T]:
        group = self.groups.pop(shape)
        self.num_bytes -= sum(size for _, size in group)
        return [sample for sample, _ in group]


def in_halves(encode: Callable[[slice], T], count: int) -> list[T]:
    """Encode samples together, and where the device's memory doesn't suffice, in halves.

    Args:
        encode: of the samples at these positions of a batch.

    Returns:
        what `encode` gives for each part, in order.

    Raises:
        torch.OutOfMemoryError: one sample alone doesn't fit.
    """
    import torch

    def part(start: int, stop: int) -> list[T]:
        try:
            return [encode(slice(start, stop))]
        except torch.OutOfMemoryError:
            if stop - start == 1:
                raise
        torch.cuda.empty_cache()
        middle = (start + stop) // 2
        return part(start, middle) + part(middle, stop)

    return part(0, count)

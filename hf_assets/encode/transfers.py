"""To the device and back, beside the encoding: batches are assembled in memory that is used again, and copied on
streams of their own. On a CPU nothing is copied.
"""

import threading
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

# Memory that is kept for batches to come.
KEPT_BYTES = 256 << 20


class Buffers:
    """Memory for batches. New memory costs more than the copy into it; pinned memory lets a GPU fetch by itself."""

    def __init__(self) -> None:
        self._free: dict[Hashable, list[torch.Tensor]] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Buffers.__init__(self)

    def stack(self, samples: "list[torch.Tensor]", *, pinned: bool) -> "torch.Tensor":
        """Samples of one shape as one tensor (B, …). Give it back when it is no longer needed."""
        import torch

        key = (len(samples), *samples[0].shape, samples[0].dtype)
        with self._lock:
            free = self._free.get(key)
            buffer = free.pop() if free else None
        if buffer is None:
            shape = (len(samples), *samples[0].shape)
            buffer = torch.empty(shape, dtype=samples[0].dtype, pin_memory=pinned)
        return torch.stack(samples, out=buffer)

    def give_back(self, stacked: "torch.Tensor") -> None:
        """Nobody reads this tensor any more."""
        with self._lock:
            kept = sum(one.nbytes for group in self._free.values() for one in group)
            if kept + stacked.nbytes <= KEPT_BYTES:
                self._free.setdefault((*stacked.shape, stacked.dtype), []).append(stacked)


class Coming(NamedTuple):
    """Results on their way to main memory.

    Attributes:
        tensors: (B, …) by name; their values are there after `wait`.
        is_finite: (B,) bool, likewise: whether all values of a sample are finite.
        event: of the device; None where there is nothing to wait for.
    """

    tensors: "Mapping[str, torch.Tensor]"
    is_finite: "torch.Tensor"
    event: Any

    def wait(self) -> None:
        """The one synchronisation of a batch."""
        if self.event is not None:
            self.event.synchronize()


class Transfers:
    """Copies between main memory and one device."""

    def __init__(self, device: str) -> None:
        import torch

        self.device = device
        self.is_cuda = device.startswith("cuda")
        if self.is_cuda:
            stream: Any = torch.cuda.Stream
            self._to, self._from = stream(device), stream(device)

    def to_device(self, stacked: "torch.Tensor") -> "torch.Tensor":
        """A batch on the device, for what is computed next there."""
        import torch

        if not self.is_cuda:
            return stacked
        with torch.cuda.stream(self._to):
            there = stacked.to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._to)
        there.record_stream(computing)
        return there

    def to_memory(self, tensors: "Mapping[str, torch.Tensor]") -> Coming:
        """What was computed last, and whether it is finite, which the device finds out."""
        flag, whole = finite(tensors), list(tensors.values())
        (*copies, is_finite), event = self.copied([*whole, flag])
        return Coming(dict(zip(tensors, copies, strict=True)), is_finite, event)

    def copied(self, tensors: "list[torch.Tensor]") -> "tuple[list[torch.Tensor], Any]":
        """Tensors that were computed last, in main memory once the event is there that comes with them; None: they are
        there. On a CPU they are the same tensors.
        """
        import torch

        if not self.is_cuda:
            return tensors, None
        self._from.wait_stream(torch.cuda.current_stream(self.device))
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._from):
            copies = [self._copy(tensor) if tensor.is_cuda else tensor for tensor in tensors]
            event.record(self._from)
        return copies, event

    def _copy(self, tensor: "torch.Tensor") -> "torch.Tensor":
        import torch

        tensor.record_stream(self._from)
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return copy.copy_(tensor, non_blocking=True)


def finite(tensors: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
    """(B,) bool: of which samples all tensors are finite. Whole numbers are."""
    import torch

    each = [
        torch.isfinite(tensor).flatten(1).all(1) if tensor.ndim > 1 else torch.isfinite(tensor)
        for tensor in tensors.values()
    ]
    return torch.stack(each).all(0)

"""How embeds lie in a shard: without the positions that hold zeros, and in the type that the recipe asks for.

What brings a tensor back lies beside it, as small tensors of their own, so a shard needs nothing else:

- `{name}.kept`, int32: `[axis, length, start, stop, start, stop, …]`, the ranges of positions along an axis of that
  length that are stored, one after the other; the others held zeros.
- `{name}.scale`, one number in the type that the tensor comes back in: what the stored values are to be multiplied by.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hf_assets.store.stacking import Stack, allocate, slices_of, stack

if TYPE_CHECKING:
    import torch

KEPT, SCALE = ".kept", ".scale"
# Fewer than this many bytes aren't worth a tensor of their own.
WORTH_BYTES = 512
FLOAT8 = "float8_e4m3fn"
FLOAT8_MAX = 448.0


class PackedSample(NamedTuple):
    """Tensors as they are to be stored.

    Attributes:
        error: sum of the squares of what the stored type takes from the values; 0 where none is asked for.
        norm: sum of the squares of the values; likewise.
    """

    tensors: dict[str, "torch.Tensor"]
    error: float
    norm: float


def pack(
    tensors: Mapping[str, "torch.Tensor"], *, masks: Mapping[str, str] | None = None, dtype: "torch.dtype | None" = None
) -> PackedSample:
    """One sample's tensors, smaller.

    Args:
        masks: tensor -> the mask of the positions along its first axis of that length that matter; the others count as
            zeros, whatever they hold.
        dtype: in which embeddings are stored; None: as they are. float8_e4m3fn has a scale for each tensor. Masks and
            coordinates keep their type, or take less where nothing is lost.
    """
    packed: dict[str, torch.Tensor] = {}
    error = norm = 0.0
    for name, tensor in tensors.items():
        mask = tensors.get((masks or {}).get(name, ""))
        whole = tensor if mask is None else _apply_mask(tensor, mask)
        kept, ranges = _without_zeros(whole)
        if ranges is not None:
            packed[name + KEPT] = ranges
        is_embedding = kept.is_floating_point() and "mask" not in name and not name.endswith("ids")
        stored, scale = _cast(kept, dtype or kept.dtype) if is_embedding else _narrow(kept)
        if scale is not None:
            packed[name + SCALE] = scale
        packed[name] = stored
        if is_embedding and dtype is not None:  # else nothing is lost, and there is nothing to compare with
            back = stored.double() if scale is None else stored.double() * scale.double()
            error += float((back - kept.double()).square().sum())
            norm += float(kept.double().square().sum())
    return PackedSample(packed, error, norm)


def unpack(packed: Mapping[str, "torch.Tensor"]) -> "dict[str, torch.Tensor]":
    """The inverse: the tensors by name, with zeros where none are stored."""
    stacks = unpack_batch({name: Stack([tensor]) for name, tensor in packed.items()})
    return {name: tensor for name, (tensors, _) in stacks.items() for tensor in tensors if tensor is not None}


def unpack_batch(packed: Mapping[str, Stack]) -> dict[str, Stack]:
    """The inverse for several samples at a time."""
    restored = {}
    for name, stored in packed.items():
        if name.endswith((KEPT, SCALE)):
            continue
        scales, ranges = packed.get(name + SCALE), packed.get(name + KEPT)
        scaled = stored if scales is None else _rescale(stored, scales)
        restored[name] = scaled if ranges is None else _restore_zeros(scaled, ranges.tensors)
    return restored


def _rescale(stored: Stack, scales: Stack) -> Stack:
    if stored.whole is not None and scales.whole is not None:
        factors = scales.whole.view(-1, *[1] * (stored.whole.ndim - 1))
        return stack(stored.whole.to(factors.dtype) * factors)
    return Stack(
        [
            tensor if tensor is None or scale is None else tensor.to(scale.dtype) * scale
            for tensor, scale in zip(stored.tensors, scales.tensors, strict=True)
        ]
    )


def _restore_zeros(stored: Stack, ranges: "Sequence[torch.Tensor | None]") -> Stack:
    """Each sample's stored slices at their places, zeros elsewhere."""
    facts = [None if one is None else one.tolist() for one in ranges]
    shapes = []
    for tensor, own in zip(stored.tensors, facts, strict=True):
        shape = None if tensor is None else list(tensor.shape)
        if shape is not None and own is not None:
            shape[own[0]] = own[1]
        shapes.append(shape)
    first, like = shapes[0], stored.tensors[0]
    if first is not None and like is not None and all(shape == first for shape in shapes):
        dtypes = {tensor.dtype for tensor in stored.tensors if tensor is not None}
        if len(dtypes) == 1:
            restored = stack(allocate(len(shapes), first, like.dtype, zeros=True))
            for target, tensor, own in zip(restored.tensors, stored.tensors, facts, strict=True):
                _copy_slices(target, tensor, own)
            return restored
    alone: list[torch.Tensor | None] = []
    for tensor, own, shape in zip(stored.tensors, facts, shapes, strict=True):
        if tensor is None or own is None or shape is None:
            alone.append(tensor)
        else:
            alone.append(allocate(1, shape, tensor.dtype, zeros=True)[0])
            _copy_slices(alone[-1], tensor, own)
    return Stack(alone)


def _copy_slices(target: "torch.Tensor | None", stored: "torch.Tensor | None", facts: list[int] | None) -> None:
    """Copy as bytes: torch would start a pool of threads for each tensor."""
    assert target is not None
    assert stored is not None
    axis, _, *edges = facts or [0, 0, 0, stored.shape[0]]
    places, slices = slices_of(target, axis), slices_of(stored.contiguous(), axis)
    at = 0
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        places[:, start:stop] = slices[:, at : at + stop - start]
        at += stop - start


def _apply_mask(tensor: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    axis = list(tensor.shape).index(mask.numel())
    shape = [1] * tensor.ndim
    shape[axis] = -1
    return tensor.masked_fill(mask.view(shape) == 0, 0)


def _without_zeros(tensor: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
    """The tensor without its zero slices along the axis that saves most, and what says where they were."""
    import torch

    best, best_axis = None, 0
    for axis in range(max(tensor.ndim - 1, min(tensor.ndim, 1))):  # of several axes the last is the width
        others = [other for other in range(tensor.ndim) if other != axis]
        holds = (tensor != 0).any(dim=others) if others else tensor != 0
        if best is None or holds.float().mean() < best.float().mean():
            best, best_axis = holds, axis
    if best is None or not tensor.numel():
        return tensor, None
    if not best.any():
        best[0] = True  # safetensors readers differ about empty tensors
    positions = best.nonzero().flatten()
    saved = tensor.nbytes * (1 - len(positions) / len(best))
    outside = torch.zeros(1, dtype=torch.int8)
    edges = torch.diff(torch.cat([outside, best.to(torch.int8), outside]))
    ranges = torch.stack([(edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()], dim=1).flatten()
    facts = torch.cat([torch.tensor([best_axis, len(best)]), ranges]).to(torch.int32)
    if saved - facts.nbytes < WORTH_BYTES:
        return tensor, None
    return tensor.index_select(best_axis, positions), facts


def _narrow(tensor: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Whole numbers in one byte each, where they fit and that saves enough."""
    import torch

    if tensor.dtype not in (torch.int64, torch.int32) or tensor.numel() < WORTH_BYTES:
        return tensor, None
    fits = int(tensor.min()) >= -128 and int(tensor.max()) <= 127
    return (tensor.to(torch.int8), torch.ones((), dtype=tensor.dtype)) if fits else (tensor, None)


def _cast(tensor: "torch.Tensor", dtype: "torch.dtype") -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Embeddings in `dtype`, and what the stored values are to be multiplied by."""
    import torch

    if tensor.dtype == dtype:
        return tensor, None
    if str(dtype) != f"torch.{FLOAT8}":
        return tensor.to(dtype), None
    largest = tensor.abs().max().double()
    # a power of two, so that dividing by it loses nothing
    exponent = torch.ceil(torch.log2(largest / FLOAT8_MAX)) if 0 < largest < float("inf") else torch.zeros(())
    scale = torch.exp2(exponent.clamp(-14, 15)).to(tensor.dtype)
    return (tensor.double() / scale.double()).to(torch.float32).to(dtype), scale

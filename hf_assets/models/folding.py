"""Pictures through autoencoders for videos: a causal 3-D convolution over one frame is a 2-D one.

Wan's and Qwen-Image's convolutions put zeros before the first frame. Over one frame, all taps in time but the last
meet zeros, so that the last alone, a 2-D convolution, gives the same: to 1e-6, as sums are added in another order.

Shape letters: B batch, C channels, H W pixels or cells.
"""

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def fold(model: Any) -> int:
    """Let each layer that fits compute one frame in 2-D; clips, and layers that don't fit, stay as they are.

    Returns:
        how many layers were folded.
    """
    folded = 0
    for layer in model.modules():
        if _fits(layer):
            layer.forward = _Folded(layer)
            folded += 1
    return folded


def _fits(layer: Any) -> bool:
    """Whether it is a 3-D convolution that pads with zeros, in time in front alone and as far as it reaches back."""
    import torch

    if not isinstance(layer, torch.nn.Conv3d) or isinstance(layer.forward, _Folded):
        return False
    padding = getattr(layer, "_padding", None)
    if tuple(inspect.signature(layer.forward).parameters) != ("x", "cache_x"):
        return False
    if not isinstance(padding, tuple) or len(padding) != 6 or tuple(layer.padding) != (0, 0, 0):
        return False
    left, right, top, bottom, before, after = padding
    return (
        (left, top, after) == (right, bottom, 0)
        and before == layer.kernel_size[0] - 1
        and layer.dilation[0] == 1
        and layer.padding_mode == "zeros"
    )


class _Folded:
    """The forward of a layer.

    Attributes:
        weight: (C out, C in, kernel H, kernel W), of the last tap; made with the first picture.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.forward = layer.forward
        self.weight: torch.Tensor | None = None

    def __call__(self, x: "torch.Tensor", cache_x: "torch.Tensor | None" = None) -> "torch.Tensor":
        """(B, C, frames, H, W) -> the same with other channels, as `forward` gives it."""
        import torch

        layer = self.layer
        if x.shape[2] != 1 or cache_x is not None:
            whole: torch.Tensor = self.forward(x, cache_x)
            return whole
        if self.weight is None or (self.weight.device, self.weight.dtype) != (x.device, x.dtype):
            self.weight = layer.weight.detach()[:, :, -1].contiguous()
        left, _, top, _, _, _ = layer._padding
        return torch.nn.functional.conv2d(
            x[:, :, 0], self.weight, layer.bias, layer.stride[1:], (top, left), layer.dilation[1:], layer.groups
        ).unsqueeze(2)

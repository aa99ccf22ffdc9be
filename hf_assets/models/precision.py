"""Other precisions than the type in which all of an autoencoder computes. They change latents, so keys have them.

Shape letters: O output channels of a layer; what follows it depends on the layer.
"""

from typing import TYPE_CHECKING, Any

from hf_assets.errors import ModelError

if TYPE_CHECKING:
    import torch

# The largest value of float8_e4m3fn.
LARGEST = 448.0


def norms_in_float32(model: Any) -> int:
    """Compute in float32 whatever normalises, with its weights; its result has the type of what it was given.

    Returns:
        how many layers do.

    Raises:
        ModelError: none of the model's layers normalises.
    """
    found: list[Any] = []
    inside: set[int] = set()
    for layer in model.modules():  # outer ones first
        if id(layer) not in inside and _normalises(layer):
            inside.update(map(id, layer.modules()))
            found.append(layer)
    for layer in found:
        layer.float()
        layer.forward = _InFloat32(layer.forward)
    if not found:
        raise ModelError(f"{type(model).__name__} has no layer that normalises: remove vae_norms")
    return len(found)


def _normalises(layer: Any) -> bool:
    kind = type(layer)
    return "norm" in kind.__name__.lower() and not kind.__module__.startswith("torch.nn.utils")


class _InFloat32:
    """The forward of a layer that normalises."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward

    def __call__(self, x: "torch.Tensor", *arguments: Any, **named: Any) -> "torch.Tensor":
        whole: torch.Tensor = self.forward(x.float(), *arguments, **named)
        return whole.to(x.dtype)


def weights_in_float8(model: Any) -> int:
    """Keep weights of convolutions and linear layers in 8 bits (e4m3), with a scale for each output channel.

    They are computed with in the type that they had: what is halved is their memory, not the work.

    Returns:
        how many layers do.

    Raises:
        ModelError: the model has no such layer.
    """
    import torch
    from torch.nn.utils import parametrize

    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
    layers = [one for one in model.modules() if isinstance(one, kinds) and not parametrize.is_parametrized(one)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _float8(layer.weight.dtype), unsafe=True)
    if not layers:
        raise ModelError(f"{type(model).__name__} has no weights to keep in float8: remove vae_weights")
    return len(layers)


def _float8(dtype: "torch.dtype") -> "torch.nn.Module":
    """Between a weight (O, …) in its own type, and (O, …) float8_e4m3fn with (O, 1, …) float32, its scale."""
    import torch

    class Float8(torch.nn.Module):
        def forward(self, values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return (values.float() * scale).to(dtype)

        def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            whole = weight.float()
            scale = whole.abs().amax(tuple(range(1, whole.ndim)), keepdim=True).clamp(min=1e-12) / LARGEST
            return (whole / scale).to(torch.float8_e4m3fn), scale

    return Float8()

"""What may make an autoencoder faster on a GPU. Off unless it is asked for, and part of no key.

Each is equal to the plain encoder within what another batch size moves (tested on the CPU).
"""

from typing import Any

from hf_assets.errors import ModelError


def lay_out(model: Any) -> None:
    """Keep weights of convolutions with channels last, as the tensor cores of GPUs read them."""
    import torch

    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weight in model.parameters():
        if weight.ndim in formats:
            weight.data = weight.data.contiguous(memory_format=formats[weight.ndim])


def compile_encoder(model: Any, *, backend: str = "inductor") -> None:
    """Compile the encoder itself, once for each shape: worth it where few shapes have many samples.

    Raises:
        ModelError: the autoencoder has no encoder of its own.
    """
    encoder = getattr(model, "encoder", None)
    if encoder is None:
        raise ModelError(
            f"{type(model).__name__} has no encoder to compile: unset compile of the gpu resource (HF_ASSETS_COMPILE)"
        )
    encoder.compile(dynamic=False, backend=backend)

"""The one rule that turns any autoencoder's posterior into the latents that its denoiser reads, and back.

Shape letters: B batch, C latent channels, f h w latent cells (frames, height, width).
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch


class Scaling(NamedTuple):
    """`latents = (z - mean) * scale`, each broadcastable to (B, C, ...) in float32.

    Attributes:
        patchify: whether 2 x 2 cells become one with four times the channels before that.
    """

    mean: "torch.Tensor"
    scale: "torch.Tensor"
    patchify: bool


def normalise(vae: Any, z: "torch.Tensor", *, ignores_shift: bool = False) -> "torch.Tensor":
    """Latents as the denoiser expects them, computed in float32 and returned in the dtype of `z`.

    The pipelines compute this in the dtype of `z`; in float32 the two are equal.

    Args:
        z: (B, C, h, w) or (B, C, f, h, w), the mean of the posterior.

    Returns:
        the shape of `z`, or (B, 4C, h/2, w/2) for an autoencoder with batch-norm statistics (Flux 2).
    """
    scaling = scaling_of(vae, z, ignores_shift=ignores_shift)
    cells = patchify(z) if scaling.patchify else z
    return ((cells.float() - scaling.mean) * scaling.scale).to(z.dtype)


def denormalise(vae: Any, latents: "torch.Tensor", *, ignores_shift: bool = False) -> "torch.Tensor":
    """What the decoder reads: the inverse of `normalise`."""
    scaling = scaling_of(vae, latents, ignores_shift=ignores_shift)
    z = (latents.float() / scaling.scale + scaling.mean).to(latents.dtype)
    return unpatchify(z) if scaling.patchify else z


def scaling_of(vae: Any, like: "torch.Tensor", *, ignores_shift: bool = False) -> Scaling:
    """Read from the autoencoder which of diffusers' three rules is its own.

    Batch-norm statistics (Flux 2); else a mean and deviation for each channel, in the configuration (Wan, Qwen-Image,
    Mochi, some SDXL) or as buffers (LTX); else one factor and shift (all others).
    """
    import torch

    def per_channel(values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=like.device).view(1, -1, *[1] * (like.ndim - 2))

    config = vae.config
    statistics = dict(vae.named_children()).get("bn")
    if statistics is not None:
        deviation = (statistics.running_var.float() + config.batch_norm_eps).sqrt()
        return Scaling(per_channel(statistics.running_mean), 1 / per_channel(deviation), patchify=True)

    factor = getattr(config, "scaling_factor", None)
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    buffers = dict(vae.named_buffers(recurse=False))
    if mean is None and "latents_mean" in buffers:
        mean, std = buffers["latents_mean"], buffers["latents_std"]
    if mean is not None and std is not None:
        return Scaling(per_channel(mean), (factor or 1.0) / per_channel(std), patchify=False)

    shift = None if ignores_shift else getattr(config, "shift_factor", None)
    return Scaling(per_channel([shift or 0.0]), per_channel([1.0 if factor is None else factor]), patchify=False)


def patchify(z: "torch.Tensor") -> "torch.Tensor":
    """(B, C, h, w) -> (B, 4C, h/2, w/2), in the channel order of diffusers' `Flux2Pipeline._patchify_latents`."""
    batch, channels, height, width = z.shape
    cells = z.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return cells.reshape(batch, channels * 4, height // 2, width // 2)


def unpatchify(latents: "torch.Tensor") -> "torch.Tensor":
    """(B, 4C, h, w) -> (B, C, 2h, 2w)."""
    batch, channels, height, width = latents.shape
    cells = latents.reshape(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return cells.reshape(batch, channels // 4, height * 2, width * 2)

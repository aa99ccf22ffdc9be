"""What an autoencoder's configuration tells about the shape of its latents, read without loading it.

Diffusers has no one name for any of it.
"""

from typing import Any

# Where a configuration doesn't tell: as Flux and Qwen-Image have it, more than most.
USUAL_CHANNELS, USUAL_CELL_PX = 16, 8


def channels(config: dict[str, Any]) -> int:
    """Channels of the latents."""
    return int(config.get("latent_channels") or config.get("z_dim") or USUAL_CHANNELS)


def cell_px(config: dict[str, Any]) -> int:
    """Pixels, in height or width, that become one latent cell."""
    for name in ("scale_factor_spatial", "spatial_compression_ratio"):
        if isinstance(config.get(name), int):
            return int(config[name])
    for name in ("encoder_block_out_channels", "down_block_out_channels", "block_out_channels"):
        if isinstance(config.get(name), list):
            patch = config.get("patch_size")
            return int(2 ** (len(config[name]) - 1) * (patch if isinstance(patch, int) else 1))
    if isinstance(config.get("temperal_downsample"), list):  # Wan and Qwen-Image spell it so
        return int(2 ** len(config["temperal_downsample"]))
    return USUAL_CELL_PX

"""What an autoencoder's configuration says about the shape of its latents, read without loading it.

Diffusers has no one name for any of it.
"""

import math
from typing import Any, NamedTuple

# Where a configuration doesn't say: as Flux and Qwen-Image have it, more than most.
USUAL_CHANNELS, USUAL_CELL_PX = 16, 8
# Of audio, as Stable Audio has it.
USUAL_HOP_SAMPLES = 2048


class AudioConfig(NamedTuple):
    """The audio that an autoencoder reads."""

    sample_rate_hz: int
    num_channels: int
    hop_samples: int  # per latent step


def channels(config: dict[str, Any]) -> int:
    """Channels of the latents."""
    names = ("latent_channels", "z_dim", "latent_dim", "decoder_input_channels")
    return next((int(config[name]) for name in names if config.get(name)), USUAL_CHANNELS)


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


def frame_stride(config: dict[str, Any]) -> int | None:
    """Frames that become one latent frame, where a configuration gives it; None where it doesn't."""
    for name in ("scale_factor_temporal", "temporal_compression_ratio"):
        if isinstance(config.get(name), int | float):
            return int(config[name])
    for name in ("temperal_downsample", "spatio_temporal_scaling"):
        if isinstance(config.get(name), list) and isinstance(config.get("patch_size_t", 1), int):
            return int(2 ** sum(map(bool, config[name])) * config.get("patch_size_t", 1))
    if isinstance(config.get("temporal_expansions"), list):  # Mochi
        return int(math.prod(config["temporal_expansions"]))
    return None


def audio_config(config: dict[str, Any]) -> AudioConfig | None:
    """What a class reads of which the configuration says all: Oobleck, LongCat's, SAME and the like. None for others,
    of images or spectrograms too.
    """
    rate = config.get("sampling_rate") or config.get("sample_rate")
    channels = next((config[name] for name in ("audio_channels", "num_channels") if config.get(name)), None)
    if config.get("downsampling_ratio"):
        channels, hop = channels or config.get("in_channels"), config["downsampling_ratio"]
    elif config.get("downsampling_ratios"):
        hop = math.prod(config["downsampling_ratios"])
    elif config.get("encoder_strides"):
        hop = math.prod(config["encoder_strides"]) * config.get("patch_size", 1)
    else:
        return None
    return AudioConfig(int(rate), int(channels), int(hop)) if rate and channels else None

"""ICC profiles: what they mean is what they do to colours, never what they are called."""

import functools
import struct
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

# The modes that an embedded profile can describe; every other mode is converted to RGB first.
MODES = ("RGB", "L", "CMYK")

# A profile that moves no colour by more levels is sRGB's: curves are rounded, and black points differ a little.
SRGB_LEVELS = 2
_GRID_LEVELS = 17


@functools.lru_cache(256)
def is_srgb(icc: bytes, mode: str) -> bool:
    """Whether converting pixels of a mode from this profile to sRGB would leave them as they are.

    A profile that is broken, or not of the pixels' colour space, says nothing about them: so it does as well.
    """
    if mode == "CMYK":
        return _convert(Image.new("CMYK", (1, 1)), icc) is None
    if mode == "L":
        colours = np.arange(256, dtype=np.uint8)[None]
        wanted = np.repeat(colours[..., None], 3, axis=2)
    else:
        levels = np.linspace(0, 255, _GRID_LEVELS).round().astype(np.uint8)
        wanted = colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_GRID_LEVELS, -1, 3)
    converted = _convert(Image.fromarray(colours), icc)
    return converted is None or int(np.abs(np.asarray(converted).astype(int) - wanted).max()) <= SRGB_LEVELS


def to_srgb(picture: Image.Image, icc: bytes) -> Image.Image:
    """An image of one of `MODES`, converted from its profile: RGB."""
    converted = _convert(picture, icc)
    assert converted is not None, "a profile that can't be used is `is_srgb`"
    return converted


def _convert(picture: Image.Image, icc: bytes) -> Image.Image | None:
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        return ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # broken, or of another colour space
        return None


def code_points(icc: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) of H.273, where a profile has the tag `cicp` (ICC.1:2022, 9.2.17) and describes RGB."""
    if len(icc) < 132 or icc[16:20] != b"RGB ":
        return None
    (count,) = struct.unpack_from(">I", icc, 128)
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        kind, offset, size = struct.unpack_from(">4sII", icc, at)
        if kind == b"cicp" and size >= 12 and offset + 12 <= len(icc):
            return icc[offset + 8], icc[offset + 9]
    return None

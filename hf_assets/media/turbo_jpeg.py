"""Plain JPEGs decoded by libjpeg-turbo itself, where `simplejpeg` is installed: Pillow's bits, without its copies.

Pillow calls the same library, keeps four bytes a pixel, and copies twice until three of them lie in an array. Whatever
isn't plain, or makes libjpeg-turbo complain, is left to Pillow, so that its errors stay what they are.

Shape letters: H W pixels.
"""

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from hf_assets.media import jpeg_ends

# Baseline, extended and progressive, in Huffman's code (ITU-T T.81, table B.1).
FRAMES = (0xC0, 0xC1, 0xC2)


def decode(data: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """(H, W, 3) uint8, RGB, as stored, writable; None where Pillow has to do it.

    Args:
        data: a JPEG whose header was read, of three components.
        size: (width, height) as stored.
    """
    library = _library()
    if library is None or jpeg_ends.frame_kind(data) not in FRAMES:
        return None
    try:
        pixels: np.ndarray = library.decode_jpeg(data, "RGB")
    except ValueError:  # its complaints, of which Pillow passes over some
        return None
    return pixels if pixels.shape == (size[1], size[0], 3) else None


@cache
def _library() -> Any:
    """`simplejpeg`, where it is installed and makes of a few JPEGs what Pillow makes of them; else None."""
    try:
        import simplejpeg
    except ImportError:
        return None
    pixels = np.random.default_rng(0).integers(0, 256, (23, 37, 3), np.uint8)
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            file = BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
            if not np.array_equal(simplejpeg.decode_jpeg(file.getvalue(), "RGB"), np.asarray(Image.open(file))):
                return None
    return simplejpeg

"""TIFFs that Pillow doesn't read: colour in floats or in 32 bits, and gray that it has no mode for.

They are read by tifffile, as their samples are, and brought to 8 bits.
"""

import logging
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import pixels, profiles, signatures

# Of one image's samples: 16,384 x 16,384 pixels of three bytes, or a quarter of it in floats.
MAX_BYTES = 2**30
# The photometric interpretations that are gray, with 0 as white or black, and RGB.
GRAY, RGB = (0, 1), 2
# What the sample behind the colours is: alpha, by which they were multiplied, or not.
ASSOCIATED, UNASSOCIATED = 1, 2


@dataclass(frozen=True)
class Samples:
    """A TIFF's first page, with its header read.

    Attributes:
        size: (width, height) as displayed.
        num_bytes: that decoding takes at most: samples as they are, as floats, and scaled.
        steps: what reading it does beyond the plain case.
    """

    page: Any
    size: tuple[int, int]
    orientation: int
    steps: tuple[str, ...]
    num_bytes: int


def open_samples(data: bytes, why: str) -> Samples:
    """Read the header.

    Args:
        why: what Pillow said.

    Raises:
        MediaError: `undecodable`; `too_large`.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        page: Any = tifffile.TiffFile(BytesIO(data)).pages[0]
        photometric, samples = int(page.photometric), page.samplesperpixel
        kind, bits = page.dtype.kind if page.dtype is not None else "", page.bitspersample
        width, height, num_bytes = page.imagewidth, page.imagelength, page.nbytes
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        icc = page.tags[34675].value if 34675 in page.tags else None
    except Exception as error:
        raise MediaError("undecodable", f"TIFF: {why}") from error
    if kind not in "fui" or (photometric not in GRAY and photometric != RGB) or page.imagedepth != 1:
        raise MediaError(
            "undecodable", f"TIFF: {why}: {samples} samples a pixel of {bits} bits, photometric {photometric}"
        )
    if num_bytes > MAX_BYTES:
        raise MediaError("too_large", f"{num_bytes:,d} bytes of samples are more than the limit of {MAX_BYTES:,d}")
    found = ["float"] if kind == "f" else ["range"]
    if photometric == 0:
        found.append("inverted")
    if icc and not profiles.is_srgb(bytes(icc), "L" if photometric in GRAY else "RGB"):
        found.append("icc")
    size = (width, height) if orientation < 5 else (height, width)
    taken = 2 * num_bytes + 20 * width * height * samples
    return Samples(page, size, orientation, tuple(found), taken)


def load(samples: Samples) -> Image.Image:
    """The image as RGB in sRGB, over white, not yet upright.

    Raises:
        MediaError: `undecodable`.
    """
    page = samples.page
    try:
        values = page.asarray()
    except Exception as error:
        hint = " (pip install imagecodecs)" if "imagecodecs" in str(error) else ""
        raise MediaError("undecodable", f"TIFF: {signatures.words(error)}{hint}") from error
    if page.planarconfig == 2 and values.ndim == 3:
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 2:
        values = values[..., None]
    num_colours = 1 if page.photometric in GRAY else 3
    colours, others = _to_8_bits(values[..., :num_colours]), values[..., num_colours:]
    if "inverted" in samples.steps:
        colours = 255 - colours
    picture = Image.fromarray(np.ascontiguousarray(colours[..., 0] if num_colours == 1 else colours))
    if "icc" in samples.steps:
        picture = profiles.to_srgb(picture, bytes(page.tags[34675].value))
    kind = int(page.extrasamples[0]) if page.extrasamples else None
    if kind not in (ASSOCIATED, UNASSOCIATED):
        return picture.convert("RGB")
    alpha = _to_8_bits(others[..., 0])
    if kind == UNASSOCIATED:
        return pixels.over_white(picture.convert("RGB"), Image.fromarray(alpha))
    premultiplied = np.asarray(picture.convert("RGB")).astype(np.uint16)
    return Image.fromarray(np.minimum(premultiplied + (255 - alpha)[..., None], 255).astype(np.uint8))


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return pixels.floats_to_8_bits(values.astype(np.float64))
    top = np.iinfo(values.dtype).max
    return np.asarray(np.rint(np.clip(values, 0, None) * (255 / top)), np.uint8)

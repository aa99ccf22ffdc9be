"""TIFFs that Pillow doesn't read, or reads wrongly: colour in floats or in 32 bits, planes of 16 bits, gray that it has
no mode for, CIELAB in 16 bits.

They are read by tifffile, as their samples are, and brought to 8 bits.
"""

import logging
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import colour, pixels, profiles, signatures, tiff_chunks, tiff_pages

# Of one image's samples: 16,384 x 16,384 pixels of three bytes, or a quarter of it in floats.
MAX_BYTES = 2**30
# The photometric interpretations that are gray, with 0 as white or black, and others.
GRAY, RGB, PALETTE, CMYK, CIELAB, ICCLAB = (0, 1), 2, 3, 5, 8, 9
# How many samples are the colour, and in which mode a profile describes it.
NUM_COLOURS = {0: 1, 1: 1, RGB: 3, PALETTE: 1, CMYK: 4, CIELAB: 3, ICCLAB: 3}
MODES = {0: "L", 1: "L", CMYK: "CMYK"}
LAB_BITS = (8, 16)
PHOTOMETRIC, COLOUR_MAP = 262, 320
BITS_PER_SAMPLE, SAMPLES_PER_PIXEL, PLANAR, SAMPLE_FORMAT, SIGNED, IN_PLANES = 258, 277, 284, 339, 2, 2
# Compressions that tifffile unpacks without `imagecodecs`: none, deflate and PackBits.
COMPRESSION, BUILT_IN = 259, (1, 8, 32946, 32773)
# What the sample behind the colours is: alpha, by which they were multiplied, or not.
ASSOCIATED, UNASSOCIATED = 1, 2


@dataclass(frozen=True)
class Samples:
    """A TIFF's page that is the picture, with its header read.

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


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow takes a TIFF's samples for others, or fails when it loads them."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, kinds = tags.get(BITS_PER_SAMPLE, (1,)), tags.get(SAMPLE_FORMAT, (1,))
    bits, kind = (one[0] if isinstance(one, tuple) else one for one in (bits, kinds))
    samples = tags.get(SAMPLES_PER_PIXEL, 1)
    in_planes = samples > 1 and tags.get(PLANAR, 1) == IN_PLANES
    has_bytes = image.mode in ("P", "PA") and _has_bytes(tags.get(COLOUR_MAP, ()))
    is_odd = image.mode == "La" or (bits == 8 and kind == SIGNED) or (in_planes and (bits != 8 or samples == 2))
    return is_odd or has_bytes


def _has_bytes(colour_map: Any) -> bool:
    """Whether a palette of 16 bits was written in 8, as old writers do, and libtiff has it."""
    return 0 < max(colour_map, default=0) < 256


def is_coarsened(image: Image.Image) -> bool:
    """Whether Pillow keeps 8 of the 16 bits of colours that have a profile of curves, and tifffile reads all."""
    tags, icc = image.tag_v2, image.info.get("icc_profile")  # type: ignore[attr-defined]
    bits = tags.get(BITS_PER_SAMPLE, (1,))
    return (
        image.mode in ("RGB", "RGBA", "RGBX")
        and isinstance(bits, tuple)
        and set(bits) == {16}
        and tags.get(COMPRESSION, 1) in BUILT_IN
        and bool(icc)
        and not profiles.is_srgb(icc, "RGB")
        and profiles.shaper_of(icc, "RGB") is not None
    )


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
        page, is_later = tiff_pages.chosen(tifffile.TiffFile(BytesIO(data)))
        if PHOTOMETRIC not in page.tags and page.samplesperpixel >= NUM_COLOURS[RGB]:
            page.photometric = RGB  # which libtiff takes it for
        photometric, samples = int(page.photometric), page.samplesperpixel
        kind, bits = page.dtype.kind if page.dtype is not None else "", page.bitspersample
        width, height = page.imagewidth, page.imagelength
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        icc = page.tags[34675].value if 34675 in page.tags else None
    except MediaError:
        raise
    except Exception as error:
        raise MediaError("undecodable", f"TIFF: {why}") from error
    is_odd_lab = photometric in (CIELAB, ICCLAB) and kind != "f" and bits not in LAB_BITS
    if kind not in "fui" or photometric not in NUM_COLOURS or is_odd_lab or page.imagedepth != 1:
        raise MediaError(
            "undecodable", f"TIFF: {why}: {samples} samples a pixel of {bits} bits, photometric {photometric}"
        )
    if (num_bytes := tiff_chunks.num_bytes(page)) > MAX_BYTES:
        raise MediaError("too_large", f"{num_bytes:,d} bytes of samples are more than the limit of {MAX_BYTES:,d}")
    found = ["float" if kind == "f" else "range", *(["page"] if is_later else [])]
    if photometric == 0:
        found.append("inverted")
    if photometric in (PALETTE, CIELAB, ICCLAB):
        icc = None
    mode = MODES.get(photometric, "RGB")
    if kind != "f" and bits not in (8, 16, 32, 64):
        found.append("bits")
    if icc and not profiles.is_srgb(bytes(icc), mode):
        is_shaped = bits != 8 and profiles.shaper_of(bytes(icc), mode) is not None
        found.append("icc16" if is_shaped else "icc")
    size = (width, height) if orientation < 5 else (height, width)
    taken = 2 * num_bytes + 20 * width * height * samples
    return Samples(page, size, orientation, tuple(found), taken)


def load(samples: Samples) -> Image.Image:
    """The image as RGB in sRGB, over white, not yet upright.

    Raises:
        MediaError: `undecodable`.
    """
    page = samples.page
    tiff_chunks.require(page)
    try:
        values = page.asarray()
    except Exception as error:
        hint = " (pip install imagecodecs)" if "imagecodecs" in str(error) else ""
        raise MediaError("undecodable", f"TIFF: {signatures.words(error)}{hint}") from error
    if page.planarconfig == 2 and values.ndim == 3:
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 2:
        values = values[..., None]
    num_colours = NUM_COLOURS[int(page.photometric)]
    others = values[..., num_colours:]
    if "icc16" in samples.steps:
        picture = _shaped(page, values[..., :num_colours], "inverted" in samples.steps)
    else:
        picture = _picture(page, values[..., :num_colours], "inverted" in samples.steps)
    if "icc" in samples.steps:
        picture = profiles.to_srgb(picture, bytes(page.tags[34675].value))
    kind = int(page.extrasamples[0]) if page.extrasamples else None
    if kind not in (ASSOCIATED, UNASSOCIATED):
        return picture.convert("RGB")
    alpha = _scaled(others[..., 0], page.bitspersample)
    if kind == UNASSOCIATED:
        return pixels.over_white(picture.convert("RGB"), Image.fromarray(alpha))
    premultiplied = np.asarray(picture.convert("RGB")).astype(np.uint16)
    return Image.fromarray(np.minimum(premultiplied + (255 - alpha)[..., None], 255).astype(np.uint8))


def largest(samples: Samples) -> float:
    """The largest value of a TIFF's colours, which are read for it.

    Raises:
        MediaError: `undecodable`.
    """
    tiff_chunks.require(samples.page)
    tiff_chunks.require(samples.page)
    try:
        values = samples.page.asarray()
    except Exception as error:
        raise MediaError("undecodable", f"TIFF: {signatures.words(error)}") from error
    num_colours = NUM_COLOURS[int(samples.page.photometric)]
    if values.ndim == 3:
        values = values[:num_colours] if samples.page.planarconfig == IN_PLANES else values[..., :num_colours]
    return float(values.max())


def _shaped(page: Any, values: np.ndarray, is_inverted: bool) -> Image.Image:
    """The colours of more than 8 bits in sRGB, by a profile of curves."""
    icc = bytes(page.tags[34675].value)
    shaper = profiles.shaper_of(icc, MODES.get(int(page.photometric), "RGB"))
    assert shaper is not None, "`icc16` is a step of profiles that are"
    scaled = _scaled(values, page.bitspersample, 65_535)
    return Image.fromarray(shaper.to_srgb(65_535 - scaled if is_inverted else scaled))


def _picture(page: Any, values: np.ndarray, is_inverted: bool) -> Image.Image:
    """The colours in 8 bits.

    Args:
        values: (H, W, samples)
    """
    if page.photometric in (CIELAB, ICCLAB):
        return Image.fromarray(colour.from_lab(_lab(values, page.photometric == ICCLAB)))
    if page.photometric == PALETTE:
        bits = 8 if _has_bytes(page.colormap.ravel()) else 16
        return Image.fromarray(_scaled(np.moveaxis(page.colormap, 0, -1)[values[..., 0]], bits))
    colours = np.ascontiguousarray(_scaled(values, page.bitspersample))
    if is_inverted:
        colours = 255 - colours
    if page.photometric == CMYK:
        return Image.frombytes("CMYK", colours.shape[1::-1], colours.tobytes())
    return Image.fromarray(colours[..., 0] if colours.shape[2] == 1 else colours)


def _lab(values: np.ndarray, is_icc: bool) -> np.ndarray:
    """L*, a* and b* of samples (TIFF 6.0, section 23; ICC.1, 10.10): a* and b* are signed, or have an offset."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    unit = 1.0 if values.dtype.itemsize == 1 else 256.0
    top = 255.0 if unit == 1 else 65_280.0 if is_icc else 65_535.0
    chroma = (
        values[..., 1:].astype(np.float64) - 128 * unit if is_icc else values[..., 1:].view(f"i{int(unit) // 256 + 1}")
    )
    return np.concatenate([values[..., :1] * (100 / top), chroma / unit], axis=-1)


def _scaled(values: np.ndarray, bits: int, top: int = 255) -> np.ndarray:
    """Samples of so many bits as 0 to `top`, which is the largest of 8 or of 16 bits."""
    if values.dtype.kind == "f":
        return pixels.scaled_floats(values.astype(np.float64), top=top)
    white = 2 ** (bits - (values.dtype.kind == "i")) - 1
    return np.asarray(np.rint(np.clip(values, 0, None) * (top / white)), np.uint8 if top == 255 else np.uint16)

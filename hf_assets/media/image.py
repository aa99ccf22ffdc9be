"""Turn an image file's bytes into facts (header only) and into pixels.

What an image looks like is settled here, once: upright, in sRGB, over white, 8 bits a channel, the first frame of an
animation. `probe` and `decode` read the orientation with one function, so the size that `probe` gives is the size that
`decode` returns.

Pillow's plugins are used without `Image.open`: the signature alone decides the format, so nothing is tried out, no
other program is started (EPS), and the limit against decompression bombs is ours.

Shape letters: H W pixels. Sizes are (width, height), crops are (top, left), in pixels.
"""

import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, Jpeg2KImagePlugin, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin

from hf_assets.errors import MediaError
from hf_assets.media import (
    animations,
    image_formats,
    jpeg2000,
    jpeg_ends,
    jpeg_headers,
    memory,
    pixels,
    png_chunks,
    signatures,
    tiff_pages,
    tiff_samples,
    turbo_jpeg,
)
from hf_assets.media.pixels import Meaning
from hf_assets.media.tiff_samples import Samples

if TYPE_CHECKING:
    import torch

# Bump where a change lets other files be read, or finds other facts: media are probed once more. What plain decoding
# makes of pixels is frozen; what is done beyond it has versions of its own (`media.steps`).
VERSION = 6
# Part of each latent's key. Bump when a change to this module changes a plain image's pixels, one to which the
# decoder does nothing special: all of them are then encoded anew.
PLAIN_VERSION = 1
# The same for what is different where JPEGs are decoded fast.
FAST_VERSION = 1

# What decoding one image may take, with the interpreter and its libraries less than 2 GB: a header that claims more is
# taken for a decompression bomb. Of 8 bits a channel it is 230 megapixels: above every camera (200).
MAX_DECODED_BYTES = 3 << 29
# Bytes that a pixel takes while it is decoded, in what the decoder keeps and in Pillow's image; by Pillow's name of the
# format, else of the mode. Pillow keeps three channels in four bytes.
FORMAT_BYTES = {"WEBP": 12, "AVIF": 16, "HEIF": 16, "JXL": 24, "JPEG2000": 16, "TIFF": 8}
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
USUAL_BYTES, PROGRESSIVE_BYTES, DEEP_BYTES = 4, 6, 22
# (H, W, 3) uint8
PAGE_BYTES = 3
# So many pixels of any plain JPEG are within the limit.
PLAIN_JPEG_PIXELS = MAX_DECODED_BYTES // (USUAL_BYTES + PROGRESSIVE_BYTES + PAGE_BYTES)
# TIFF's tags.
TILE_EDGES = (322, 323)

# 16,384 x 16,384, whatever a pixel takes. A header that claims more is taken for a
# decompression bomb. Pillow itself refuses a WebP above 179 megapixels, before we can ask.
MAX_PIXELS = 2**28
# What is only looked at needs no more on its shorter edge.
SMALL_PX = 512

# EXIF's orientations of images that aren't stored upright; anything unknown is upright.
ORIENTATIONS = range(2, 9)

PILLOW_IS_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@dataclass(frozen=True)
class ImageFacts:
    """What an image file's header says.

    Attributes:
        width, height: as displayed, in pixels: after the EXIF orientation.
        format: Pillow's name, such as `JPEG`.
        decoding: what `decode` does beyond the plain case (`media.steps`).
    """

    width: int
    height: int
    format: str
    decoding: str | None = None


class _Opened(NamedTuple):
    """An image with its header read, within the limit.

    Attributes:
        image: None where tifffile reads it.
        samples: None where Pillow reads it.
        mended: what is read in place of the file's bytes; None: these.
    """

    size: tuple[int, int]
    format: str
    orientation: int
    image: ImageFile.ImageFile | None
    meaning: Meaning
    steps: tuple[str, ...] = ()
    samples: Samples | None = None
    mended: bytes | None = None


def probe(data: bytes) -> ImageFacts:
    """Read an image's size from its header; no pixel is decoded, but of floats, whose range nothing else says.

    Raises:
        MediaError: `empty`, `undecodable` (not an image of a known format), `too_large` (more than `MAX_PIXELS`).
    """
    size = jpeg_headers.plain_size(data)
    if size is not None and math.prod(size) <= PLAIN_JPEG_PIXELS:
        return ImageFacts(*size, "JPEG")
    opened = _open(data)
    steps = (*opened.steps, *_scale_steps(opened, data))
    return ImageFacts(*opened.size, opened.format, pixels.note_of(opened.meaning, *steps))


def _scale_steps(opened: _Opened, data: bytes) -> tuple[str, ...]:
    """Of floats, whether they are of another range than most."""
    is_float = opened.image.mode == "F" if opened.image is not None else "float" in opened.steps
    if not is_float:
        return ()
    with memory.DECODING.hold(_num_bytes(opened, data)), _pillow_errors(opened.format or "image"):
        if opened.samples is not None:
            return pixels.scale_step(tiff_samples.largest(opened.samples))
        assert opened.image is not None
        opened.image.load()
        return pixels.scale_step(float(np.asarray(opened.image).max()))


def decode(data: bytes) -> Image.Image:
    """Decode an image, or an animation's first frame, to what a viewer shows on a white page: mode RGB, sRGB, upright.

    Transparency is composited on white. Colours are converted to sRGB from what the file says they are: an embedded
    profile, or code points; HDR is tone-mapped (`media.colour`). A profile that is broken, or not of the pixels' colour
    space, is left out. Gray of more bits is scaled to 8. So are floats, of which `pixels.white_of` says what white
    is.

    Raises:
        MediaError: `empty`, `undecodable`, `truncated`, `too_large`.
    """
    opened = _open(data)
    data = opened.mended or data
    with memory.DECODING.hold(_num_bytes(opened, data)):
        return Image.fromarray(_decode(opened, data))


def decode_small(data: bytes, cell_of: Callable[[tuple[int, int]], Sequence[int]] | None = None) -> Image.Image:
    """`decode` to look at: of a large image something smaller, of which no edge is below `SMALL_PX`.

    Args:
        cell_of: of an image of this size, (left, top, width, height) of the part that is wanted.

    Raises:
        MediaError: as `decode`.
    """
    opened = _open(data)
    data = opened.mended or data
    with memory.DECODING.hold(_num_bytes(opened, data)):
        if cell_of is None and min(opened.size) > SMALL_PX:
            _scale(opened, [edge * SMALL_PX // min(opened.size) for edge in opened.size])
        picture = Image.fromarray(_decode(opened, data))
        del opened
        if cell_of is not None:
            left, top, width, height = cell_of(picture.size)
            picture = picture.crop((left, top, left + width, top + height))
        factor = min(picture.size) // SMALL_PX
        return picture.reduce(factor) if factor > 1 else picture


def _decode(opened: _Opened, data: bytes) -> np.ndarray:
    """(H, W, 3) uint8"""
    with _pillow_errors(opened.format or "image"):
        if opened.samples is not None:
            image = tiff_samples.load(opened.samples)
        elif "eoi" in opened.steps:
            image = jpeg_ends.decode(data)
        elif "deep" in opened.steps:
            image = jpeg2000.decode(data)
        else:
            assert opened.image is not None
            image = opened.image
            if (plain := _plain_jpeg(image, opened, data)) is not None:
                return plain
            _load(image)
        turned = opened.orientation >= 5
        page = np.empty((image.width, image.height, 3) if turned else (image.height, image.width, 3), np.uint8)
        pixels.write_rgb(image, opened.meaning, data, _as_stored(page, opened.orientation))
        return page


def _load(image: ImageFile.ImageFile) -> None:
    """Decode the pixels.

    Raises:
        MediaError: of a TIFF, with how it is compressed: libtiff says only that it failed.
    """
    try:
        image.load()
    except OSError as error:
        packed = image.info.get("compression")
        if image.format != "TIFF" or packed in (None, "raw"):
            raise
        message = f"TIFF: its pixels, compressed as {packed}, can't be unpacked ({signatures.words(error)})"
        raise MediaError("undecodable", f"{message}: if other programs show it, save it as deflate") from error


def _plain_jpeg(image: ImageFile.ImageFile, opened: _Opened, data: bytes) -> np.ndarray | None:
    """(H, W, 3) uint8 of a JPEG of which nothing is to be converted; None of others, and where Pillow has to do it."""
    if image.format != "JPEG" or image.mode != "RGB" or not opened.meaning.is_plain:
        return None
    if image.size not in (opened.size, opened.size[::-1]):  # to be decoded smaller, with the bits of one decoder
        return None
    stored = turbo_jpeg.decode(data, image.size)
    if stored is None or opened.orientation == 1:
        return stored
    page = np.empty((*opened.size[::-1], 3), np.uint8)
    _as_stored(page, opened.orientation)[:] = stored
    return page


def _as_stored(page: np.ndarray, orientation: int) -> np.ndarray:
    """An upright image as its file has it: a view, through which its pixels are written."""
    stored = page.swapaxes(0, 1) if orientation >= 5 else page
    down = -1 if orientation in (3, 4, 6, 7) else 1
    right = -1 if orientation in (2, 3, 7, 8) else 1
    return stored[::down, ::right]


def _num_bytes(opened: _Opened, data: bytes) -> int:
    """What decoding takes at its most."""
    width, height = opened.size
    if opened.samples is not None:
        return opened.samples.num_bytes
    assert opened.image is not None
    each = FORMAT_BYTES.get(opened.format) or MODE_BYTES.get(opened.image.mode, USUAL_BYTES)
    each += PROGRESSIVE_BYTES * bool(opened.image.info.get("progressive"))
    is_converted = opened.meaning.icc is None and not opened.meaning.is_plain
    is_deep = pixels.is_deep(data) or opened.meaning.shaper is not None
    each += DEEP_BYTES * ((is_converted and is_deep) or "deep" in opened.steps)
    return max(width * height, _tile_pixels(opened.image)) * (max(each, USUAL_BYTES) + PAGE_BYTES)


def _tile_pixels(image: ImageFile.ImageFile) -> int:
    """Pixels of one tile of a TIFF, which is unpacked whole, however small the image; 0 of others."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    edges = [tags.get(tag) for tag in TILE_EDGES]
    return math.prod(edge for edge in edges if isinstance(edge, int)) if all(edges) else 0


def fit(
    picture: Image.Image, resized_size: Sequence[int], crop_top_left: Sequence[int], target_size: Sequence[int]
) -> "torch.Tensor":
    """Resize an image with antialiasing (bicubic, as Pillow's, within 1 level but for 1 value in 10,000) and crop it.

    Args:
        picture: mode RGB.
        resized_size: (width, height) before the crop.
        crop_top_left: (top, left) of the crop in the resized image.
        target_size: (width, height) of the crop.

    Returns:
        (3, H, W) uint8, RGB, 0 to 255, contiguous; H and W are the target's.
    """
    return fit_pixels(np.array(picture), resized_size, crop_top_left, target_size)


def fit_pixels(
    picture: np.ndarray, resized_size: Sequence[int], crop_top_left: Sequence[int], target_size: Sequence[int]
) -> "torch.Tensor":
    """`fit` for an image as an array (H, W, 3) uint8, RGB, which must be writable and contiguous."""
    import torch

    width, height = resized_size
    top, left = crop_top_left
    target_width, target_height = target_size
    assert 0 <= top <= height - target_height, f"crop {top} + {target_height} px exceeds the resized height {height}"
    assert 0 <= left <= width - target_width, f"crop {left} + {target_width} px exceeds the resized width {width}"
    fitted = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0)  # (1, 3, H, W), still interleaved in memory
    if picture.shape[:2] != (height, width):
        fitted = torch.nn.functional.interpolate(fitted, (height, width), mode="bicubic", antialias=True)
    return fitted[0, :, top : top + target_height, left : left + target_width].contiguous()


def to_pixels(
    data: bytes,
    resized_size: Sequence[int],
    crop_top_left: Sequence[int],
    target_size: Sequence[int],
    original_size: Sequence[int] | None = None,
    cell: Sequence[int] | None = None,
    is_fast: bool = False,
    show: Callable[[np.ndarray], None] | None = None,
) -> "torch.Tensor":
    """Decode, resize and crop one image: `decode`, then `fit`.

    Args:
        original_size: the (width, height) that the geometry was made for.
        cell: (left, top, width, height) of the part of the decoded image that is taken; None: all of it.
        is_fast: decode a JPEG at the half, fourth or eighth of its size, if that is no smaller than `resized_size`.
        show: is given what is taken before it is resized, (H, W, 3) uint8, to look at and not to keep.

    Returns:
        (3, H, W) uint8, RGB, 0 to 255.

    Raises:
        MediaError: as `decode`, and `size_mismatch`: the image is not of `original_size`.
    """
    opened = _open(data)
    data = opened.mended or data
    with memory.DECODING.hold(_num_bytes(opened, data)):
        size = opened.size
        is_scaled = is_fast and cell is None and _scale(opened, resized_size)
        page = _decode(opened, data)
        del opened  # what Pillow keeps of it
        if cell is not None:
            left, top, width, height = cell
            if left + width > page.shape[1] or top + height > page.shape[0]:
                raise MediaError(
                    "size_mismatch",
                    f"the image decodes to {page.shape[1]} x {page.shape[0]} pixels, fewer than its header",
                )
            page = np.ascontiguousarray(page[top : top + height, left : left + width])
        decoded_size = size if is_scaled else page.shape[1::-1]
        if original_size is not None and decoded_size != tuple(original_size):
            raise MediaError(
                "size_mismatch",
                f"the image decodes to {decoded_size[0]} x {decoded_size[1]} pixels, but its geometry was made for "
                f"{original_size[0]} x {original_size[1]}; correct the dataset's columns of sizes, or name none",
            )
        if show is not None:
            show(page)
        return fit_pixels(page, resized_size, crop_top_left, target_size)


def _scale(opened: _Opened, resized_size: Sequence[int]) -> bool:
    """Let a JPEG be decoded smaller, in libjpeg's inverse transform, where it stays large enough."""
    if opened.format != "JPEG" or opened.image is None or "eoi" in opened.steps:
        return False
    width, height = resized_size
    before = opened.image.size
    opened.image.draft(None, (width, height) if opened.orientation < 5 else (height, width))
    return opened.image.size != before


def _open(data: bytes) -> _Opened:
    """The image with its header read, within the limit."""
    if not data:
        raise MediaError("empty", "the image has no bytes")
    _set_up_pillow()
    plugin = image_formats.plugin_of(data)
    if plugin is None:
        other = signatures.other_kind(data, "image") or f": {signatures.describe(data)}"
        raise MediaError("undecodable", f"not an image of a known format{other}")
    if plugin.format == "PNG" and len(mended := png_chunks.without_broken(data)) < len(data):
        opened = _open(mended)
        return opened._replace(steps=("crc", *opened.steps), mended=mended)
    if plugin.format == "JXL":
        _require_size(image_formats.jpeg_xl_size(data))
    steps = _steps(plugin, data)
    try:
        with _pillow_errors(plugin.format or "image"):
            image = plugin(BytesIO(animations.mend(data) if plugin is WebPImagePlugin.WebPImageFile else data))
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                steps = tiff_pages.seek(image)
                if tiff_samples.is_misread(image) or tiff_samples.is_coarsened(image):
                    raise MediaError("undecodable", "TIFF: samples that Pillow misreads")
    except MediaError as error:
        if plugin is not TiffImagePlugin.TiffImageFile or error.reason != "undecodable":
            raise
        with _pillow_errors("TIFF"):
            samples = tiff_samples.open_samples(data, str(error).removeprefix("TIFF: "))
        _require_size(samples.size)
        opened = _Opened(samples.size, "TIFF", samples.orientation, None, Meaning(), samples.steps, samples)
        _require_memory(opened, data)
        return opened
    _require_size(image.size)
    orientation = _orientation(image, data)
    with _pillow_errors(image.format or "image"):
        meaning = pixels.meaning_of(image, data)
    size = image.size if orientation < 5 else image.size[::-1]
    opened = _Opened(size, image.format or "", orientation, image, meaning, steps)
    _require_memory(opened, data)
    return opened


def _steps(plugin: type[ImageFile.ImageFile], data: bytes) -> tuple[str, ...]:
    """What is read in another way than Pillow's."""
    if plugin is JpegImagePlugin.JpegImageFile and jpeg_ends.lacks_end(data):
        return ("eoi",)
    return ("deep",) if plugin is Jpeg2KImagePlugin.Jpeg2KImageFile and jpeg2000.is_deep(data) else ()


def _require_memory(opened: _Opened, data: bytes) -> None:
    if (num_bytes := _num_bytes(opened, data)) > MAX_DECODED_BYTES:
        width, height = opened.size
        raise MediaError(
            "too_large",
            f"{width:,d} x {height:,d} pixels of this kind take {num_bytes:,d} bytes while they are decoded, more than "
            f"the limit of {MAX_DECODED_BYTES:,d}",
        )


def _require_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise MediaError("too_large", f"{width:,d} x {height:,d} pixels are more than the limit of {MAX_PIXELS:,d}")


def _set_up_pillow() -> None:
    """Keep Pillow's process-wide settings as decoding needs them, whatever else set them.

    Its warnings (corrupt EXIF and the like) concern a sample that is then either decoded or quarantined. They are
    switched off for good, since `warnings.catch_warnings` is not safe in threads.
    """
    if PILLOW_IS_QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
    # Some libraries set this; a truncated file would then decode to an image that is half gray.
    ImageFile.LOAD_TRUNCATED_IMAGES = False


@contextmanager
def _pillow_errors(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises at broken bytes, which can be nearly anything, into a MediaError."""
    try:
        yield
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError("too_large", f"{name}: {error}") from error
    except Exception as error:
        raise MediaError("undecodable", f"{name}: {signatures.words(error)}") from error


def _orientation(image: ImageFile.ImageFile, data: bytes) -> int:
    """The EXIF (or XMP) orientation, 1 to 8; 1 where there is none or it can't be read, as viewers take it."""
    # Turned upright by the decoder, and the size says so before; a JPEG within a JPEG XL isn't.
    if image.format in ("TIFF", "HEIF") or (image.format == "JXL" and not getattr(image, "jpeg", False)):
        return 1
    # PngImageFile.getexif decodes all pixels to look behind them. The chunk is found without that.
    if image.format == "PNG" and "exif" not in image.info and (exif := png_chunks.exif(data)):
        image.info["exif"] = exif
    try:
        orientation: object = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF: nearly anything
        return 1
    return orientation if isinstance(orientation, int) and orientation in ORIENTATIONS else 1

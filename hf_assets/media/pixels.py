"""What the pixels of an opened image mean, found from its header; and the pixels as RGB in sRGB, over white.

Shape letters: H W pixels.
"""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile

from hf_assets.errors import MediaError
from hf_assets.media import boxes, colour, embedded_profiles, jpeg2000, png_chunks, profiles, steps
from hf_assets.media.colour import Colours
from hf_assets.media.profiles import Shaper

PLAIN = Colours()

# Of a larger image, so many pixels are converted at a time, which takes some copies of them.
BAND_PIXELS = 1 << 22

# Of floats, the largest value where 1 is white, and where 255 is.
MAX_OF_ONE, MAX_OF_8_BITS = 16, 510

# TIFF's tags.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
WHITE_IS_ZERO, SIGNED = 0, 2


@dataclass(frozen=True)
class Meaning:
    """What an image's code values mean.

    Attributes:
        icc: the profile to convert from; None: there is none, or it is sRGB's.
        colours: where no profile says it.
        white: the largest value of gray that isn't in 8 bits.
        is_inverted: 0 is white, and the decoder doesn't know.
        shaper: in place of `icc`, of more than 8 bits a channel.
        steps: what is done beyond the plain case (`media.steps`).
    """

    icc: bytes | None = None
    colours: Colours = PLAIN
    white: int = 65_535
    is_inverted: bool = False
    steps: tuple[str, ...] = ()
    shaper: Shaper | None = None

    @property
    def is_plain(self) -> bool:
        """Whether colours of 8 bits are sRGB as they are."""
        return self.icc is None and self.shaper is None and self.colours.is_plain


def meaning_of(image: ImageFile.ImageFile, data: bytes) -> Meaning:
    """Of an image whose header was read: no pixel is decoded."""
    icc, colours, colour_steps = _colours(image, data)
    white, is_inverted, gray_steps = _gray(image)
    is_keyed = image.format == "PNG" and image.mode == "RGB" and "transparency" in image.info and is_deep(data)
    noted = (*colour_steps, *gray_steps, *(["trns"] if is_keyed else []))
    shaper = profiles.shaper_of(icc, _profiled_mode(image.mode, data)) if icc and "icc16" in colour_steps else None
    return Meaning(None if shaper else icc, colours, white, is_inverted, noted, shaper)


def _colours(image: ImageFile.ImageFile, data: bytes) -> tuple[bytes | None, Colours, tuple[str, ...]]:
    icc = image.info.get("icc_profile") or embedded_profiles.of(image.format, data)
    if image.format == "PNG":
        has_profile = bool(icc) and profiles.is_usable(icc, _profiled_mode(image.mode, data))
        if (said := png_chunks.colours(data, has_profile=has_profile)) is not None:
            read, step = said
            return None, read, colour.steps_of(read, step)
    if icc and (code_points := profiles.code_points(icc)):
        read = colour.of_code_points(*code_points)
        if read.is_hdr:
            return None, read, colour.steps_of(read)
    if icc:
        mode = _profiled_mode(image.mode, data)
        if profiles.is_srgb(icc, mode):
            return None, PLAIN, ()
        has_more = image.mode.startswith(("I", "F")) or is_deep(data) or jpeg2000.is_deep(data)
        if has_more and profiles.shaper_of(icc, mode):
            return icc, PLAIN, ("icc16",)
        return (None, PLAIN, ()) if _is_deep_gray(data) and image.mode == "RGBA" else (icc, PLAIN, ("icc",))
    if image.format in ("AVIF", "HEIF"):
        read = boxes.colours(data) or PLAIN
        return None, read, colour.steps_of(read)
    return None, PLAIN, ()


def _is_deep_gray(data: bytes) -> bool:
    """Whether a PNG is gray and alpha of 16 bits, which Pillow calls RGBA."""
    return is_deep(data) and data[25:26] == b"\4"


def _profiled_mode(mode: str, data: bytes) -> str:
    """The mode in which pixels of a mode are converted from their profile."""
    if mode in profiles.MODES:
        return mode
    if mode == "RGBA" and _is_deep_gray(data):
        return "L"
    return "L" if mode == "LA" or mode.startswith(("I", "F")) else "RGB"


def _gray(image: ImageFile.ImageFile) -> tuple[int, bool, tuple[str, ...]]:
    """(largest value, is inverted, steps) of gray in more than 8 bits."""
    if image.format != "TIFF" or not image.mode.startswith(("I", "F")):
        return 65_535, False, ()
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, sample_format = _first(tags.get(BITS_PER_SAMPLE, 16)), _first(tags.get(SAMPLE_FORMAT, 1))
    is_inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    white = 65_535
    # Signed 32 bits are how Pillow itself keeps 0 to 65,535.
    if not image.mode.startswith("F") and (bits, sample_format) not in ((16, 1), (32, SIGNED)):
        white = 2 ** (bits - (sample_format == SIGNED)) - 1
    return white, is_inverted, (*(["inverted"] if is_inverted else []), *(["range"] if white != 65_535 else []))


def _first(value: int | tuple[int, ...]) -> int:
    return value[0] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class _Whole:
    """What a part of an image is converted by, beside its own pixels.

    Attributes:
        deep: the whole image's colours in 16 bits, (H, W, 3).
        peak: of HDR; None: that of the part.
        largest: of floats; None: that of the part.
        alpha: of 16 bits a channel, in 8: (H, W).
    """

    deep: np.ndarray | None = None
    peak: float | None = None
    largest: float | None = None
    alpha: np.ndarray | None = None


def to_rgb(image: Image.Image, meaning: Meaning, data: bytes) -> Image.Image:
    """A loaded image of any mode as RGB in sRGB, composited on white."""
    return _to_rgb(image, meaning, _whole_of(image, meaning, data), 0)


def write_rgb(image: Image.Image, meaning: Meaning, data: bytes, page: np.ndarray) -> None:
    """`to_rgb` into memory of its own, some rows at a time: of a large image, one copy of all pixels is enough.

    Args:
        page: (H, W, 3) uint8, of any strides.
    """
    num_rows = max(1, BAND_PIXELS // image.width)
    if num_rows >= image.height:
        is_ready = image.mode == "RGB" and meaning.is_plain and not image.has_transparency_data
        page[:] = np.asarray(image if is_ready else to_rgb(image, meaning, data))
        return
    bands = [(top, min(top + num_rows, image.height)) for top in range(0, image.height, num_rows)]

    def rows(top: int, bottom: int) -> Image.Image:
        return image.crop((0, top, image.width, bottom))

    whole = _whole_of(image, meaning, data)
    if image.mode == "F":
        whole = replace(whole, largest=max(float(np.asarray(rows(*band)).max()) for band in bands))
    elif meaning.icc is None and meaning.colours.is_hdr:
        peaks = (colour.peak_cd(_values(rows(*band), whole.deep, band[0]), meaning.colours) for band in bands)
        whole = replace(whole, peak=max(peaks))
    for top, bottom in bands:
        page[top:bottom] = np.asarray(_to_rgb(rows(top, bottom), meaning, whole, top))


def _to_rgb(image: Image.Image, meaning: Meaning, whole: _Whole, top: int) -> Image.Image:
    """
    Args:
        image: the whole one, or a part of its rows, from `top` on.
    """
    alpha = None
    if image.mode.startswith(("I", "F")):
        colour_, alpha = _gray_to_8_bits(image, meaning, whole.largest)
        if meaning.shaper is not None and whole.deep is None:
            whole, top = replace(whole, deep=_gray_values(image, meaning, whole.largest, 65_535)), 0
    elif whole.alpha is not None:
        colour_, alpha = image, Image.fromarray(whole.alpha[top : top + image.height])
    elif image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        alpha = with_alpha.getchannel("A")
        colour_ = image.convert("L") if image.mode == "LA" else with_alpha.convert("RGB")
    else:
        colour_ = image if image.mode in profiles.MODES else image.convert("RGB")
    return over_white(_convert(colour_, meaning, whole, top), alpha)


def over_white(picture: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """An image in RGB on a white page."""
    if alpha is None:
        return picture
    page = Image.new("RGB", picture.size, "white")
    page.paste(picture, mask=alpha)
    return page


def white_of(largest: float) -> int:
    """Which value of floats is white, by the largest of them: formats don't say.

    1, which sharpening and highlights exceed by a little; else that of 8 or of 16 bits.
    """
    return 1 if largest <= MAX_OF_ONE else 255 if largest <= MAX_OF_8_BITS else 65_535


def scale_step(largest: float) -> tuple[str, ...]:
    """The step for floats that were once taken for others."""
    return ("scale",) if 1 < largest <= MAX_OF_ONE or largest > MAX_OF_8_BITS else ()


def scaled_floats(values: np.ndarray, largest: float | None = None, top: int = 255) -> np.ndarray:
    """Floats as uint8, or uint16 of which `top` is 65,535; `white_of` is white.

    Args:
        largest: value of all; None: of these.

    Raises:
        MediaError: `undecodable`: NaN or infinity.
    """
    if not np.isfinite(values).all():
        raise MediaError("undecodable", "the image's floats hold NaN or infinity")
    largest = values.max() if largest is None else largest
    scaled: np.ndarray = np.rint(np.clip(values * (top / white_of(largest)), 0, top))
    return scaled.astype(np.uint8 if top == 255 else np.uint16)


def _gray_to_8_bits(
    image: Image.Image, meaning: Meaning, largest: float | None
) -> tuple[Image.Image, Image.Image | None]:
    """(L, alpha) of gray in integers of more than 8 bits, or in floats."""
    transparent = image.info.get("transparency")
    alpha = None
    if transparent is not None:
        alpha = Image.fromarray(np.where(np.asarray(image) == transparent, 0, 255).astype(np.uint8))
    return Image.fromarray(_gray_values(image, meaning, largest, 255)), alpha


def _gray_values(image: Image.Image, meaning: Meaning, largest: float | None, top: int) -> np.ndarray:
    """Gray in more than 8 bits as 0 to `top`, in 8 or 16 bits. (H, W)"""
    values = np.asarray(image)
    if image.mode == "F":
        scaled = scaled_floats(values, largest, top)
    else:
        whole = values.astype(np.int64) if meaning.white < 2**31 else values.astype(np.int32).view(np.uint32)
        white = meaning.white
        kind = np.uint8 if top == 255 else np.uint16
        scaled = ((np.clip(whole, 0, white).astype(np.uint64) * top + white // 2) // white).astype(kind)
    return top - scaled if meaning.is_inverted else scaled


def _convert(picture: Image.Image, meaning: Meaning, whole: _Whole, top: int) -> Image.Image:
    """RGB in sRGB, of an image in one of the modes that a profile can describe."""
    if meaning.icc is not None:
        return profiles.to_srgb(picture, meaning.icc)
    if meaning.shaper is not None and whole.deep is not None:
        return Image.fromarray(meaning.shaper.to_srgb(whole.deep[top : top + picture.height]))
    if meaning.shaper is not None:  # FFmpeg doesn't read what Pillow does: 8 bits are what is left
        return Image.fromarray(meaning.shaper.to_srgb(np.asarray(picture).astype(np.uint16) * 257))
    if meaning.colours.is_plain:
        return picture.convert("RGB")
    values = _values(picture, whole.deep, top)
    return Image.fromarray(colour.to_srgb(values, meaning.colours, whole.peak)).convert("RGB")


def _values(picture: Image.Image, deep: np.ndarray | None, top: int) -> np.ndarray:
    """The pixels as `colour.to_srgb` takes them."""
    if deep is not None:
        return deep[top : top + picture.height]
    return np.asarray(picture if picture.mode in ("RGB", "L") else picture.convert("RGB"))


def _whole_of(image: Image.Image, meaning: Meaning, data: bytes) -> _Whole:
    """Of a PNG or a JPEG 2000 of 16 bits a channel what Pillow doesn't keep."""
    is_keyed, is_converted = "trns" in meaning.steps, meaning.icc is None and not meaning.is_plain
    layers = _in_16_bits(data, (image.height, image.width)) if is_keyed or is_converted else None
    if layers is None:
        return _Whole()
    return _Whole(
        deep=np.ascontiguousarray(layers[..., :3]) if is_converted else None,
        alpha=(layers[..., 3] >> 8).astype(np.uint8) if is_keyed else None,
    )


def _in_16_bits(data: bytes, size: tuple[int, ...]) -> np.ndarray | None:
    """A PNG or a JPEG 2000 of 16 bits a channel, of which Pillow keeps 8: the difference shows where curves are steep.

    (H, W, 4) uint16; None of others.
    """
    if jpeg2000.is_deep(data):
        return jpeg2000.in_16_bits(data)
    if not is_deep(data):
        return None
    import av

    try:
        with av.open(BytesIO(png_chunks.without_packed(data)), format="png_pipe") as container:
            frame = next(container.decode(video=0))
            pixels: np.ndarray = frame.to_ndarray(format="rgba64le")
    except Exception:  # Pillow decoded it: the 8 bits it keeps are what is left
        return None
    return pixels if pixels.shape[:2] == size else None


def is_deep(data: bytes) -> bool:
    """Whether a PNG has 16 bits a channel."""
    return data.startswith(b"\x89PNG") and data[24:25] == b"\x10"


def note_of(meaning: Meaning, *more: str) -> str | None:
    """The steps, with others, as a fact of the sample."""
    return steps.note(*meaning.steps, *more)

"""Animations as clips that Pillow decodes: WebP, which FFmpeg doesn't, and AVIF with alpha, which FFmpeg leaves out.

Google, WebP container specification; AOM, AV1 Image File Format.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile, WebPImagePlugin

from hf_assets.errors import MediaError
from hf_assets.media import pixels, signatures

# A flag of the chunk VP8X.
ANIMATED = 0x02
# Of an AVIF: what kind of file, and what kind of track.
AVIF_FRAMES, AVIF_ALPHA = b"avis", b"auxv"
KINDS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")


@dataclass(frozen=True)
class Animation:
    """What an animation's header and chunks say.

    Attributes:
        last_s: when the last frame is shown.
        codec: as FFmpeg calls it, or would.
        decoding: see `media.steps`.
    """

    width: int
    height: int
    num_frames: int
    last_s: float
    codec: str
    decoding: str | None


def is_animation(data: bytes) -> bool:
    """Whether this is a WebP with frames, whatever its header says of them, or an AVIF with frames and their alpha."""
    return _is_avif_with_alpha(data) or _is_webp(data)


def _is_avif_with_alpha(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and AVIF_FRAMES in data[8:64] and AVIF_ALPHA in data


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and any(True for _ in _durations_ms(data))


def mend(data: bytes) -> bytes:
    """An animated WebP whose header says that it is a still, or that has a still in front, as a plain animation.

    libwebp refuses these, and one whose size in front is false, which is mended where its chunks fill the file. Any
    other bytes stay as they are.
    """
    data = _with_size(data)
    if data[12:16] != b"VP8X" or not _is_webp(data):
        return data
    stills = [span for kind, *span in _chunks(data) if kind in (b"VP8 ", b"VP8L", b"ALPH")]
    if not stills and data[20] & ANIMATED:
        return data
    body = bytearray(data)
    body[20] |= ANIMATED
    for start, stop in reversed(stills):
        del body[start - 8 : stop]
    struct.pack_into("<I", body, 4, len(body) - 8)
    return bytes(body)


def _with_size(data: bytes) -> bytes:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or int.from_bytes(data[4:8], "little") + 8 == len(data):
        return data
    found = list(_chunks(data))
    if not found or any(kind not in KINDS for kind, _, _ in found):
        return data
    _, start, stop = found[-1]
    lacks_even = stop == len(data) + 1 and data[start - 4] % 2
    if stop != len(data) and not lacks_even:
        return data
    return data[:4] + struct.pack("<I", stop - 8) + data[8:].ljust(stop - 8, b"\0")


def probe(data: bytes) -> Animation:
    """Read an animation's facts.

    Raises:
        MediaError: `undecodable`, `truncated`.
    """
    image = _open(data)
    meaning = pixels.meaning_of(image, data)
    if isinstance(image, AvifImagePlugin.AvifImageFile):
        for number in range(image.n_frames):
            _frame(image, number, meaning, data)  # which says when
        last_s = float(image.info["timestamp"]) / 1000
        return Animation(*image.size, image.n_frames, last_s, "libdav1d", pixels.note_of(meaning, "alpha"))
    durations = list(_durations_ms(data))[: image.n_frames]
    if len(durations) < image.n_frames:
        raise MediaError("truncated", f"{len(durations):,} frames are there of the {image.n_frames:,} announced")
    return Animation(*image.size, image.n_frames, sum(durations[:-1]) / 1000, "webp", pixels.note_of(meaning))


def frames_of(data: bytes) -> Iterator[np.ndarray]:
    """Decode frame after frame, each (H, W, 3) uint8, RGB in sRGB, over white.

    Raises:
        MediaError: `undecodable`.
    """
    image = _open(data)
    meaning = pixels.meaning_of(image, data)
    for number in range(image.n_frames):
        yield np.array(_frame(image, number, meaning, data))


def thumbnails(data: bytes, first_frame: int, num_frames: int | None) -> list[Image.Image]:
    """The first, middle and last frame of a part."""
    image = _open(data)
    meaning = pixels.meaning_of(image, data)
    part = range(image.n_frames)[first_frame:][:num_frames]
    chosen = sorted({part[at] for at in (0, len(part) // 2, len(part) - 1)}) if part else []
    return [_frame(image, number, meaning, data) for number in chosen]


def _open(data: bytes) -> AvifImagePlugin.AvifImageFile | WebPImagePlugin.WebPImageFile:
    is_avif = _is_avif_with_alpha(data)
    try:
        if is_avif:
            return AvifImagePlugin.AvifImageFile(BytesIO(data))
        return WebPImagePlugin.WebPImageFile(BytesIO(mend(data)))
    except Exception as error:
        raise MediaError("undecodable", f"{'AVIF' if is_avif else 'WebP'}: {signatures.words(error)}") from error


def _frame(image: ImageFile.ImageFile, number: int, meaning: pixels.Meaning, data: bytes) -> Image.Image:
    try:
        image.seek(number)
        image.load()
        return pixels.to_rgb(image, meaning, data)
    except MediaError:
        raise
    except Exception as error:
        raise MediaError("undecodable", f"{image.format}: frame {number}: {signatures.words(error)}") from error


def _durations_ms(data: bytes) -> Iterator[int]:
    """How long each frame is shown, of those that are there wholly."""
    for kind, start, stop in _chunks(data):
        if kind == b"ANMF" and stop - start >= 16 and stop <= len(data):
            yield int.from_bytes(data[start + 12 : start + 15], "little")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, stop) of each chunk's content, with the byte that makes it even."""
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8, position + 8 + size + size % 2
        position += 8 + size + size % 2

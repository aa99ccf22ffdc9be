"""What Pillow leaves out of JPEG 2000: profiles, and colours of more than 8 bits a channel.

It makes their white black: rounding the largest values to 8 bits, it forgets that they don't fit. FFmpeg reads them.
ISO/IEC 15444-1, annexes A.5.1 and I.5.3.
"""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import boxes, signatures

CODESTREAM = b"\xff\x4f\xff\x51"
# How a box says what the colours are: by number, or by a profile.
BY_NUMBER, BY_PROFILE = 1, (2, 3)
# Of them, what FFmpeg would take for others: CMYK, YCC.
MISTAKEN = (12, 18)
# As many as of any image.
MAX_PIXELS = 2**28


def profile(data: bytes) -> bytes | None:
    """The ICC profile in the first box that says what the colours are; None where that is none."""
    start, stop = _colours(data)
    return data[start + 3 : stop] if stop - start > 3 and data[start] in BY_PROFILE else None


def is_deep(data: bytes) -> bool:
    """Whether there are several channels, of more than 8 bits."""
    at = 0 if data.startswith(CODESTREAM) else data.find(CODESTREAM, 0, 1 << 20) if data[4:8] == b"jP  " else -1
    if at < 0 or at + 43 > len(data):
        return False
    (count,) = struct.unpack_from(">H", data, at + 40)
    bits = [1 + (data[each] & 0x7F) for each in range(at + 42, min(at + 42 + 3 * count, len(data)), 3)]
    start, stop = _colours(data)
    has_number = stop - start >= 7 and data[start] == BY_NUMBER
    is_mistaken = has_number and int.from_bytes(data[start + 3 : start + 7]) in MISTAKEN
    return count > 1 and max(bits, default=0) > 8 and not is_mistaken


def in_16_bits(data: bytes) -> np.ndarray:
    """(H, W, 4) uint16: red, green, blue, alpha.

    Raises:
        MediaError: `undecodable`.
    """
    import av

    try:
        with av.open(BytesIO(data), format="j2k_pipe") as container:
            container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            frame = next(container.decode(video=0))
            pixels: np.ndarray = frame.to_ndarray(format="rgba64le")
    except Exception as error:
        raise MediaError("undecodable", f"JPEG 2000: {signatures.words(error)}") from error
    return pixels


def decode(data: bytes) -> Image.Image:
    """A file that `is_deep` in 8 bits."""
    pixels = in_16_bits(data)
    return Image.fromarray(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _colours(data: bytes) -> tuple[int, int]:
    """(start, stop) of the content of the first box `colr`; (0, 0) where there is none."""
    header = next((span for kind, span in boxes.inside(data, 0, len(data)) if kind == b"jp2h"), (0, 0))
    return next((span for kind, span in boxes.inside(data, *header) if kind == b"colr"), (0, 0))

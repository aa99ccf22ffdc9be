"""What a PNG's chunks say that Pillow doesn't, without decoding a pixel. W3C, PNG, third edition."""

import struct
from collections.abc import Iterator

from hf_assets.media import colour
from hf_assets.media.colour import Colours


def exif(data: bytes) -> bytes | None:
    """The content of the chunk eXIf, which may stand behind the pixels."""
    return next((content for kind, content in _chunks(data) if kind == b"eXIf"), None)


def colours(data: bytes) -> tuple[Colours, str] | None:
    """What the code values mean, and which step converting them is; None where an ICC profile says it.

    The order is the standard's: cICP, iCCP, sRGB, then gAMA and cHRM.
    """
    found: dict[bytes, bytes] = {}
    for kind, content in _chunks(data):
        if kind in (b"IDAT", b"IEND"):
            break
        found.setdefault(kind, content)
    code_points = found.get(b"cICP", b"")
    if len(code_points) == 4 and code_points[2] == 0:
        return colour.of_code_points(code_points[0], code_points[1], is_narrow=code_points[3] == 0), "cicp"
    if b"iCCP" in found:
        return None
    if b"sRGB" in found:
        return Colours(), "cicp"
    gamma = _integers(found.get(b"gAMA", b""), 1)
    corners = _integers(found.get(b"cHRM", b""), 8)
    chromaticities = None
    if corners:
        white_x, white_y, *others = (value / 100_000 for value in corners)
        chromaticities = (*others, white_x, white_y)
    exponent = 100_000 / gamma[0] if gamma and gamma[0] else None
    return colour.of_gamma(exponent, chromaticities), "gama"  # type: ignore[arg-type]


def _integers(content: bytes, count: int) -> tuple[int, ...]:
    return struct.unpack(f">{count}I", content) if len(content) == 4 * count else ()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length

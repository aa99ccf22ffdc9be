"""What a PNG's chunks say that Pillow doesn't, without decoding a pixel. W3C, PNG, third edition."""

import re
import struct
import zlib
from collections.abc import Iterator

from hf_assets.media import colour
from hf_assets.media.colour import Colours

# Texts and profiles, which FFmpeg unpacks to any size.
PACKED = (b"zTXt", b"iTXt", b"iCCP")
PACKED_STARTS = re.compile(rb"(?:zTXt|iCCP)[^\0]{0,79}\0\0")
MAX_UNPACKED_BYTES = 32 << 20


def without_packed(data: bytes) -> bytes:
    """A PNG without its texts and its profile."""
    kept = [data[:8]]
    for kind, start, length in _places(data):
        if kind not in PACKED:
            kept.append(data[start - 8 : start + length + 4])
    return b"".join(kept)


def without_broken(data: bytes) -> bytes:
    """A PNG without the ancillary chunks in front of its pixels whose checksum is wrong; itself where there are none.

    libpng leaves them out as well. Pillow refuses the file, and reads those behind the pixels.
    """
    kept, is_broken = [data[:8]], False
    for kind, start, length in _places(data):
        if kind in (b"IDAT", b"IEND"):
            kept.append(data[start - 8 :])
            break
        is_ancillary = kind[0] & 0x20
        stop = start + length
        said = data[stop : stop + 4]
        if is_ancillary and len(said) == 4 and zlib.crc32(data[start - 4 : stop]) != int.from_bytes(said, "big"):
            is_broken = True
            continue
        kept.append(data[start - 8 : stop + 4])
    return b"".join(kept) if is_broken else data


def unpacks_to_much(data: bytes) -> bool:
    """Whether texts and profiles of PNGs that lie anywhere in a file unpack to more than `MAX_UNPACKED_BYTES`."""
    left = MAX_UNPACKED_BYTES
    for found in PACKED_STARTS.finditer(data) if b"zTXt" in data or b"iCCP" in data else ():
        try:
            left -= len(zlib.decompressobj().decompress(memoryview(data)[found.end() :], left))
        except zlib.error:
            continue
        if left <= 0:
            return True
    return False


def exif(data: bytes) -> bytes | None:
    """The content of the chunk eXIf, which may stand behind the pixels."""
    return next((content for kind, content in _chunks(data) if kind == b"eXIf"), None)


def colours(data: bytes, *, has_profile: bool = True) -> tuple[Colours, str] | None:
    """What the code values mean, and which step converting them is; None where an ICC profile says it.

    The order is the standard's: cICP, iCCP, sRGB, then gAMA and cHRM. Code points that mean nothing (unspecified,
    reserved) say it only where nothing else does.

    Args:
        has_profile: whether there is a profile that can be used: one that can't says nothing.
    """
    found: dict[bytes, bytes] = {}
    for kind, content in _chunks(data):
        if kind in (b"IDAT", b"IEND"):
            break
        found.setdefault(kind, content)
    code_points = found.get(b"cICP", b"")
    if len(code_points) != 4 or code_points[2] != 0:
        code_points = b""
    if code_points and colour.are_known(code_points[0], code_points[1]):
        return _of_code_points(code_points), "cicp"
    if b"iCCP" in found and has_profile:
        return None
    if b"sRGB" in found:
        return Colours(), "cicp"
    gamma = _integers(found.get(b"gAMA", b""), 1)
    corners = _integers(found.get(b"cHRM", b""), 8)
    if code_points and not gamma and not corners:
        return _of_code_points(code_points), "cicp"
    chromaticities = None
    if corners:
        white_x, white_y, *others = (value / 100_000 for value in corners)
        chromaticities = (*others, white_x, white_y)
    exponent = 100_000 / gamma[0] if gamma and gamma[0] else None
    return colour.of_gamma(exponent, chromaticities), "gama"  # type: ignore[arg-type]


def _of_code_points(chunk: bytes) -> Colours:
    return colour.of_code_points(chunk[0], chunk[1], is_narrow=chunk[3] == 0)


def _integers(content: bytes, count: int) -> tuple[int, ...]:
    return struct.unpack(f">{count}I", content) if len(content) == 4 * count else ()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((kind, data[start : start + length]) for kind, start, length in _places(data))


def _places(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of the content, its length) of each chunk."""
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, length
        position += 12 + length

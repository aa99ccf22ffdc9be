"""ICC profiles in files of formats of which Pillow doesn't look for them: JPEG 2000 and BMP."""

import struct

from hf_assets.media import jpeg2000

# Of a BMP: its first header's size, and a second one, whose colour space may be a profile in the file.
BMP_FILE_HEADER, BMP_V5 = 14, 124
EMBEDDED = b"MBED"[::-1]


def of(image_format: str | None, data: bytes) -> bytes | None:
    """The profile of a file; None where there is none, and of other formats."""
    if image_format == "JPEG2000":
        return jpeg2000.profile(data)
    return _of_bmp(data) if image_format == "BMP" else None


def _of_bmp(data: bytes) -> bytes | None:
    """BITMAPV5HEADER: at 56 what kind of colour space it is; at 112 where its profile is, from the header on."""
    if len(data) < BMP_FILE_HEADER + BMP_V5 or int.from_bytes(data[14:18], "little") != BMP_V5:
        return None
    start, size = struct.unpack_from("<II", data, BMP_FILE_HEADER + 112)
    profile = data[BMP_FILE_HEADER + start :][:size]
    return profile if data[70:74] == EMBEDDED and start >= BMP_V5 and len(profile) == size > 0 else None

"""What is read of a JPEG's header without Pillow is what Pillow reads, or nothing."""

import io
import random
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from hf_assets.errors import MediaError
from hf_assets.media import image, jpeg_headers

# (width, height)
SIZE = (48, 32)
ORIENTATION = 0x0112
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def with_segment(kind: int, content: bytes) -> bytes:
    """A segment right behind the beginning."""
    return b"\xff\xd8\xff" + bytes([kind]) + (len(content) + 2).to_bytes(2) + content + jpeg()[2:]


def exif(order: str, *entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF of entries (tag, type, number of values, values), in the order of bytes of Intel or Motorola."""
    table, behind = b"", b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            behind += value
            value = struct.pack(f"{order}I", 8 + 2 + 12 * len(entries) + 4 + len(behind) - len(value))
        table += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return b"Exif\0\0" + head + table + bytes(4) + behind


def turned(order: str, orientation: int, *more: tuple[int, int, int, bytes]) -> bytes:
    """A JPEG as a camera writes it."""
    resolution = struct.pack(f"{order}II", 72, 1)
    entries = [(0x010F, 2, 8, b"a maker\0"), (ORIENTATION, 3, 1, struct.pack(f"{order}H", orientation))]
    entries += [(0x011A, 5, 1, resolution), (0x0128, 3, 1, struct.pack(f"{order}H", 2)), *more]
    return with_segment(0xE1, exif(order, *entries))


PLAIN = {
    **{f"EXIF {order}{number}": turned(order, number) for order in "<>" for number in (0, 1, 3, 5, 6, 8, 9, 65_535)},
    "EXIF without an orientation": with_segment(0xE1, exif("<", (0x010F, 2, 8, b"a maker\0"))),
    "XMP": jpeg(xmp=b"<x/>"),
    "baseline": jpeg(),
    "gray": jpeg("L"),
    "progressive": jpeg(progressive=True),
    "4:4:4": jpeg(subsampling=0, quality=95),
    "restart markers": jpeg(restart_marker_rows=1),
    "a comment": jpeg(comment=b"made by hand"),
    "a density": jpeg(dpi=(72, 72)),
    "a note of an application": with_segment(0xEC, b"Ducky\0\1"),
    "Adobe's": with_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
    "wide numbers in tables": jpeg(qtables=[[300] * 64, [17] * 64]),
}
OTHERS = {
    "an orientation in XMP": jpeg(xmp=b'<x tiff:Orientation="6"/>'),
    "EXIF twice": with_segment(0xE1, exif("<")).replace(b"\xff\xdb", turned("<", 6)[2:100] + b"\xff\xdb", 1),
    "an orientation of four bytes": with_segment(0xE1, exif("<", (ORIENTATION, 4, 1, b"\6\0\0\0"))),
    "two orientations": with_segment(
        0xE1, exif("<", (ORIENTATION, 3, 1, b"\3\0"), (ORIENTATION, 3, 1, b"\6\0"), (0x010F, 2, 8, b"a maker\0"))
    ),
    "a value outside of the EXIF": with_segment(
        0xE1,
        exif("<", (0x010F, 2, 8, b"\xff\xff\0\0"), (ORIENTATION, 3, 1, b"\6\0")),
    ),
    "an unknown type": turned("<", 6, (0x9999, 77, 1, b"\1")),
    "EXIF of nothing": with_segment(0xE1, b"Exif\0\0"),
    "EXIF twice named": with_segment(0xE1, b"Exif\0\0" + exif("<", (ORIENTATION, 3, 1, b"\6\0"))),
    "a profile": jpeg(icc_profile=SRGB),
    "CMYK": jpeg("CMYK"),
    "Photoshop's": with_segment(0xED, b"Photoshop 3.0\x008BIM"),
    "no end marker": jpeg()[:-2],
    "bytes behind the end": jpeg() + b"\0",
    "a short JFIF": with_segment(0xE0, b"JFIF\0"),
    "the brand of another format": b"\xff\xd8\xff\xe0ftypavif" + bytes(0x6674 - 8) + jpeg()[2:],
    "two frames": jpeg().replace(b"\xff\xda", b"\xff\xc0\0\x0b\x08\0\x20\0\x30\1\1\x11\0\xff\xda", 1),
    "a PNG": b"\x89PNG\r\n\x1a\n\xff\xd9",
    "nothing": b"",
}


def said(data: bytes) -> object:
    """What `probe` finds, or why it refuses."""
    try:
        return image.probe(data)
    except MediaError as error:
        return error.reason, str(error)


@pytest.fixture
def of_pillow(monkeypatch):
    """What is said of a file where Pillow reads every header."""

    def read(data: bytes) -> object:
        with monkeypatch.context() as without:
            without.setattr(jpeg_headers, "plain_size", lambda data: None)
            return said(data)

    return read


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_jpeg_s_size_is_read_without_pillow(name, of_pillow):
    size = SIZE[::-1] if name.startswith("EXIF") and name[-1] in "568" and name[-2] in "<>" else SIZE
    assert jpeg_headers.plain_size(PLAIN[name]) == size
    assert said(PLAIN[name]) == of_pillow(PLAIN[name]) == image.ImageFacts(*size, "JPEG")
    assert image.decode(PLAIN[name]).size == size


@pytest.mark.parametrize("name", OTHERS)
def test_of_any_other_file_nothing_is_said(name):
    assert jpeg_headers.plain_size(OTHERS[name]) is None


@pytest.mark.parametrize(
    "name", [name for name in (*PLAIN, *OTHERS) if "EXIF" not in name or name[-2:] in ("<6", ">6")]
)
def test_whatever_becomes_of_a_header_nothing_else_is_found(name, of_pillow):
    whole = {**PLAIN, **OTHERS}[name]
    draw = random.Random(0)
    for at in range(draw.randrange(8), min(len(whole), 700), 8):
        changed = [whole[:at] + bytes([value]) + whole[at + 1 :] for value in {0, 255, draw.randrange(256)}]
        for data in (*changed, whole[:at], whole[:at] + whole[-2:], whole[:at] + whole[at + 1 :]):
            if jpeg_headers.plain_size(data) is not None:
                assert said(data) == of_pillow(data)


@pytest.mark.parametrize("size", [(1, 1), (0, 32), (65_535, 1), (11_000, 11_250), (11_146, 11_146), (65_535, 65_535)])
def test_the_limits_of_size_are_those_of_every_image(size, of_pillow):
    old, new = (height.to_bytes(2) + width.to_bytes(2) for width, height in (SIZE, size))
    data = jpeg().replace(b"\x08" + old, b"\x08" + new, 1)
    assert data != jpeg()
    assert said(data) == of_pillow(data)

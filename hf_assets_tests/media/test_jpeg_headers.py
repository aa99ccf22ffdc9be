"""What is read of a JPEG's header without Pillow is what Pillow reads, or nothing."""

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from hf_assets.errors import MediaError
from hf_assets.media import image, jpeg_headers

# (width, height)
SIZE = (48, 32)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def with_segment(kind: int, content: bytes) -> bytes:
    """A segment right behind the beginning."""
    return b"\xff\xd8\xff" + bytes([kind]) + (len(content) + 2).to_bytes(2) + content + jpeg()[2:]


PLAIN = {
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
    "EXIF": jpeg(exif=Image.Exif().tobytes()),
    "XMP": jpeg(xmp=b"<x/>"),
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
    assert jpeg_headers.plain_size(PLAIN[name]) == SIZE
    assert said(PLAIN[name]) == of_pillow(PLAIN[name]) == image.ImageFacts(*SIZE, "JPEG")


@pytest.mark.parametrize("name", OTHERS)
def test_of_any_other_file_nothing_is_said(name):
    assert jpeg_headers.plain_size(OTHERS[name]) is None


@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
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

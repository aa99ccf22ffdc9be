"""Media of another kind than the dataset's are called what they are."""

import base64
import io
import re
import sys
from collections.abc import Callable
from typing import Any

import pillow_heif
import pillow_jxl  # noqa: F401
import pytest
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import audio, image, image_formats, signatures, video
from hf_assets_tests.audio_files import contained, encoded, tone
from hf_assets_tests.video_files import clip

PROBES: dict[signatures.Kind, Callable[[bytes], Any]] = {
    "image": image.probe,
    "video": video.probe,
    "audio": audio.probe,
}


def picture(format: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(stream, format)
    return stream.getvalue()


def heic() -> bytes:
    pillow_heif.register_heif_opener()
    return picture("HEIF")


def jpeg_xl() -> bytes:
    return picture("JXL")


TONE = tone(440, 0.5)
FILES: dict[tuple[signatures.Kind, str], Callable[[], bytes]] = {
    ("image", "JPEG"): lambda: picture("JPEG"),
    ("image", "PNG"): lambda: picture("PNG"),
    ("image", "TIFF"): lambda: picture("TIFF"),
    ("image", "AVIF"): lambda: picture("AVIF"),
    ("image", "JPEG 2000"): lambda: picture("JPEG2000"),
    ("video", "MP4"): clip,
    ("video", "Matroska"): lambda: clip(container="webm", codec="libvpx", pixels="yuv420p", crf=None),
    ("video", "AVI"): lambda: clip(container="avi"),
    ("audio", "WAV"): lambda: encoded(TONE, "WAV"),
    ("audio", "FLAC"): lambda: encoded(TONE, "FLAC"),
    ("audio", "MP3"): lambda: encoded(TONE, "MP3"),
    ("audio", "Ogg"): lambda: encoded(TONE, "OGG", subtype="VORBIS"),
    ("audio", "AIFF"): lambda: encoded(TONE, "AIFF"),
    ("audio", "M4A"): lambda: contained(TONE, "ipod", "aac"),
}


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_file_of_another_kind_is_called_what_it_is(kind: signatures.Kind, name: str) -> None:
    data = FILES[kind, name]()
    PROBES[kind](data)
    for wanted, probe in PROBES.items():
        if wanted == kind:
            continue
        with pytest.raises(MediaError) as caught:
            probe(data)
        assert f"; it is {signatures.WORDS[kind]} ({name}): name the column of " in str(caught.value)
        assert caught.value.reason in ("undecodable", "no_video", "no_audio")
        assert str(caught.value).endswith(f'or set dataset_type to "{kind}"')


@pytest.mark.parametrize("wanted", PROBES)
def test_what_begins_as_it_should_or_as_nothing_known_is_not_called_another_kind(wanted: signatures.Kind) -> None:
    own = [FILES[kind, name]()[:40] for kind, name in FILES if kind == wanted]
    for data in (*own, b"no media at all, but text"):
        with pytest.raises(MediaError) as caught:
            PROBES[wanted](data)
        assert "; it is " not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n", "a Git LFS pointer"),
        (b"https://example.com/one.jpg", "an address (https://example.com/one.jpg)"),
        (base64.b64encode(picture("PNG")), "base64 text"),
        (b"data:image/png;base64,iVBORw0KGgo", "base64 text"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page (HTML)"),
        (b"\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (picture("PCX"), "a PCX image"),
        (picture("TGA"), "a Targa image (TGA)"),
        (bytes(4096), "all of them zero"),
        (b"\x81\x92\xa3" * 100, "300 bytes of no known format"),
        (b"ein Bild", "8 bytes of text"),
    ],
)
def test_what_is_no_media_is_named_and_its_bytes_are_not_shown(data: bytes, says: str) -> None:
    for probe in PROBES.values():
        with pytest.raises(MediaError, match=re.escape(says)) as caught:
            probe(data)
        assert "b'" not in str(caught.value)
        assert "\\x" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "extra", "data"), [("pillow_heif", "formats", heic), ("pillow_jxl", "jpegxl", jpeg_xl)]
)
def test_a_format_whose_package_is_missing_is_named_with_the_package(
    package: str, extra: str, data: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = data()
    assert image.probe(made).width == 32
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MediaError, match=re.escape(f"pip install 'hf_assets[{extra}]'")):
        image.probe(made)


def test_a_jpeg_xl_is_as_large_as_its_header_says_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ((8, 8), (640, 480), (1000, 1), (333, 257), (1920, 1080)):
        stream = io.BytesIO()
        Image.new("RGB", size).save(stream, "JXL")
        assert image_formats.jpeg_xl_size(stream.getvalue()) == size
    monkeypatch.setattr(image, "MAX_PIXELS", 100)
    with pytest.raises(MediaError, match="more than the limit"):
        image.probe(jpeg_xl())

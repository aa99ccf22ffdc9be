"""Media of another kind than the dataset's are called what they are."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import audio, image, signatures, video
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

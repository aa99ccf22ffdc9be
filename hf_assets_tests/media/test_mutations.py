"""Whatever becomes of a file's bytes, it is read or it is a row with a reason: a decoder's error never ends a run."""

import io
import os
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401
import pytest
import tifffile
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import audio, image, video
from hf_assets_tests.audio_files import contained, encoded, tone
from hf_assets_tests.video_files import clip

# Of each format; `make soak` tries 1,000.
COUNT = int(os.environ.get("HF_ASSETS_MUTATIONS", "10"))

pillow_heif.register_heif_opener()


def picture(image_format: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


def animation(image_format: str) -> bytes:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "green", "blue")]
    return picture(image_format, save_all=True, append_images=frames)


def planes() -> bytes:
    """A TIFF of 16 bits in planes, which tifffile reads."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 65_536, (3, 12, 16), dtype=np.uint16)
    tifffile.imwrite(stream, pixels, photometric="rgb", planarconfig="separate")
    return stream.getvalue()


SOUND = tone(440, 0.3)
SMALL = {"width": 32, "height": 32, "num_frames": 4}
IMAGES: dict[str, Callable[[], bytes]] = {
    name: (lambda name=name: picture(name))  # type: ignore[misc]
    for name in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "HEIF", "JXL")
}
IMAGES["TIFF in planes"] = lambda: planes()
CLIPS: dict[str, Callable[[], bytes]] = {
    "mp4": lambda: clip(**SMALL),  # type: ignore[arg-type]
    "matroska": lambda: clip(container="matroska", **SMALL),  # type: ignore[arg-type]
    "webm": lambda: clip(container="webm", codec="libvpx-vp9", pixels="yuv420p", crf=None, **SMALL),  # type: ignore[arg-type]
    "avi": lambda: clip(container="avi", codec="mpeg4", pixels="yuv420p", crf=None, **SMALL),  # type: ignore[arg-type]
    "animated GIF": lambda: animation("GIF"),
    "animated WebP": lambda: animation("WEBP"),
    "animated AVIF": lambda: animation("AVIF"),
}
SOUNDS: dict[str, Callable[[], bytes]] = {
    **{name: (lambda name=name: encoded(SOUND, name)) for name in ("WAV", "FLAC", "OGG", "MP3", "AIFF")},  # type: ignore[misc]
    "m4a": lambda: contained(SOUND, "ipod", "aac"),
}


def mutated(data: bytes, number: int) -> bytes:
    """Bytes changed, cut, doubled, or taken for huge sizes, as the number says; half of it near the header."""
    draw = random.Random(number)
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(min(len(changed), 200) if draw.random() < 0.5 else len(changed))
        kind = draw.randrange(5)
        if kind == 0:
            changed[at] = draw.randrange(256)
        elif kind == 1:
            changed[at : at + 4] = draw.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), struct.pack(">I", 2**30))
            )
        elif kind == 2:
            del changed[at : at + draw.choice((1, 4, 100))]
        elif kind == 3:
            changed[at:at] = changed[at : at + draw.choice((1, 8, 64))]
        else:
            del changed[at:]
        if not changed:
            break
    return bytes(changed)


def read_image(data: bytes) -> None:
    image.probe(data)
    image.decode(data)


def read_clip(data: bytes) -> None:
    facts = video.probe(data)
    size = (min(facts.width, 64), min(facts.height, 64))
    video.to_pixels(data, size, (0, 0), size, 0, min(facts.num_frames, 4))


def read_audio(data: bytes) -> None:
    facts = audio.probe(data)
    audio.waveform(data, sample_rate=16_000, channels=1, first_sample=0, num_samples=1_000)
    assert facts.num_samples > 1


CASES = [
    *((name, make, read_image) for name, make in IMAGES.items()),
    *((name, make, read_clip) for name, make in CLIPS.items()),
    *((name, make, read_audio) for name, make in SOUNDS.items()),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "read"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_mutated_file_is_read_or_has_a_reason(make: Callable[[], bytes], read: Callable[[bytes], None]) -> None:
    data = make()
    read(data)
    for number in range(COUNT):
        try:
            read(mutated(data, number))
        except MediaError as error:
            caught = error
            assert caught.reason
            assert "\\x" not in str(caught)


def test_what_a_decoder_asks_of_memory_is_its_sample_s_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV raises MemoryError at a box that claims a huge size."""
    import av

    def fail(*arguments: object, **named: object) -> None:
        raise MemoryError

    files = ((video.probe, clip()), (audio.probe, contained(SOUND, "ipod", "aac")))
    monkeypatch.setattr(av, "open", fail)
    for read, data in files:
        with pytest.raises(MediaError) as caught:
            read(data)
        assert caught.value.reason == "undecodable"

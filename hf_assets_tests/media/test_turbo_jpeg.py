"""JPEGs decoded by simplejpeg are, bit for bit, those that Pillow decodes; where it would not be so, Pillow decodes."""

import random
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import image, turbo_jpeg

pytest.importorskip("simplejpeg")


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    shape = (height, width, {"RGB": 3, "CMYK": 4}[mode])
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, shape, np.uint8), mode)


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, "JPEG", **{"quality": 85, **options})
    return file.getvalue()


def outcome(data: bytes) -> Any:
    try:
        return np.asarray(image.decode(data)).tobytes()
    except MediaError as error:
        return error.reason, str(error)


@pytest.fixture
def with_and_without(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], tuple[Any, Any]]:
    """Decodes with simplejpeg, where it may be used, and with Pillow alone."""
    library = turbo_jpeg._library

    def both(data: bytes) -> tuple[Any, Any]:
        monkeypatch.setattr(turbo_jpeg, "_library", library)
        new = outcome(data)
        monkeypatch.setattr(turbo_jpeg, "_library", lambda: None)
        return new, outcome(data)

    return both


def test_it_is_used_here() -> None:
    data = jpeg(noise(37, 23))
    decoded = turbo_jpeg.decode(data, (37, 23))
    assert decoded is not None
    assert decoded.flags.writeable
    assert np.array_equal(decoded, np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (160, 121)])
def test_the_bits_are_pillows(
    with_and_without: Any, subsampling: int, progressive: bool, size: tuple[int, int]
) -> None:
    new, old = with_and_without(jpeg(noise(*size), subsampling=subsampling, progressive=progressive))
    assert new == old


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright(with_and_without: Any, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(noise(20, 12), exif=exif)
    new, old = with_and_without(data)
    assert new == old
    assert image.decode(data).size == ((20, 12) if orientation < 5 else (12, 20))


@pytest.mark.parametrize(
    "data",
    [
        jpeg(noise(16, 16, "CMYK")),
        jpeg(noise(16, 16).convert("L")),
        jpeg(noise(16, 16), keep_rgb=True, subsampling=0),
        jpeg(noise(16, 16)) + b"more behind its end",
        jpeg(noise(64, 64))[:-2],
        jpeg(noise(64, 64))[:-200],
        jpeg(noise(64, 64))[:300],
    ],
    ids=["CMYK", "gray", "RGB", "more behind", "no end", "cut", "no pixels"],
)
def test_what_is_not_plain_is_as_it_was(with_and_without: Any, data: bytes) -> None:
    new, old = with_and_without(data)
    assert new == old


def test_mutated_files_come_out_the_same(with_and_without: Any) -> None:
    draw = random.Random(0)
    originals = [jpeg(noise(40, 30), quality=quality, progressive=quality == 60) for quality in (60, 90)]
    decoded = 0
    for _ in range(300):
        data = bytearray(draw.choice(originals))
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        new, old = with_and_without(bytes(data))
        assert new == old
        decoded += isinstance(old, bytes)
    assert 50 < decoded < 290  # both sides of it were seen


def test_a_library_that_decodes_to_other_bits_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import simplejpeg

    decode = simplejpeg.decode_jpeg
    turbo_jpeg._library.cache_clear()
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda data, kind: decode(data, kind, fastupsample=True))
    assert turbo_jpeg._library() is None
    assert turbo_jpeg.decode(jpeg(noise(37, 23)), (37, 23)) is None
    turbo_jpeg._library.cache_clear()

"""Which of a TIFF's pages is the picture, and what is read of one that says little."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile

from hf_assets.errors import MediaError
from hf_assets.media.image import ImageFacts, decode, probe
from hf_assets_tests.media.test_colour import P3, profile


def pages(*written: tuple[np.ndarray, dict[str, Any]]) -> bytes:
    stream = BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for pixels, options in written:
            writer.write(pixels, **{"photometric": "rgb", **options})
    return stream.getvalue()


PHOTO = np.random.default_rng(5).integers(0, 256, (24, 32, 3), dtype=np.uint8)
COPY = PHOTO[::4, ::4]
SMALL: dict[str, Any] = {"subfiletype": 1}


@pytest.mark.parametrize(
    ("written", "decoding"),
    [
        ([(COPY, SMALL), (PHOTO, {})], "page-1"),
        ([(COPY, {"extratags": [(255, 3, 1, 2, True)]}), (PHOTO, {})], "page-1"),  # as older writers say it
        ([(PHOTO[..., 0] > 128, {"subfiletype": 4, "photometric": "mask"}), (PHOTO, {})], "page-1 range-1"),
        ([(COPY, {**SMALL, "iccprofile": profile(P3, 1.0)}), (PHOTO, {})], "page-1"),  # its own profile only
        ([(COPY, SMALL), ((PHOTO / 255).astype(np.float32), {})], "float-1 page-1"),
        ([(PHOTO, {}), (COPY, SMALL)], None),
        ([(PHOTO, {"subfiletype": 2}), (255 - PHOTO, {"subfiletype": 2})], None),
        ([(PHOTO, SMALL), (COPY, SMALL)], None),
    ],
)
def test_the_page_of_a_tiff_that_is_no_smaller_copy_is_the_picture(
    written: list[tuple[np.ndarray, dict[str, Any]]], decoding: str | None
) -> None:
    data = pages(*written)
    assert probe(data) == ImageFacts(32, 24, "TIFF", decoding)
    assert np.abs(np.asarray(decode(data)).astype(int) - PHOTO).max() <= (1 if "float" in str(decoding) else 0)


def test_a_camera_s_raw_file_is_not_read_as_its_thumbnail() -> None:
    data = pages((COPY, {**SMALL, "subifds": 1}), (PHOTO, {}))
    with pytest.raises(MediaError, match="raw file"):
        probe(data)


def test_a_tiff_of_three_samples_that_says_nothing_of_them_is_rgb_and_a_palette_of_bytes_is_read() -> None:
    data = pages((PHOTO, {})).replace(struct.pack("<HHI", 262, 3, 1), struct.pack("<HHI", 263, 3, 1))
    assert np.array_equal(np.asarray(decode(data)), PHOTO)
    colours = np.random.default_rng(6).integers(0, 256, (3, 256), dtype=np.uint8).astype(np.uint16)
    data = pages((PHOTO[..., 0], {"photometric": "palette", "colormap": colours}))
    assert np.array_equal(np.asarray(decode(data)), colours.T[PHOTO[..., 0]])

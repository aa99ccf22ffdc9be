"""Contact sheets are small enough for an event, and show what they were given."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFont

from hf_assets.draw import sheets
from hf_assets.draw.sheets import Tile


def noise(seed: int, width: int = 400, height: int = 300) -> Image.Image:
    """What compresses worst."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize("count", [1, 7, sheets.MAX_TILES])
def test_a_sheet_of_the_worst_pictures_has_at_most_100_kb_as_markdown(count: int) -> None:
    data = sheets.sheet([Tile(noise(n), f"row {n}", "x" * 500, beside=noise(n + 99)) for n in range(count)])
    assert len(data) <= sheets.MAX_BYTES
    assert len(sheets.inline(data, "a sheet")) <= 100_000


def test_a_sheet_keeps_its_key_and_a_damaged_one_has_none() -> None:
    data = sheets.sheet([Tile(noise(0), "row 0")], key="abc")
    assert sheets.key_of(data) == "abc"
    assert sheets.key_of(data[: len(data) // 2]) is None
    assert sheets.key_of(b"") is None


def test_the_crop_is_framed_and_the_rest_is_faded() -> None:
    blue = Image.new("RGB", (160, 160), (0, 0, 200))
    page = opened(sheets.sheet([Tile(blue, "", crops=((0.25, 0.25, 0.75, 0.75),))]))
    inside, outside = page.getpixel((10 + 80, 10 + 80)), page.getpixel((10 + 10, 10 + 10))
    assert isinstance(inside, tuple)
    assert isinstance(outside, tuple)
    assert inside[0] < 30
    assert outside[0] > 120  # towards the paper
    edge = page.getpixel((10 + 40, 10 + 80))
    assert isinstance(edge, tuple)
    assert edge[0] > edge[2]  # the frame is red, not blue


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("64x64: a cat", 2, ["64x64: a cat"]),
        ("64x64: a photographer beside his camera", 2, ["64x64: a photographer", "beside his camera"]),
        ("64x64: a photographer beside his camera", 1, ["64x64: a ph…his camera"]),
        ("a photographer beside his camera, black and white", 2, ["a photographer beside", "his camera, … and white"]),
        ("", 2, [""]),
    ],
)
def test_a_note_takes_the_lines_that_it_has(text: str, most: int, expected: list[str]) -> None:
    found = sheets.lines(text, 160, ImageFont.load_default(15), most)
    assert found == expected
    assert all(ImageFont.load_default(15).getlength(line) <= 160 for line in found)


def test_a_row_without_a_picture_has_its_place() -> None:
    with_one, without = (opened(sheets.sheet([Tile(one, "row 1", "low_clip")])) for one in (noise(1), None))
    assert with_one.size == without.size

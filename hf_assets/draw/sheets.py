"""Contact sheets: some pictures on one page, as a JPEG that is small enough for an event of Dagster's."""

import base64
import math
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

# A sheet as Markdown takes a third more than its JPEG, and stays below 100 kB too.
MAX_BYTES = 72_000
SMALL_BYTES, SMALL_PX = 48_000, 800
QUALITIES = (82, 70, 55, 40, 20)
MAX_TILES = 24
TILE_PX = 160
GAP_PX = 10
FONT_PX, LEADING_PX = 11, 3
PAPER, INK, GRAY, RED = "#fafaf8", "#1c1c1c", "#76766f", "#c9302c"
SHADE = 0.62  # of what a crop leaves out, towards the paper
# Of a line that is too long, so much of its end is shown.
TAIL_CHARACTERS = 10

Box = tuple[float, float, float, float]


class Tile(NamedTuple):
    """One picture of a sheet.

    Attributes:
        picture: mode RGB; None: there is none to show.
        title, note: a line each, of the note more where the sheet has them; what is too long is cut.
        crops: left, top, right, bottom of the parts that are used, as shares of width and height; none: all of it is.
        is_bad: whether the title is to stand out.
        beside: a second picture at the right of the first.
    """

    picture: Image.Image | None
    title: str
    note: str = ""
    crops: tuple[Box, ...] = ()
    is_bad: bool = False
    beside: Image.Image | None = None


class Layout(NamedTuple):
    """How tiles are laid out.

    Attributes:
        font_px: of all text.
        note_lines: of a tile's note, at most.
    """

    columns: int = 6
    font_px: int = FONT_PX
    note_lines: int = 1


USUAL = Layout()


def sheet(tiles: Sequence[Tile], layout: Layout = USUAL, key: str = "") -> bytes:
    """Draw tiles in rows.

    Args:
        key: kept in the file's comment (`key_of`).

    Returns:
        a JPEG of at most `MAX_BYTES`.
    """
    assert 0 < len(tiles) <= MAX_TILES, f"{len(tiles)} tiles"
    data = b""
    for tile_px in (TILE_PX, TILE_PX * 3 // 4, TILE_PX // 2, TILE_PX // 4):
        page = _draw(tiles, layout, tile_px)
        for quality in QUALITIES:
            stream = BytesIO()
            page.save(stream, "JPEG", quality=quality, comment=key.encode())
            data = stream.getvalue()
            if len(data) <= MAX_BYTES:
                return data
    raise AssertionError(f"{len(tiles)} tiles take {len(data):,} bytes at their smallest: draw fewer")


def key_of(data: bytes) -> str | None:
    """The key that a sheet was made with; None where this is no whole sheet."""
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            comment = image.info.get("comment", b"")
            return comment.decode() if isinstance(comment, bytes) else str(comment)
    except (OSError, SyntaxError, ValueError):
        return None


def thumbnail(picture: Image.Image, side_px: int = TILE_PX) -> Image.Image:
    """A copy that fits into a square, mode RGB."""
    small = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return small


def smaller(data: bytes) -> bytes:
    """A sheet as what is loaded with all definitions can hold it: at most `SMALL_BYTES`."""
    with Image.open(BytesIO(data)) as image:
        image.load()
    for width in (SMALL_PX, SMALL_PX // 2, SMALL_PX // 4):
        small = thumbnail(image, width)
        for quality in QUALITIES:
            stream = BytesIO()
            small.save(stream, "JPEG", quality=quality)
            if stream.tell() <= SMALL_BYTES:
                return stream.getvalue()
    raise AssertionError(f"{SMALL_PX // 4} pixels take more than {SMALL_BYTES:,} bytes")


def inline(data: bytes, name: str) -> str:
    """A JPEG as Markdown that holds all of it."""
    return f"![{name}](data:image/jpeg;base64,{base64.b64encode(data).decode()})"


def _draw(tiles: Sequence[Tile], layout: Layout, tile_px: int) -> Image.Image:
    width = tile_px * (2 if any(tile.beside is not None for tile in tiles) else 1)
    font, line_px = ImageFont.load_default(layout.font_px), layout.font_px + LEADING_PX
    notes = [lines(tile.note, width, font, layout.note_lines) for tile in tiles]
    height = tile_px + (1 + max(map(len, notes))) * line_px + 2
    columns = min(layout.columns, len(tiles))
    size = (
        columns * (width + GAP_PX) + GAP_PX,
        math.ceil(len(tiles) / columns) * (height + GAP_PX) + GAP_PX,
    )
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    for at, (tile, note) in enumerate(zip(tiles, notes, strict=True)):
        row, column = divmod(at, columns)
        left, top = GAP_PX + column * (width + GAP_PX), GAP_PX + row * (height + GAP_PX)
        _paste(page, tile, left, top, tile_px)
        draw.text((left, top + tile_px + 2), fitting(tile.title, width, font), RED if tile.is_bad else INK, font)
        for line, text in enumerate(note, 1):
            draw.text((left, top + tile_px + 2 + line * line_px), text, GRAY, font)
    return page


def _paste(page: Image.Image, tile: Tile, left: int, top: int, tile_px: int) -> None:
    if tile.picture is None:
        frame = (left, top, left + tile_px - 1, top + tile_px - 1)
        ImageDraw.Draw(page).rectangle(frame, outline="#ddddd8")
        ImageDraw.Draw(page).text((left + 8, top + tile_px // 2 - 7), "not read", GRAY, ImageFont.load_default(11))
        return
    small = thumbnail(tile.picture, tile_px)
    if tile.crops:
        small = with_crops_framed(small, tile.crops)
    page.paste(small, (left + (tile_px - small.width) // 2, top + tile_px - small.height))
    if tile.beside is not None:
        other = thumbnail(tile.beside, tile_px)
        page.paste(other, (left + tile_px + (tile_px - other.width) // 2, top + tile_px - other.height))


def with_crops_framed(picture: Image.Image, crops: tuple[Box, ...]) -> Image.Image:
    """What the crops leave out is faded, the rest has a frame."""
    width, height = picture.size
    faded = Image.blend(picture, Image.new("RGB", picture.size, PAPER), SHADE)
    for crop in crops:
        left, top = round(crop[0] * width), round(crop[1] * height)
        box = (left, top, max(round(crop[2] * width), left + 1), max(round(crop[3] * height), top + 1))
        faded.paste(picture.crop(box), box)
        ImageDraw.Draw(faded).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline="#e4572e", width=2)
    return faded


def lines(text: str, width: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", most: int) -> list[str]:
    """A text in lines no wider than that, at least one; of what the last can't hold the middle is left out."""
    words, found = text.split(), list[str]()
    while words and len(found) < most - 1:
        count = 1
        while count < len(words) and font.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        found.append(fitting(" ".join(words[:count]), width, font))
        words = words[count:]
    return [*found, fitting(" ".join(words), width, font)] if words or not found else found


def fitting(text: str, width: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> str:
    """A line of text no wider than that: of a longer one the middle is left out, as files differ at their ends."""
    line = " ".join(text.split())
    for kept in range(len(line) - 1, 0, -1):
        if font.getlength(line) <= width:
            break
        tail = min(TAIL_CHARACTERS, kept // 2)
        whole = " ".join(text.split())
        line = f"{whole[: kept - tail]}…{whole[len(whole) - tail :]}"
    return line

"""One picture of all samples: each original with its crop drawn, the size that is encoded, and its caption."""

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any

import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 6
EDGE_PX = 250  # of the square that an original is fitted into
GAP_PX = 22
TEXT_PX = 78
HEAD_PX = 92
CAPTION_CHARACTERS = 38
CAPTION_LINES = 3
PAPER, INK, FAINT, CROP = "#fafaf8", "#1c1c1c", "#76766f", "#e4572e"
SHADE = 0.62  # of what the crop leaves out, towards the paper


def write(training_set: Path, originals: Sequence[bytes], title: str, to: Path) -> None:
    """Draw the samples of `training_set.parquet`.

    Args:
        originals: the pictures' bytes, by row of the split.
    """
    samples = pq.read_table(training_set).to_pylist()
    num_rows = math.ceil(len(samples) / COLUMNS)
    size = (COLUMNS * (EDGE_PX + GAP_PX) + GAP_PX, HEAD_PX + num_rows * (EDGE_PX + TEXT_PX + GAP_PX))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, 20), title, INK, ImageFont.load_default(26))
    legend = "the part of each original that is encoded, in a frame; the size at which it is encoded; its caption"
    draw.text((GAP_PX, 54), legend, FAINT, ImageFont.load_default(15))
    for position, sample in enumerate(samples):
        row, column = divmod(position, COLUMNS)
        left, top = GAP_PX + column * (EDGE_PX + GAP_PX), HEAD_PX + row * (EDGE_PX + TEXT_PX + GAP_PX)
        framed = _framed(originals[sample["row"]], sample)
        sheet.paste(framed, (left, top + EDGE_PX - framed.height))
        _write_below(draw, sample, left, top + EDGE_PX + 6)
    sheet.save(to)


def _framed(original: bytes, sample: dict[str, Any]) -> Image.Image:
    """The original, small, with what the crop leaves out faded and a frame around the rest."""
    image = Image.open(BytesIO(original)).convert("RGB")
    image.thumbnail((EDGE_PX, EDGE_PX), Image.Resampling.LANCZOS)
    across = image.width / sample["intermediary_size"][0]
    down = image.height / sample["intermediary_size"][1]
    (top, left), (width, height) = sample["crop_top_left"], sample["target_size"]
    box = (
        max(round(left * across), 0),
        max(round(top * down), 0),
        min(round((left + width) * across), image.width),
        min(round((top + height) * down), image.height),
    )
    faded = Image.blend(image, Image.new("RGB", image.size, PAPER), SHADE)
    faded.paste(image.crop(box), box)
    ImageDraw.Draw(faded).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=CROP, width=2)
    return faded


def _write_below(draw: ImageDraw.ImageDraw, sample: dict[str, Any], left: int, top: int) -> None:
    width, height = sample["target_size"]
    draw.text((left, top), f"{width} x {height}", CROP, ImageFont.load_default(14))
    original = "from {} x {}".format(*sample["original_size"])
    draw.text((left + EDGE_PX, top), original, FAINT, ImageFont.load_default(14), anchor="ra")
    lines = wrap(sample["captions"][0], CAPTION_CHARACTERS, max_lines=CAPTION_LINES, placeholder=" …")
    draw.multiline_text((left, top + 19), "\n".join(lines), INK, ImageFont.load_default(13), spacing=3)

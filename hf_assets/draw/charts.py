"""Charts as SVG. Those for Markdown are small enough that the page draws them in its table, and not behind a link."""

import base64
from collections.abc import Sequence
from html import escape

import numpy as np

from hf_assets import inert

# The page draws Markdown of less than this in place; longer text hides behind a link.
INLINE_CHARACTERS = 1000
BAR, DROPPED, FAINT = "#4f43dd", "#d9534f", "#888"

MAX_ROWS = 10
NUM_BINS = 20
LABEL_CHARACTERS = 18


def bars(counts: Sequence[tuple[str, int]], max_rows: int = MAX_ROWS, colours: Sequence[str] = ()) -> str:
    """Horizontal bars with their names and numbers, in the order given; what is beyond `max_rows` is one bar.

    Args:
        colours: of the bars in turn, the last one of all that follow; without them all look alike.
    """
    rows, rest = list(counts[:max_rows]), counts[max_rows:]
    if rest:
        rows.append((f"{len(rest):,} more", sum(count for _, count in rest)))
    longest = max((count for _, count in rows), default=0) or 1
    texts, paths = [], dict.fromkeys(colours or (BAR,), "")
    for at, (name, count) in enumerate(rows):
        # a name and its number in one element: each costs thrice the characters that it shows
        texts.append(f'<text y="{at * 16 + 11}">{escape(inert.text(_short(name)))}: {count:,}</text>')
        if width := max(round(150 * count / longest), 1 if count else 0):
            colour = colours[min(at, len(colours) - 1)] if colours else BAR
            paths[colour] += f"M160 {at * 16 + 2}h{width}v11h-{width}z"
    drawn = [f'<path d="{path}" fill="{colour}"/>' for colour, path in paths.items() if path]
    return _svg(312, max(len(rows), 1) * 16, texts, drawn)


def histogram(values: np.ndarray, num_bins: int = NUM_BINS, unit: str = "", times: np.ndarray | None = None) -> str:
    """How many whole numbers fall into each of equal bins, from the smallest to the largest.

    Args:
        times: how often each number is there; once, if not given.
    """
    if not len(values):
        return _svg(100, 16, ['<text y="11">none</text>'], [])
    low, high = int(values.min()), int(values.max())
    step = max(-(-(high - low + 1) // num_bins), 1)
    counts = np.bincount((values.astype(np.int64) - low) // step, times)
    width = max(round(240 / len(counts)), 2)
    tallest = int(counts.max())
    tops = [max(round(60 * int(count) / tallest), 1 if count else 0) for count in counts]
    path = "".join(f"M{at * width} 74v-{top}h{width - 1}v{top}" for at, top in enumerate(tops) if top)
    right = len(counts) * width
    texts = [f'<text y="9">most: {tallest:,}</text>', f'<text y="86">{low:,}{escape(inert.text(unit))}</text>']
    if high > low:
        texts.append(f'<text x="{max(right, 120)}" y="86" text-anchor="end">{high:,}</text>')
    return _svg(max(right, 120), 88, texts, [f'<path d="{path}" fill="{BAR}"/>'])


def inline(svg: str, name: str) -> str:
    """A chart as Markdown that holds all of it."""
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def inline_bars(counts: Sequence[tuple[str, int]], name: str, colours: Sequence[str] = ()) -> str:
    """`bars` as Markdown, with as many bars as the page draws in place."""
    for max_rows in range(MAX_ROWS, 0, -1):
        text = inline(bars(counts, max_rows, colours), name)
        if len(text) < INLINE_CHARACTERS:
            return text
    return text


def inline_histogram(values: np.ndarray, name: str, unit: str = "", times: np.ndarray | None = None) -> str:
    """`histogram` as Markdown, with as many bins as the page draws in place."""
    for num_bins in range(NUM_BINS, 0, -2):
        text = inline(histogram(values, num_bins, unit, times), name)
        if len(text) < INLINE_CHARACTERS:
            return text
    return text


def _short(name: str) -> str:
    printable = "".join(character for character in name if character.isprintable())  # XML knows no control characters
    return printable if len(printable) <= LABEL_CHARACTERS else f"{printable[: LABEL_CHARACTERS - 1]}…"


def _svg(width: int, height: int, texts: Sequence[str], shapes: Sequence[str]) -> str:
    # gray is read on the page's light and dark ground alike
    style = f'fill="{FAINT}" font-family="sans-serif" font-size="10"'
    content = "".join((*texts, *shapes))
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>{content}</svg>'

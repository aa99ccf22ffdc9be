"""A dataset's report as one HTML file that loads nothing but what lies beside it.

Its only script is the gallery's, which the file's policy knows by its hash: nothing that a
dataset holds can be another.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_assets import inert

STYLE, SCRIPT = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("report.css", "gallery.js"))
# What a browser may do with the file, whatever a caption holds. The gallery's script may load others.
_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; "
    "img-src data: 'self' file:; media-src 'self' file:"
)
SCRIPT_POLICY = f"script-src 'sha256-{_HASH}' 'strict-dynamic'"
# The number of lines that a table shows, and of characters of a text.
MAX_LINES = 500
MAX_CHARACTERS = 2_000
MAX_BARS, MAX_BINS = 60, 40
# Of a fact above all: characters that need a line of their own.
LONG = 24


class Table(NamedTuple):
    """Rows of values, shown as text; numbers stand at the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


class Bars(NamedTuple):
    """Counts with their names, each with a bar; what is beyond `MAX_BARS` is one.

    Attributes:
        is_bad: of which more isn't better.
        total: that each count is a share of, which is then said too.
    """

    counts: Sequence[tuple[str, int]]
    is_bad: bool = False
    title: str = ""
    total: int | None = None


class Histogram(NamedTuple):
    """How many whole numbers fall into each of equal bins.

    Attributes:
        unit: what is counted: ` characters`.
        times: how often each number is there; None: once.
    """

    values: np.ndarray
    unit: str = ""
    title: str = ""
    times: np.ndarray | None = None


class Jpeg(NamedTuple):
    """A picture's bytes."""

    data: bytes
    alt: str


class Pair(NamedTuple):
    """Two pictures to compare, each with its own name, and what is said of both."""

    one: Jpeg
    other: Jpeg
    says: str


class Pairs(NamedTuple):
    """Pairs in rows."""

    pairs: Sequence[Pair]


class Gallery(NamedTuple):
    """All samples, which the page's script loads.

    Attributes:
        data: what the script reads first: JSON.
        without: the picture to see where no script runs.
    """

    data: Mapping[str, Any]
    without: Jpeg | None = None


class Details(NamedTuple):
    """What is folded away at first."""

    title: str
    parts: Sequence["Part"]


class Group(NamedTuple):
    """Parts that stand below each other, beside others."""

    parts: Sequence["Part"]


class Lines(NamedTuple):
    """A short list below a title."""

    title: str
    lines: Sequence[str]


Part = str | Group | Lines | Table | Bars | Histogram | Jpeg | Pairs | Gallery | Details


class Section(NamedTuple):
    """A heading and what stands below it.

    Attributes:
        is_wide: its parts stand below each other, over the whole width.
    """

    title: str
    parts: Sequence[Part]
    is_wide: bool = False


class Head(NamedTuple):
    """What stands above all.

    Attributes:
        facts: names and values.
        parts: what else is said.
    """

    title: str
    subtitle: str
    facts: Mapping[str, str] = {}
    parts: Sequence[Part] = ()


def page(head: Head, sections: Sequence[Section]) -> str:
    """The whole file. All text is escaped, so that it shows as it is."""
    has_script = any(isinstance(part, Gallery) for section in sections for part in section.parts)
    links = "".join(f'<a href="#s{at}">{_text(section.title)}</a>' for at, section in enumerate(sections))
    facts = "".join(map(_fact, head.facts.items()))
    body = "\n".join(_section(at, section) for at, section in enumerate(sections))
    policy = f"{POLICY}; {SCRIPT_POLICY}" if has_script else POLICY
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(head.title)}</title>
<style>{STYLE}</style>
<header>
<h1>{_text(head.title)}</h1>
<p class="soft">{_text(head.subtitle)}</p>
<dl>{facts}</dl>
{_parts(head.parts)}
</header>
<nav aria-label="Sections">{links}</nav>
<main>
{body}
</main>
{f"<script>{SCRIPT}</script>" if has_script else ""}
</html>
"""


def _fact(fact: tuple[str, str]) -> str:
    """A name and its value; a long one takes a line of its own."""
    name, value = fact
    kind = ' class="long"' if len(value) > LONG else ""
    return f"<div{kind}><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"


def _section(at: int, section: Section) -> str:
    inner = _parts(section.parts)
    if not section.is_wide:
        inner = f'<div class="columns">{"".join(f"<div>{_part(part)}</div>" for part in section.parts)}</div>'
    return f'<section aria-labelledby="s{at}"><h2 id="s{at}">{_text(section.title)}</h2>\n{inner}</section>'


def _parts(parts: Sequence[Part]) -> str:
    return "\n".join(map(_part, parts))


def _part(part: Part) -> str:
    if isinstance(part, Group):
        return f"<div>{_parts(part.parts)}</div>"
    if isinstance(part, Lines):
        items = "".join(f"<li>{_text(line)}</li>" for line in part.lines)
        return f"{_title(part.title)}<ul>{items}</ul>"
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Bars):
        return _bars(part)
    if isinstance(part, Histogram):
        return _histogram(part)
    if isinstance(part, Jpeg):
        return f"<figure>{_image(part)}</figure>"
    if isinstance(part, Pairs):
        return f'<div class="pairs">{"".join(map(_pair, part.pairs))}</div>'
    if isinstance(part, Gallery):
        return _gallery(part)
    if isinstance(part, Details):
        return f"<details><summary>{_text(part.title)}</summary>{_parts(part.parts)}</details>"
    return f"<p>{_text(part)}</p>"


def _image(picture: Jpeg) -> str:
    return f'<img alt="{_text(picture.alt)}" src="data:image/jpeg;base64,{base64.b64encode(picture.data).decode()}">'


def _pair(pair: Pair) -> str:
    sides = "".join(f"<span>{_image(one)}<small>{_text(one.alt)}</small></span>" for one in (pair.one, pair.other))
    return f"<figure><div>{sides}</div><figcaption>{_text(pair.says)}</figcaption></figure>"


def _table(table: Table) -> str:
    are_numbers = [isinstance(value, int | float) for value in (table.rows[0] if table.rows else table.head)]
    head = "".join(
        f'<th scope="col"{" class=number" if is_number else ""}>{_text(name)}</th>'
        for name, is_number in zip(table.head, are_numbers, strict=True)
    )
    lines = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows[:MAX_LINES]]
    if len(table.rows) > MAX_LINES:
        lines.append(f'<tr><td colspan="{len(table.head)}">and {len(table.rows) - MAX_LINES:,} more</td></tr>')
    return f'<div class="scroll"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{_text(str(value))}</td>"
    return f'<td class="number">{f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"}</td>'


def _bars(bars: Bars) -> str:
    counts = list(bars.counts[:MAX_BARS])
    if rest := bars.counts[MAX_BARS:]:
        counts.append((f"{len(rest):,} more", sum(count for _, count in rest)))
    most = max((count for _, count in counts), default=0) or 1
    kind = ' class="bad"' if bars.is_bad else ""
    lines = (
        f'<span>{_text(name)}</span><i{kind} style="width:{100 * count / most:.1f}%"></i>'
        f'<span class="number">{count:,}{_share(count, bars.total)}</span>'
        for name, count in counts
    )
    return f'{_title(bars.title)}<div class="bars">{"".join(lines)}</div>'


def _share(count: int, total: int | None) -> str:
    return "" if not total else f" · {100 * count / total:.1f} %"


def _histogram(histogram: Histogram) -> str:
    values = histogram.values.astype(np.int64)
    if not len(values):
        return f"{_title(histogram.title)}<p>none</p>"
    times = np.ones(len(values), np.int64) if histogram.times is None else histogram.times.astype(np.int64)
    low, high = int(values.min()), int(values.max())
    unit = histogram.unit.removesuffix("s") if low == 1 else histogram.unit
    if low == high:
        return f"{_title(histogram.title)}<p>{times.sum():,} with {low:,}{_text(unit)}</p>"
    step = max(-(-(high - low + 1) // MAX_BINS), 1)
    counts = np.bincount((values - low) // step, times).astype(np.int64).tolist()
    columns = "".join(
        f'<i style="height:{max(100 * count / max(counts), 1 if count else 0):.1f}%" '
        f'title="{low + at * step:,} to {min(low + (at + 1) * step - 1, high):,}: {count:,}"></i>'
        for at, count in enumerate(counts)
    )
    ends = f"<span>{low:,}{_text(unit)}</span><span>highest bar: {max(counts):,}</span><span>{high:,}</span>"
    title = _title(histogram.title)
    return f'{title}<figure class="histogram"><div>{columns}</div><figcaption>{ends}</figcaption></figure>'


def _gallery(gallery: Gallery) -> str:
    data = json.dumps(gallery.data, separators=(",", ":")).replace("<", "\\u003c")
    without = "" if gallery.without is None else _image(gallery.without)
    buttons = "".join(
        f'<button type="button" id="{name}" disabled>{name.capitalize()}</button>'
        for name in ("first", "previous", "next", "last")
    )
    return f"""<div id="gallery">
<div id="tools" hidden>
<div class="tools">
<label class="wide">Search names and captions<input type="search" id="search" autocomplete="off"></label>
<label>State<select id="state"><option value="">any</option></select></label>
<label>Bucket<select id="bucket"><option value="">any</option></select></label>
<label>Show<select id="which"><option value="">all</option></select></label>
</div>
<div class="pager"><span id="found" role="status" aria-live="polite">loading samples</span>{buttons}</div>
</div>
<ul id="cards" class="grid" aria-label="Samples"></ul>
<dialog id="sample"></dialog>
<noscript><p>Searching all samples needs a script, which this browser doesn't run. Some of them:</p>{without}</noscript>
</div>
<script type="application/json" id="gallery-data">{data}</script>"""


def _title(title: str) -> str:
    return f"<h3>{_text(title)}</h3>" if title else ""


def _text(text: str) -> str:
    return html.escape(inert.text(inert.cut(text, MAX_CHARACTERS)))

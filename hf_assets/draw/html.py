"""A dataset's report as one HTML file that loads nothing from elsewhere and runs no script."""

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

from hf_assets import inert

# What a browser may do with the file, whatever a caption holds.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fafaf8; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd } h3 { color: #76766f }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid #eee; overflow-wrap: anywhere } td.number { text-align: right;
  white-space: nowrap } img { max-width: 100% } svg { min-width: 26rem; height: auto }
"""
# The number of lines that a table shows, and of characters of a text.
MAX_LINES = 500
MAX_CHARACTERS = 2_000


class Table(NamedTuple):
    """Rows of values, shown as text; numbers stand at the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


class Svg(NamedTuple):
    """A chart of `draw.charts`."""

    source: str


class Jpeg(NamedTuple):
    """A picture's bytes."""

    data: bytes
    alt: str


class Section(NamedTuple):
    """A heading and what stands below it: text, tables, charts, pictures."""

    title: str
    parts: Sequence["str | Table | Svg | Jpeg"]


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole file. All text is escaped, so that it shows as it is."""
    body = "\n".join(f"<h2>{_text(section.title)}</h2>\n{_parts(section)}" for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{_text(title)}</title>
<style>{STYLE}</style>
<h1>{_text(title)}</h1>
<p>{_text(subtitle)}</p>
{body}
</html>
"""


def _parts(section: Section) -> str:
    return "\n".join(_part(part) for part in section.parts)


def _part(part: "str | Table | Svg | Jpeg") -> str:
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Svg):
        return f'<p><img alt="" width="624" src="data:image/svg+xml;base64,{_base64(part.source.encode())}"></p>'
    if isinstance(part, Jpeg):
        return f'<p><img alt="{_text(part.alt)}" src="data:image/jpeg;base64,{_base64(part.data)}"></p>'
    return f"<p>{_text(part)}</p>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in table.head)
    lines = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows[:MAX_LINES]]
    if len(table.rows) > MAX_LINES:
        lines.append(f'<tr><td colspan="{len(table.head)}">and {len(table.rows) - MAX_LINES:,} more</td></tr>')
    return f"<table><tr>{head}</tr>\n" + "\n".join(lines) + "</table>"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{_text(str(value))}</td>"
    return f'<td class="number">{f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"}</td>'


def _text(text: str) -> str:
    return html.escape(inert.text(inert.cut(text, MAX_CHARACTERS)))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

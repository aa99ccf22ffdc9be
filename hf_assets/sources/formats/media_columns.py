"""Which columns of a file hold its rows' media, where the config names several, one of a list, or none.

- `jpg|png`, a list in the config: of each row, the first that holds something. Files may have one of them each.
- `images[0]`: one of a list's media, from 0. A row whose list is shorter holds none.
- The default names (`image`, `video`, `audio`), where no column is called so: the columns called as files of that kind
  end, as WebDataset has them (`jpg`, `png`, `0.jpg`).
"""

import re
from typing import NamedTuple

import pyarrow as pa

from hf_assets.sources.spec import MEDIA_SUFFIXES

SEPARATOR = "|"
ELEMENT = re.compile(r"(.+)\[(\d+)\]")


class Choice(NamedTuple):
    """A top-level column, and which of its list's media."""

    column: str
    element: int | None = None


def chosen(column: str, arrow: pa.Schema) -> list[Choice]:
    """The columns of a file that may hold a row's media, in the order in which they are looked at; none where none is.

    Args:
        column: as the config names it; of a list, its items with `SEPARATOR` between.
    """
    if column in arrow.names:
        return [Choice(column)]
    found = []
    for name in column.split(SEPARATOR):
        if name in arrow.names:
            found.append(Choice(name))
        elif (indexed := ELEMENT.fullmatch(name)) and indexed[1] in arrow.names:
            found.append(Choice(indexed[1], int(indexed[2])))
    if not found and column in MEDIA_SUFFIXES:
        found = [
            Choice(name) for name in arrow.names if f".{name.rsplit('.', 1)[-1].lower()}" in MEDIA_SUFFIXES[column]
        ]
    return found

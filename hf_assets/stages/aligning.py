"""Tables of rows in the split's order, side by side, a bounded number of rows at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Gives all rows of a table, in tables of bounded size, of which there is at least one. It is called again for each
# pass; with the names of some columns, it gives these.
Tables = Callable[..., Iterator[pa.Table]]

# No row has a larger number.
END = 2**63 - 1


class Cursor:
    """Rows in the split's order, taken as far as those of another table have come."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._waiting = next(tables)
        self._nothing = self._waiting.slice(0, 0)

    def until(self, row: int) -> pa.Table:
        """The next rows, up to the one with this number, if it is there."""
        taken = [self._nothing]
        while True:
            below = int(self._waiting["row"].to_numpy().searchsorted(row, side="right"))
            taken.append(self._waiting.slice(0, below))
            if below < len(self._waiting):
                self._waiting = self._waiting.slice(below)
                break
            following = next(self._tables, None)
            if following is None:
                self._waiting = self._nothing
                break
            self._waiting = following
        return pa.concat_tables(taken)

    def rest(self) -> Iterator[pa.Table]:
        """All that is left, in tables of which there is at least one."""
        yield self._waiting
        yield from self._tables


def side_by_side(first: Iterator[pa.Table], *others: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, ...]]:
    """Each of the first tables, with the rows of the others up to its last row. What comes after that is left out."""
    cursors = list(map(Cursor, others))
    last = -1
    for table in first:
        last = table["row"][-1].as_py() if len(table) else last
        yield table, *(cursor.until(last) for cursor in cursors)


def only(rows: pa.Table, wanted: pa.Table) -> pa.Table:
    """Those rows that another table has, too."""
    return rows.filter(pc.is_in(rows["row"], value_set=wanted["row"].combine_chunks()))


def rows_at(tables: Iterator[pa.Table], positions: Any) -> pa.Table:
    """The rows at some positions.

    Args:
        positions: (N,) int64, ascending.
    """
    start, found = 0, []
    for table in tables:
        low, high = positions.searchsorted([start, start + len(table)])
        found.append(table.take(pa.array(positions[low:high] - start)))
        start += len(table)
    return pa.concat_tables(found)

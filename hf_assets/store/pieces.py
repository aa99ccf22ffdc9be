"""Pieces of tables: rows of one stretch of the split, in a row group of their own that the next table may take over.

A table of rows has a piece for each `fingerprint.HASHED_ROWS` rows of the split: piece 2 holds those of them that the
table has. So a piece of one table follows from the pieces with the same number of those that it is made from, and where
these are as they were, it is taken over as it is. Tables without a number of the row have a piece for as many rows.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files, fingerprint
from hf_assets.blobs import Location
from hf_assets.store import row_groups
from hf_assets.store.row_groups import RowGroup

# Of a table's metadata: its pieces.
PIECES = b"hf_assets.pieces"


class Piece(NamedTuple):
    """Part of a table.

    Attributes:
        hash: of its rows, as far as they make the table's data version; empty where it has none.
        key: hash of all that it follows from; None where that isn't known.
    """

    number: int
    num_rows: int
    hash: str
    key: str | None = None


def version_of(arrow: pa.Schema, pieces: Iterable[Piece]) -> str:
    """The data version of a table: of what it holds, not of how it came about.

    Args:
        arrow: the columns that make it.
    """
    held = [[piece.number, piece.num_rows, piece.hash] for piece in pieces if piece.num_rows]
    return fingerprint.of_value([fingerprint.TableHash(arrow).hexdigest(), held])


class PiecedFile(contextlib.AbstractContextManager["PiecedFile"]):
    """A table that was published, of which single pieces are read or taken over.

    Attributes:
        pieces: by their numbers.
        schema: of the table.
        metadata: what the table says of itself.
    """

    def __init__(self, file: BinaryIO) -> None:
        """
        Args:
            file: as `files.write_table` writes it, whole.

        Raises:
            KeyError, ValueError: it doesn't say what its pieces are.
        """
        self._file = file
        self._footer = row_groups.footer_of(file)
        self._table = pq.ParquetFile(file)
        self.metadata: Mapping[bytes, bytes] = dict(self._table.metadata.metadata or {})
        self.schema = self._table.schema_arrow
        found = [Piece(*one) for one in json.loads(self.metadata[PIECES])]
        self.pieces = {piece.number: piece for piece in found}
        held = [piece.number for piece in found if piece.num_rows]
        self._places = {number: at for at, number in enumerate(held)}
        if len(held) != self._table.metadata.num_row_groups:
            raise ValueError("pieces are row groups")
        self._groups: list[RowGroup] | None = None

    def find(self, number: int, key: str | None) -> Piece | None:
        """The piece with this number, if it follows from just this."""
        found = self.pieces.get(number)
        return found if key is not None and found is not None and found.key == key else None

    def read(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a piece; none where the table has no such piece."""
        wanted = None if columns is None else list(columns)
        if number not in self._places:
            empty = self.schema.empty_table()
            return empty if wanted is None else empty.select(wanted)
        return self._table.read_row_group(self._places[number], wanted, use_threads=False)

    def packed(self, number: int) -> tuple[bytes, RowGroup]:
        """A piece that has rows, as it lies in the file."""
        if self._groups is None:
            self._groups = row_groups.row_groups_of(self._footer)
        group = self._groups[self._places[number]]
        self._file.seek(group.start)
        return self._file.read(group.stop - group.start), group

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        self._file.close()


def open_pieces(location: Location) -> PiecedFile | None:
    """A table by its pieces; None where there is none, where it is damaged, or where an earlier release wrote it."""
    with contextlib.ExitStack() as stack:
        try:
            if isinstance(location, Path):
                file: Any = stack.enter_context(location.open("rb"))
                if not files.is_whole_open(file):
                    return None
            else:
                data = location.read_bytes()
                if not files.is_whole_table(memoryview(data)):
                    return None
                file = io.BytesIO(data)
            found = PiecedFile(file)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            return None
        stack.pop_all()
        return found


def cut(rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Rows in the split's order, by the number of the piece in which they belong."""
    numbers = rows["row"].to_numpy() // fingerprint.HASHED_ROWS
    start = 0
    while start < len(rows):
        number = int(numbers[start])
        stop = int(numbers.searchsorted(number, side="right"))
        yield number, rows.slice(start, stop - start)
        start = stop

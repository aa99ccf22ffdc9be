"""A table that is written while it is made: what makes it needn't hold its rows, nor does who publishes it."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa

from hf_assets import files, fingerprint
from hf_assets.blobs import Location
from hf_assets.fingerprint import Pieces
from hf_assets.store import pieces
from hf_assets.store.pieces import PIECES, Piece, PiecedFile
from hf_assets.store.row_groups import RowGroupWriter


class Over(NamedTuple):
    """What a draft takes over.

    Attributes:
        table: that has it.
        kept: numbers of pieces, ascending, none of which comes among the rows that are added.
        keys: of all pieces, what they follow from.
    """

    table: PiecedFile | None
    kept: Sequence[int]
    keys: Mapping[int, str]


class DraftTable:
    """Rows are added, in order; then the table is published: only then anybody sees it, as a whole.

    A draft that isn't published leaves nothing.

    Attributes:
        path: where the table will lie.
        num_rows: that were added, or are taken over.
    """

    def __init__(
        self,
        path: Location,
        identity: Sequence[str] | None = None,
        *,
        by_row: bool = False,
        but: Sequence[str] = (),
        over: Over | None = None,
    ) -> None:
        """
        Args:
            identity: the columns that make its data version; None: all. Where a tensor lies is not part of what it is.
                Empty: it has its version from elsewhere.
            but: columns that don't.
            by_row: its `row` ascends, and says in which piece a row belongs (`store.pieces`).
            over: pieces that are taken over, each in its place.
        """
        self.path = path
        self._over = over = over or Over(None, (), {})
        self.num_rows = 0 if over.table is None else sum(over.table.pieces[number].num_rows for number in over.kept)
        self._identity, self._but = identity, but
        self._by_row = by_row
        self._schema: pa.Schema | None = None
        self._metadata: dict[bytes, bytes] = {}
        self._version: str | None = None
        self._open = contextlib.ExitStack()
        self._pieces: list[Piece] = []
        self._counted = Pieces()
        self._waiting: list[pa.Table] = []
        self._number = 0
        self._num_kept = 0
        self._is_complete = False

    @classmethod
    def of(cls, path: Location, table: pa.Table, identity: Sequence[str] | None = None) -> Self:
        """A draft with the rows of a table."""
        draft = cls(path, identity)
        draft.add(table)
        return draft

    @property
    def schema(self) -> pa.Schema:
        if self._schema is None:
            assert self._over.table is not None, "rows are added first, if only none of them"
            return self._over.table.schema
        return self._schema

    def add(self, rows: pa.Table, number: int | None = None) -> None:
        """The next rows. The first ones decide about the schema; they may be none.

        Args:
            number: of the piece in which all of them belong, where they have no `row` that says so.

        Raises:
            StoreError: there is no room for them.
        """
        if self._schema is None:
            self._begin(rows.schema)
        self.num_rows += len(rows)
        rows = rows.replace_schema_metadata(self.schema.metadata).cast(self.schema)
        if not self._by_row:
            for piece in self._counted.add(rows):
                self._write(piece)
            return
        for at, some in pieces.cut(rows) if number is None else [(number, rows)]:
            if at != self._number:
                self._write_waiting()
                assert at > self._number, "rows come in the order of their numbers"
                self._keep_below(at)
                self._number = at
            self._waiting.append(some)

    def _keep_below(self, number: int | None) -> None:
        """Take over the pieces below one, or all that are left."""
        over = self._over
        while self._num_kept < len(over.kept) and (number is None or over.kept[self._num_kept] < number):
            assert over.table is not None, "a table has what is taken over"
            self._keep(over.table, over.table.pieces[over.kept[self._num_kept]])
            self._num_kept += 1

    def _keep(self, table: PiecedFile, piece: Piece) -> None:
        if self._schema is None:
            self._begin(table.schema)
        assert table.schema.equals(self.schema), "rows of another table don't fit"
        self._write_waiting()
        if piece.num_rows:
            data, group = table.packed(piece.number)
            with files.explain_refusals(self._temporary_place):
                self._writer.copy(data, group)
        self._pieces.append(piece)
        self._number = piece.number + 1

    def complete(self) -> None:
        """Nothing is added after that, and nothing more is read of what is taken over.

        Raises:
            StoreError: there is no room for it.
        """
        if self._is_complete:
            return
        self._is_complete = True
        if self._schema is None and self._over.table is not None:
            self._begin(self._over.table.schema)
        self._write_waiting()
        self._keep_below(None)
        if self._by_row:
            there = {piece.number: piece for piece in self._pieces}
            numbers = sorted({*there, *self._over.keys})
            found = (there.get(number, Piece(number, 0, "")) for number in numbers)
            self._pieces = [piece._replace(key=self._over.keys.get(piece.number)) for piece in found]

    def _begin(self, arrow: pa.Schema) -> None:
        self._schema = arrow
        names = arrow.names if self._identity is None else self._identity
        self._hashed = pa.schema([arrow.field(name) for name in names if name not in self._but])
        self._temporary = self._open.enter_context(files.open_table(self.path))
        self._file = self._open.enter_context(pa.OSFile(str(self._temporary), "wb"))
        self._writer = RowGroupWriter(self._file, arrow)

    def _write_waiting(self) -> None:
        """What is left of the piece that is being made."""
        for piece in self._counted.end():
            self._write(piece)
        if sum(map(len, self._waiting)):
            self._write(pa.concat_tables(self._waiting))
        self._waiting = []

    def _write(self, rows: pa.Table) -> None:
        number = self._number
        if not self._by_row:
            self._number += 1
        state = fingerprint.TableHash(self._hashed) if self._hashed.names else None
        if state is not None:
            state.add(rows)
        with files.explain_refusals(self._temporary_place):
            self._writer.write(rows)
        self._pieces.append(Piece(number, len(rows), "" if state is None else state.hexdigest()))

    @property
    def _temporary_place(self) -> Path:
        return self.path if isinstance(self.path, Path) else self._temporary

    @property
    def version(self) -> str:
        """Hash of the content (`pieces.version_of`). Nothing is added after that."""
        if self._version is None:
            assert self._hashed.names, "it has its version from elsewhere"
            self.complete()
            self._version = pieces.version_of(self._hashed, self._pieces)
        return self._version

    @property
    def pieces(self) -> list[Piece]:
        """Of the table. Nothing is added after that."""
        self.complete()
        return self._pieces

    def describe(self, metadata: Mapping[bytes, bytes]) -> None:
        """Give the schema other metadata than the first rows or the first piece had."""
        self.complete()
        self._schema = self.schema.with_metadata(metadata)
        self._writer.schema = self._schema

    def note(self, metadata: Mapping[bytes, str]) -> None:
        """What the table is to say of itself (`files.metadata_of`), beside what its schema says."""
        self._metadata |= {key: value.encode() for key, value in metadata.items()}

    def publish(self) -> None:
        """Put the table in its place.

        Raises:
            StoreError: there is no room for it, or it may not be written.
        """
        self.complete()
        self._metadata[PIECES] = json.dumps(self._pieces, separators=(",", ":")).encode()
        with files.explain_refusals(self._temporary_place):
            self._writer.close(self._metadata)
            self._file.close()
        self._open.close()

    def discard(self) -> None:
        """Leave what is there."""
        with contextlib.suppress(_Discarded):
            self._open.__exit__(_Discarded, _Discarded(), None)


class _Discarded(Exception):
    """A draft is not wanted."""

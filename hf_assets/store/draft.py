"""A table that is written while it is made: what makes it needn't hold its rows, nor does who publishes it."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa

from hf_assets import files, fingerprint
from hf_assets.blobs import Location
from hf_assets.fingerprint import Pieces
from hf_assets.store import pieces
from hf_assets.store.pieces import PIECES, Piece, PiecedFile
from hf_assets.store.row_groups import RowGroupWriter


class DraftTable:
    """Rows are added, in order; then the table is published: only then anybody sees it, as a whole.

    A draft that isn't published leaves nothing.

    Attributes:
        path: where the table will lie.
        num_rows: that were added.
    """

    def __init__(self, path: Location, identity: Sequence[str] | None = None, *, by_row: bool = False) -> None:
        """
        Args:
            identity: the columns that make its data version; None: all. Where a tensor lies is not part of what it is.
                Empty: it has its version from elsewhere.
            by_row: its `row` ascends, and says in which piece a row belongs (`store.pieces`).
        """
        self.path = path
        self.num_rows = 0
        self._identity = identity
        self._by_row = by_row
        self._schema: pa.Schema | None = None
        self._metadata: dict[bytes, bytes] = {}
        self._version: str | None = None
        self._open = contextlib.ExitStack()
        self._pieces: list[Piece] = []
        self._waiting = Pieces()
        self._number = 0

    @classmethod
    def of(cls, path: Location, table: pa.Table, identity: Sequence[str] | None = None) -> Self:
        """A draft with the rows of a table."""
        draft = cls(path, identity)
        draft.add(table)
        return draft

    @property
    def schema(self) -> pa.Schema:
        assert self._schema is not None, "rows are added first, if only none of them"
        return self._schema

    def add(self, rows: pa.Table) -> None:
        """The next rows. The first ones decide about the schema; they may be none.

        Raises:
            StoreError: there is no room for them.
        """
        if self._schema is None:
            self._begin(rows.schema)
        self.num_rows += len(rows)
        rows = rows.replace_schema_metadata(self.schema.metadata).cast(self.schema)
        if not self._by_row:
            for piece in self._waiting.add(rows):
                self._write(piece)
            return
        for number, some in pieces.cut(rows):
            if number != self._number:
                self._write_waiting()
                assert number > self._number, "rows come in the order of their numbers"
                self._number = number
            for piece in self._waiting.add(some):
                self._write(piece)

    def settle(self, number: int, key: str | None) -> None:
        """All rows of a piece were added, of which there may be none.

        Args:
            key: hash of all that they follow from.
        """
        self._write_waiting()
        if self._pieces and self._pieces[-1].number == number:
            self._pieces[-1] = self._pieces[-1]._replace(key=key)
        else:
            self._pieces.append(Piece(number, 0, "", key))
        self._number = number + 1

    def keep(self, table: PiecedFile, piece: Piece) -> None:
        """Take over a piece of an earlier table, in place of its rows.

        Raises:
            StoreError: there is no room for it.
        """
        if self._schema is None:
            self._begin(table.schema)
        assert table.schema.equals(self.schema), "rows of another table don't fit"
        self._write_waiting()
        if piece.num_rows:
            data, group = table.packed(piece.number)
            with files.explain_refusals(self._temporary_place):
                self._writer.copy(data, group)
        self.num_rows += piece.num_rows
        self._pieces.append(piece)
        self._number = piece.number + 1

    def _begin(self, arrow: pa.Schema) -> None:
        self._schema = arrow
        names = arrow.names if self._identity is None else self._identity
        self._hashed = pa.schema([arrow.field(name) for name in names])
        self._temporary = self._open.enter_context(files.open_table(self.path))
        self._file = self._open.enter_context(pa.OSFile(str(self._temporary), "wb"))
        self._writer = RowGroupWriter(self._file, arrow)

    def _write_waiting(self) -> None:
        for piece in self._waiting.end():
            self._write(piece)

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
            self._write_waiting()
            self._version = pieces.version_of(self._hashed, self._pieces)
        return self._version

    def describe(self, metadata: Mapping[bytes, bytes]) -> None:
        """Give the schema other metadata than the first rows or the first piece had."""
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
        self._write_waiting()
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

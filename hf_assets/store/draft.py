"""A table that is written while it is made: what makes it needn't hold its rows, nor does who publishes it."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files, fingerprint
from hf_assets.blobs import Location
from hf_assets.fingerprint import HASHED_ROWS, Pieces


class DraftTable:
    """Rows are added, in order; then the table is published: only then anybody sees it, as a whole.

    A draft that isn't published leaves nothing.

    Attributes:
        path: where the table will lie.
        num_rows: that were added.
    """

    def __init__(self, path: Location, identity: Sequence[str] | None = None) -> None:
        """
        Args:
            identity: the columns that make its data version; None: all. Where a tensor lies is not part of what it is.
                Empty: it has its version from elsewhere.
        """
        self.path = path
        self.num_rows = 0
        self._identity = identity
        self._schema: pa.Schema | None = None
        self._metadata: dict[bytes, bytes] = {}
        self._version: str | None = None
        self._hash: fingerprint.TableHash | None = None
        self._open = contextlib.ExitStack()
        self._pieces = Pieces()

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
        for piece in self._pieces.add(rows.replace_schema_metadata(self.schema.metadata).cast(self.schema)):
            self._write(piece)

    def _begin(self, arrow: pa.Schema) -> None:
        self._schema = arrow
        names = arrow.names if self._identity is None else self._identity
        self._hash = fingerprint.TableHash(pa.schema([arrow.field(name) for name in names])) if names else None
        self._temporary = self._open.enter_context(files.open_table(self.path))
        self._writer = pq.ParquetWriter(self._temporary, arrow, **files.PARQUET)
        self._open.callback(self._writer.close)

    def _end(self) -> None:
        for piece in self._pieces.end():
            self._write(piece)

    def _write(self, piece: pa.Table) -> None:
        if self._hash is not None:
            self._hash.add(piece)
        with files.explain_refusals(self._temporary_place):
            self._writer.write_table(piece.combine_chunks(), row_group_size=HASHED_ROWS)

    @property
    def _temporary_place(self) -> Path:
        return self.path if isinstance(self.path, Path) else self._temporary

    @property
    def version(self) -> str:
        """Hash of the content (`fingerprint.of_table`). Nothing is added after that."""
        if self._version is None:
            assert self._hash is not None, "it has its version from elsewhere"
            self._end()
            self._version = self._hash.hexdigest()
        return self._version

    def note(self, metadata: Mapping[bytes, str]) -> None:
        """What the table is to say of itself (`files.metadata_of`), beside what its schema says."""
        self._metadata |= {key: value.encode() for key, value in metadata.items()}

    def publish(self) -> None:
        """Put the table in its place.

        Raises:
            StoreError: there is no room for it, or it may not be written.
        """
        self._end()
        self._writer.add_key_value_metadata(self._metadata)
        self._open.close()

    def discard(self) -> None:
        """Leave what is there."""
        with contextlib.suppress(_Discarded):
            self._open.__exit__(_Discarded, _Discarded(), None)


class _Discarded(Exception):
    """A draft is not wanted."""

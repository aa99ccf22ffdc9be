"""Which pieces of an asset's tables are made anew, and which are taken over from its last run."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import pyarrow as pa

from hf_assets import files, fingerprint
from hf_assets.blobs import Location
from hf_assets.store.draft import DraftTable, Over
from hf_assets.store.pieces import Piece, PiecedFile, open_pieces
from hf_assets.store.table_file import TableFile


class Remaking(contextlib.AbstractContextManager["Remaking"]):
    """An asset's tables, made from others piece by piece. Each row follows from those with its number alone.

    A piece is taken over where everything that it follows from is as it was, and all tables of the asset have it.

    Attributes:
        keys: of each piece, the hash of what it follows from. Who finds that it follows from more takes it out.
        kept: numbers of the pieces that are taken over, ascending.
    """

    def __init__(
        self,
        basis: str | None,
        inputs: Sequence[TableFile],
        outputs: Sequence[Location],
        *,
        takes_over: bool = True,
        in_a_row: bool = False,
    ) -> None:
        """
        Args:
            basis: hash of all that each piece follows from beside the inputs; None: nothing is taken over, or later.
            inputs: the tables that it is made from; the first has all numbers that there are.
            outputs: where the asset's tables lie.
            takes_over: if not, nothing is taken over now.
            in_a_row: a piece follows from all before it, too.
        """
        self._basis, self._inputs, self.outputs = basis, inputs, outputs
        self._takes_over, self._in_a_row = takes_over, in_a_row
        self.keys: dict[int, str] = {}
        self.kept: list[int] = []
        self._old: dict[Location, PiecedFile] = {}
        self._drafts: list[DraftTable] = []
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._read = [self._opened(one.path) for one in self._inputs] if self._basis is not None else []
        inputs = [one for one in self._read if one is not None]
        if inputs and len(inputs) == len(self._inputs):
            before = fingerprint.of_value([self._basis, [str(one.schema.remove_metadata()) for one in inputs]])
            for number in sorted(inputs[0].pieces):
                hashes = [one.pieces[number].hash if number in one.pieces else "" for one in inputs]
                self.keys[number] = fingerprint.of_value([before, hashes])
                before = self.keys[number] if self._in_a_row else before
        if self.keys and self._takes_over:
            self._take_over()
        return self

    def _take_over(self) -> None:
        old = {path: found for path in self.outputs if (found := self._opened(path)) is not None}
        if len(old) == len(self.outputs):
            self._old = old
            self.kept = [
                number
                for number, key in sorted(self.keys.items())
                if all(table.find(number, key) is not None for table in old.values())
            ]

    def _opened(self, path: Location) -> PiecedFile | None:
        found = open_pieces(path)
        return None if found is None else self._open.enter_context(found)

    def draft(self, path: Location, identity: Sequence[str] | None = None) -> DraftTable:
        """One of the asset's tables: it takes over what is kept by itself, and is given other rows."""
        draft = DraftTable(path, identity, by_row=True, over=Over(self._old.get(path), self.kept, self.keys))
        self._drafts.append(draft)
        return draft

    def tables(self, one: TableFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of an input of which something is to be made, in tables of bounded size, at least one."""
        pieces = self._read[self._inputs.index(one)] if self._read else None
        if pieces is None:
            yield from one.tables(columns)
            return
        for number in sorted(set(pieces.pieces) - set(self.kept)) or [-1]:
            yield pieces.read(number, columns)

    def forget(self, rows: pa.ChunkedArray) -> None:
        """What is made of some rows is not to be taken over later."""
        for number in set((rows.to_numpy() // fingerprint.HASHED_ROWS).tolist()):
            self.keys.pop(number, None)

    def old_rows(self, path: Location, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A piece of one of the asset's tables as it is."""
        return self._old[path].read(number, columns)

    def rows_of(self, one: TableFile, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of an input in one piece."""
        pieces = self._read[self._inputs.index(one)]
        assert pieces is not None, "what is made of it is known by its pieces"
        return pieces.read(number, columns)

    def num_rows(self, one: TableFile, number: int) -> int:
        """How many rows an input has in one piece."""
        pieces = self._read[self._inputs.index(one)]
        assert pieces is not None, "what is made of it is known by its pieces"
        return pieces.pieces[number].num_rows

    def kept_piece(self, path: Location, number: int) -> Piece:
        """What is known of a piece of one of the asset's tables as it is."""
        return self._old[path].pieces[number]

    def in_order(
        self, made: Iterable[pa.Table], path: Location, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int | None, pa.Table]]:
        """All rows of one of the asset's tables, in the split's order.

        Args:
            made: the rows that are made anew.
            columns: of those that are taken over.

        Yields:
            The number of a piece that is taken over, or None, and rows.
        """
        waiting = iter(self.kept)
        number = next(waiting, None)
        for rows in made:
            while number is not None and len(rows) and number < rows["row"][0].as_py() // fingerprint.HASHED_ROWS:
                yield number, self.old_rows(path, number, columns)
                number = next(waiting, None)
            yield None, rows
        while number is not None:
            yield number, self.old_rows(path, number, columns)
            number = next(waiting, None)

    def metadata(self, path: Location) -> Mapping[bytes, bytes]:
        """What one of the asset's tables, as it is, says of itself."""
        return self._old[path].metadata

    def replaced_numbers(self, path: Location) -> list[int]:
        """The pieces of one of the asset's tables as it is that are not taken over, ascending; none where what it holds
        isn't known.
        """
        return sorted(set(self._old[path].pieces) - set(self.kept)) if path in self._old else []

    def replaced(self, path: Location, but: Sequence[str] = ()) -> Iterator[pa.Table] | None:
        """The rows of one of the asset's tables as it is, but for those that are taken over; None: there is none.

        Args:
            but: columns that aren't wanted.
        """
        if path not in self._old:
            return files.read_tables(path)
        old = self._old[path]
        columns = [name for name in old.schema.names if name not in but]
        numbers = self.replaced_numbers(path)
        return (old.read(number, columns) for number in numbers or [-1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if kind is None:
                for draft in self._drafts:
                    draft.complete()

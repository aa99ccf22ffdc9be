"""What the table of an encoding stage takes over from the last run: rows whose tensors are stored, as they were then.

Their keys aren't looked up again where the shards that the last table names, and what says so, are as they were: the
memo of that table shows it. So a piece is taken over that follows from the same rows as then; and of a piece that
doesn't, each row that has the same key still.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import folder, schema
from hf_assets.blobs import Location
from hf_assets.encode.lookup import KEY, Found
from hf_assets.store import memo
from hf_assets.store.memo import Memo, Rest
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore

# Of a table's metadata: how many different keys it names, and the bytes of their tensors.
STORED = b"hf_assets.stored"
# Of a table's metadata: hash of what made keys of what its rows say.
KEYED_BY = b"hf_assets.keyed_by"
_NOTHING = pa.schema([pa.field(KEY, pa.string()), schema.NUM_BYTES]).empty_table()


class Stored(NamedTuple):
    """What a whole table names.

    Attributes:
        num_keys: different ones.
        num_bytes: of their tensors.
        rests: the files that say so; None where they changed meanwhile.
    """

    num_keys: int
    num_bytes: int
    rests: tuple[Rest, ...] | None

    @property
    def noted(self) -> dict[bytes, str]:
        """For the table's metadata."""
        return {STORED: json.dumps([self.num_keys, self.num_bytes])}


class TakenOver:
    """The rows of a stage's last table that the new one takes over.

    Attributes:
        remaking: of the table.
        path: where it lies.
        is_any: whether there are any.
    """

    def __init__(
        self,
        root: Location,
        stage: str,
        column: str,
        basis: str | None,
        inputs: Sequence[TableFile],
        *,
        in_a_row: bool = False,
    ) -> None:
        """
        Args:
            root: metadata folder of the dataset.
            column: of the keys.
            in_a_row: see `Remaking`.
            basis: hash of all that decides the table beside `inputs` and what is stored; None: nothing is taken over.
        """
        self.path, self._column = folder.table(root, stage), column
        self._memo = _whole_memo(root, stage)
        self.remaking = Remaking(basis, inputs, [self.path], takes_over=self._memo is not None, in_a_row=in_a_row)
        # By piece, which of its rows have the same key still.
        self._again: dict[int, npt.NDArray[np.bool_]] = {}

    @property
    def is_any(self) -> bool:
        return bool(self.remaking.kept or self._again)

    def keyed_by(self) -> str | None:
        """`KEYED_BY` of the last table."""
        noted = self.remaking.metadata(self.path).get(KEYED_BY) if self.remaking.replaced_numbers(self.path) else None
        return None if noted is None else noted.decode()

    def replaced(self, number: int, store: TensorStore) -> pa.Table | None:
        """The rows of a piece that isn't taken over as a whole, if it is known of them what this store has."""
        is_here = self._memo is not None and any(rest.folder == store.folder for rest in self._memo.rests)
        if not is_here or number not in self.remaking.replaced_numbers(self.path):
            return None
        found = self.remaking.old_rows(self.path, number)
        return found if schema.NUM_BYTES.name in found.column_names else None  # an earlier release wrote it

    def name_again(self, number: int, old: pa.Table, at: pa.ChunkedArray) -> pa.Table:
        """Take over some rows of a piece.

        Args:
            old: the piece, as it is.
            at: their positions, which may come several times.

        Returns:
            These rows.
        """
        is_again = np.zeros(len(old), bool)
        is_again[at.to_numpy()] = True
        if is_again.any():
            self._again[number] = is_again
        return old.take(at)

    def pieces(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of the pieces that are taken over as a whole."""
        return (self.remaking.old_rows(self.path, number, columns) for number in self.remaking.kept)

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """All rows that are taken over."""
        yield from self.pieces(columns)
        for number, is_again in self._again.items():
            yield self.remaking.old_rows(self.path, number, columns).filter(pa.array(is_again))

    def keys(self) -> Iterator[pa.ChunkedArray]:
        """The keys of the rows that are taken over."""
        return (rows[self._column] for rows in self.rows([self._column]))

    def _left(self) -> Iterator[pa.Table]:
        """The rows that are not taken over: their keys and bytes."""
        for number in self.remaking.replaced_numbers(self.path):
            rows = self.remaking.old_rows(self.path, number, [self._column, "num_bytes"])
            is_again = self._again.get(number)
            yield (rows if is_again is None else rows.filter(pa.array(~is_again))).rename_columns([KEY, "num_bytes"])

    def known(self, keys: pa.Array) -> pa.Array:
        """Those of some keys that a row names which is taken over, each once."""
        if not len(keys):
            return keys
        named = (rows.filter(pc.is_in(rows, value_set=keys)) for rows in self.keys())
        return _joined(named)

    def least_with(self, keys: pa.ChunkedArray, count: int) -> pa.ChunkedArray:
        """So many keys that come first in their order, of these and of those that are taken over."""
        found = keys
        for known in self.keys():
            distinct = pc.unique(pa.chunked_array([*found.chunks, *known.chunks], pa.string()))
            found = pa.chunked_array([distinct.take(pc.select_k_unstable(distinct, count, [("", "ascending")]))])
        return found

    def with_found(self, found: Found) -> Stored:
        """What the whole table names: what is taken over, and what was found of the other rows."""
        num_keys, num_bytes = json.loads(self.remaking.metadata(self.path)[STORED])
        gone, come = _distinct(self._left()), _distinct(found.looked_up())
        gone, come = _without(gone, come[KEY]), _without(come, gone[KEY])
        known = self.known(pc.unique(pa.chunked_array([*gone[KEY].chunks, *come[KEY].chunks], pa.string())))
        gone, come = _without(gone, known), _without(come, known)
        for sign, keys in ((-1, gone), (1, come)):
            num_keys += sign * len(keys)
            num_bytes += sign * (pc.sum(keys["num_bytes"]).as_py() or 0)
        return Stored(num_keys, num_bytes, self._rests(found))

    def _rests(self, found: Found) -> tuple[Rest, ...] | None:
        assert self._memo is not None, "what is taken over was whole"
        if found.rests is None:
            return None
        shards, index = found.rests
        before = [rest.files for rest in self._memo.rests if rest.folder == shards.folder]
        return shards._replace(
            files={name: state for one in (*before, shards.files) for name, state in one.items()}
        ), index


def known(before: TakenOver | None, found: Found) -> pa.Array:
    """The keys that were found and that a row which is taken over has already."""
    if before is None or not before.is_any:
        return pa.array([], pa.string())
    return before.known(_joined(rows[KEY] for rows in found.looked_up()))


def stored(before: TakenOver | None, found: Found) -> Stored:
    """What a table names, of which some rows may be taken over, and the others were found."""
    if before is not None and before.is_any:
        return before.with_found(found)
    return Stored(found.num_keys, found.num_bytes, found.rests)


def _whole_memo(root: Location, stage: str) -> Memo | None:
    """The memo of a stage's table, if all that it names is stored as it was; None also where something had failed."""
    found = memo.load(root, stage)
    if found is None or not found.rests or any(rest.is_all for rest in found.rests):
        return None
    return found if not found.facts["quarantined"] and found.is_intact(root) else None


def _joined(columns: Iterator[pa.ChunkedArray]) -> pa.Array:
    return pc.unique(pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string()))


def _distinct(rows: Iterator[pa.Table]) -> pa.Table:
    """Keys and their bytes, each once."""
    found = pa.concat_tables([_NOTHING, *(some.select(_NOTHING.column_names) for some in rows)])
    codes = found[KEY].combine_chunks().dictionary_encode().indices.to_numpy()
    return found.take(pa.array(np.unique(codes, return_index=True)[1]))


def _without(keys: pa.Table, others: pa.Array | pa.ChunkedArray) -> pa.Table:
    values = others.combine_chunks() if isinstance(others, pa.ChunkedArray) else others
    return keys.filter(pc.invert(pc.is_in(keys[KEY], value_set=values)))

"""What the table of an encoding stage takes over from the last run: rows whose tensors are stored, as they were then.

Their keys aren't looked up again where the shards that the last table names, and what says so, are as they were: the
memo of that table shows it.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import folder
from hf_assets.blobs import Location
from hf_assets.encode import encoders
from hf_assets.encode.encoders import Encoder
from hf_assets.encode.lookup import KEY, Found
from hf_assets.store import memo
from hf_assets.store.memo import Memo, Rest
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore

# Of a table's metadata: how many different keys it names, and the bytes of their tensors.
STORED = b"hf_assets.stored"


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

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that are taken over."""
        return (self.remaking.kept_rows(self.path, number, columns) for number in self.remaking.kept)

    def keys(self) -> Iterator[pa.ChunkedArray]:
        """The keys of the rows that are taken over."""
        return (rows[self._column] for rows in self.rows([self._column]))

    def known(self, keys: pa.Array) -> pa.Array:
        """Those of some keys that a row names which is taken over, each once."""
        named = (rows.filter(pc.is_in(rows, value_set=keys)) for rows in self.keys())
        return _joined(named)

    def least_with(self, keys: pa.ChunkedArray, count: int) -> pa.ChunkedArray:
        """So many keys that come first in their order, of these and of those that are taken over."""
        found = keys
        for known in self.keys():
            distinct = pc.unique(pa.chunked_array([*found.chunks, *known.chunks], pa.string()))
            found = pa.chunked_array([distinct.take(pc.select_k_unstable(distinct, count, [("", "ascending")]))])
        return found

    def with_found(self, store: TensorStore, encoder: Encoder, found: Found) -> Stored:
        """What the whole table names: what is taken over, and what was found of the other rows."""
        num_keys, num_bytes = json.loads(self.remaking.metadata(self.path)[STORED])
        old = _joined(rows[self._column] for rows in self.remaking.replaced(self.path) or ())
        rows = pa.concat_tables([rows.select([KEY, "num_bytes"]) for rows in found.rows()])
        new = pc.unique(rows[KEY])
        gone, come = _without(old, new), _without(new, old)
        known = self.known(pa.concat_arrays([gone, come]))
        gone, come = _without(gone, known), _without(come, known)
        at = pc.index_in(come, value_set=rows[KEY].combine_chunks())
        num_bytes += (pc.sum(rows["num_bytes"].take(at)).as_py() or 0) - _num_bytes(store, encoder, gone, found)
        return Stored(num_keys + len(come) - len(gone), num_bytes, self._rests(found))

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
    if before is None or not before.remaking.kept:
        return pa.array([], pa.string())
    return before.known(_joined(rows[KEY] for rows in found.rows()))


def stored(before: TakenOver | None, store: TensorStore, encoder: Encoder, found: Found) -> Stored:
    """What a table names, of which some rows may be taken over, and the others were found."""
    if before is not None and before.remaking.kept:
        return before.with_found(store, encoder, found)
    return Stored(found.num_keys, found.num_bytes, found.rests)


def _whole_memo(root: Location, stage: str) -> Memo | None:
    """The memo of a stage's table, if all that it names is stored as it was; None also where something had failed."""
    found = memo.load(root, stage)
    if found is None or not found.rests or any(rest.is_all for rest in found.rests):
        return None
    return found if not found.facts["quarantined"] and found.is_intact(root) else None


def _joined(columns: Iterator[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pc.unique(pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string()))


def _without(keys: pa.Array, others: pa.Array) -> pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, value_set=others)))


def _num_bytes(store: TensorStore, encoder: Encoder, keys: pa.Array, found: Found) -> int:
    asked = pa.table({KEY: pa.chunked_array([keys])})
    return encoders.look_up(store, encoder, KEY, asked, found.present, found.opened).stored_bytes if len(keys) else 0

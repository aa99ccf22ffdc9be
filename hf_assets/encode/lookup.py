"""Which of the keys that a stage's samples need its store holds, of any number of samples.

Keys wait on the disk, by their first bits; they are looked up a part at a time, of which the store's index reads just
that range; and what was found is put back into the order of the samples. So memory doesn't grow with their number.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.blobs import State, listings
from hf_assets.encode import encoders
from hf_assets.encode.encoders import Encoder
from hf_assets.stages.aligning import Cursor
from hf_assets.store import index, memo, spilling
from hf_assets.store.memo import Rest
from hf_assets.store.runs import OpenIndex
from hf_assets.store.spilling import RowsInOrder, SpilledRows
from hf_assets.store.tensors import TensorStore

# So many keys are looked up at once, and so many missing samples are handed to the engine at once.
LOOKED_UP_ROWS = 262_144
# So many keys are remembered that come first in their order: what is shown, checked and counted is chosen among them.
NUM_LEAST = 65_536

KEY = "key"
ASKED = pa.schema([schema.ROW, pa.field(KEY, fingerprint.PACKED)])
ASKED_OF_TEXTS = ASKED.append(pa.field(encoders.SECOND_HASH, fingerprint.PACKED))
NOTHING_MORE = pa.schema([])
STORED = pa.schema(
    [*ASKED, pa.field("shape", index.INDEX.field("shape").type), pa.field("shard", pa.string()), schema.NUM_BYTES]
)
FAILED = pa.schema(
    [
        *ASKED,
        *(index.INDEX.field(name) for name in ("status", "message")),
        *(pa.field(name, index.INDEX.field("written_at").type) for name in ("first_seen", "last_seen")),
    ]
)


class Found(NamedTuple):
    """What the store has of the keys that were asked for.

    Attributes:
        stored: the rows whose key is stored (`STORED`), by their place.
        known: those of which that had been known (`Lookup.add_known`).
        ends: of each table of `known`, the last row up to which they are all of it.
        missing: (N,) int64, ascending: the first row of each key that is to be encoded.
        failed: the rows whose key is known to fail (`FAILED`).
        num_keys: different ones that are stored.
        num_bytes: of their tensors.
        least: the first `NUM_LEAST` of them, in their order, packed.
        wanted_least: the same of all that were asked for.
        rests: the files of the store that say so; None where they changed meanwhile.
        present, opened: the store's shards and its index, as they were asked.
    """

    stored: SpilledRows
    known: RowsInOrder
    ends: Sequence[int]
    missing: np.ndarray
    failed: pa.Table
    num_keys: int
    num_bytes: int
    least: pa.ChunkedArray
    wanted_least: pa.ChunkedArray
    rests: tuple[Rest, ...] | None
    present: Mapping[str, State]
    opened: OpenIndex

    def rows(self) -> Iterator[pa.Table]:
        """The rows whose key is stored, in order, as `STORED` with keys as texts. At least one table."""
        stored = Cursor(self.looked_up())
        for known, end in zip(self.known.tables(), self.ends, strict=False):  # it has a table where there is no row
            yield pa.concat_tables([stored.until(end), _unpacked(known)]).sort_by("row")
        yield from stored.rest()

    def looked_up(self) -> Iterator[pa.Table]:
        """Those of `rows` that weren't known."""
        return (_unpacked(part.sort_by("row")) for part in self.stored.pieces(LOOKED_UP_ROWS))


def _unpacked(rows: pa.Table) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(KEY), KEY, fingerprint.unpack(rows[KEY]))


class Lookup(contextlib.AbstractContextManager["Lookup"]):
    """Ask for all rows' keys (`add`), then look them up, as often as the store may have changed; but for rows of which
    it is known what the store has (`add_known`).
    """

    def __init__(
        self, store: TensorStore, encoder: Encoder, more: pa.Schema = NOTHING_MORE, *, of_texts: bool = False
    ) -> None:
        """
        Args:
            more: columns that come with each row, for who looks at what is missing (`works`).
            of_texts: each key is asked for with its text's second hash, and counts as stored only for that text; and of
                each key only the first row is wanted.
        """
        self.store, self.encoder, self._more, self._of_texts = store, encoder, more, of_texts
        self._num_rows = self._num_lookups = 0

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="hf-assets-keys-")
        arrow = pa.schema([*(ASKED_OF_TEXTS if self._of_texts else ASKED), *self._more])
        self._asked = SpilledRows(Path(self._folder.name) / "asked", arrow, KEY)
        self._known = RowsInOrder(Path(self._folder.name) / "known", STORED)
        self._ends: list[int] = []
        return self

    def add(
        self,
        rows: pa.ChunkedArray,
        keys: pa.ChunkedArray,
        second: pa.ChunkedArray | None = None,
        more: Sequence[pa.ChunkedArray] = (),
    ) -> None:
        """
        Args:
            rows: numbers, ascending from one call to the next.
            keys: as texts, none null.
            second: of texts, their second hashes, packed.
        """
        columns = [rows, fingerprint.pack(keys), *([] if second is None else [second]), *more]
        self._asked.add(pa.table(columns, schema=self._asked.schema))
        if len(rows):
            self._num_rows = rows[-1].as_py() + 1

    def add_known(self, rows: pa.ChunkedArray, stored: pa.Table, end: int) -> None:
        """
        Args:
            rows: numbers, ascending from one call to the next.
            stored: of each, what `STORED` says, its key as text.
            end: the last row up to which all rows have been added, of either sort.
        """
        columns = [rows, fingerprint.pack(stored[KEY]), *(stored[name] for name in STORED.names[2:])]
        self._known.add(pa.table(columns, schema=STORED))
        self._ends.append(end)

    def parts(self) -> Iterator[pa.Table]:
        """All rows, by the first bits of their keys. Nothing is added after that."""
        return self._asked.parts()

    def works(self) -> Iterator[encoders.Work]:
        """What the store has of each of `parts`, and what it lacks."""
        present, opened = self.store.present(), self.store.open_index()
        return (self._work(asked, present, opened) for asked in self.parts())

    def _work(self, asked: pa.Table, present: Mapping[str, State], opened: OpenIndex) -> encoders.Work:
        wanted = _first_of_each(asked) if self._of_texts else asked
        return encoders.look_up(self.store, self.encoder, KEY, wanted, present, opened)

    def look_up(self) -> Found:
        """What the store has of these keys by now."""
        if self._num_lookups:  # what was missing may have been encoded by other processes
            listings.drop()
        self._num_lookups += 1
        place = Path(self._folder.name) / f"stored {self._num_lookups}"
        stored = SpilledRows(place, STORED, "row", spilling.by_position(self._num_rows))
        before = memo.states_of(self.store.folder), memo.states_of(self.store.index_folder)
        present, opened = self.store.present(), self.store.open_index()
        missing, failed = [np.empty(0, np.int64)], [FAILED.empty_table()]
        least, wanted, shards = _Least(), _Least(), set[str]()
        num_keys = num_bytes = 0
        for asked in self._asked.pieces(LOOKED_UP_ROWS):
            work = self._work(asked, present, opened)
            missing.append(work.missing["row"].to_numpy())
            failed.append(_failed(work))
            found = work.stored
            stored.add(found.select(STORED.names).cast(STORED))
            num_keys += work.num_stored
            num_bytes += work.stored_bytes
            shards.update(pc.unique(found["shard"]).to_pylist())
            least.add(found[KEY])
            wanted.add(work.keyed[KEY])
        after = memo.states_of(self.store.index_folder)
        rows = np.sort(np.concatenate(missing))
        known = pa.concat_tables(failed).sort_by("row")
        rests = _rests(self.store, shards, before, len(known)) if before[1] == after else None
        return Found(
            stored,
            self._known,
            self._ends,
            rows,
            known,
            num_keys,
            num_bytes,
            least.keys,
            wanted.keys,
            rests,
            present,
            opened,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.close()
        self._known.close()
        self._folder.cleanup()


def _first_of_each(asked: pa.Table) -> pa.Table:
    codes = asked[KEY].combine_chunks().dictionary_encode().indices.to_numpy()
    return asked.take(pa.array(np.unique(codes, return_index=True)[1]))


def _failed(work: encoders.Work) -> pa.Table:
    lacking, failures = work.lacking, work.failures
    at = pc.index_in(lacking[KEY], value_set=failures["key"].combine_chunks())
    found = failures.take(at.drop_null())
    rows = lacking.filter(pc.is_valid(at))
    columns = [rows["row"], rows[KEY], *(found[name] for name in FAILED.names[2:])]
    return pa.table(columns, schema=FAILED)


class _Least:
    """The first keys in their order. They are added in pieces, which are in this order."""

    def __init__(self) -> None:
        self._found = [pa.array([], fingerprint.PACKED)]
        self._num_left = NUM_LEAST

    def add(self, keys: pa.ChunkedArray) -> None:
        if self._num_left:
            distinct = pc.unique(keys)
            self._found.append(distinct.take(pc.sort_indices(distinct).slice(0, self._num_left)))
            self._num_left -= len(self._found[-1])

    @property
    def keys(self) -> pa.ChunkedArray:
        return pa.chunked_array(self._found, fingerprint.PACKED)


def _rests(
    store: TensorStore, shards: set[str], listed: tuple[Mapping[str, State], Mapping[str, State]], num_failed: int
) -> tuple[Rest, ...] | None:
    """
    Args:
        listed: what lay in the store and in its index.
        num_failed: rows that are known to fail: whatever else the store comes to hold may change that.
    """
    names = [store.shard_path(shard).name for shard in shards]
    if any(name not in listed[0] for name in names):
        return None
    named = {name: listed[0][name] for name in names}
    return (Rest(store.folder, named), Rest(store.index_folder, listed[1], is_all=num_failed > 0))

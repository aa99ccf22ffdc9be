"""Where the tensors of many keys lie, found out once and written into files that any number of processes map.

Keys wait on the disk, by their first bits, and are looked up a part at a time, of which the index reads just that
range. So memory doesn't grow with their number.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint
from hf_assets.errors import StoreError
from hf_assets.store import index, mapped, memo, runs, spilling
from hf_assets.store.extents import ROW, Form, Places
from hf_assets.store.memo import Rest
from hf_assets.store.spilling import SpilledRows
from hf_assets.store.tensors import TensorStore, shard_name

_POSITION = pa.field("position", pa.int64())
_ASKED = pa.schema([_POSITION, pa.field("key", pa.string())])
_GROUPS = pa.schema([_POSITION, pa.field("group", pa.int64())])
_KEYS = pa.schema([pa.field("key", pa.string())])
# So many keys are looked up at once.
LOOKED_UP_ROWS = 131_072
COLUMNS = ("tensor", "shard", "shape", "dtype", "status", "checksum", "offset", "written_at")
# Of what an index doesn't say.
NO_CHECKSUM, NO_FORM = "0" * 32, '["uint8",[0]]'
# Endings of the files that hold `Places`, behind their name.
GROUP, STARTS, ROWS, KEYS, NAMES = ".group", ".starts", ".rows", ".keys.arrow", ".json"


class Locating(contextlib.AbstractContextManager["Locating"]):
    """Keys are added, then looked up."""

    def __init__(self, store: TensorStore) -> None:
        self.store = store
        self._num_keys = 0

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="hf-assets-places-")
        self._asked = SpilledRows(Path(self._folder.name) / "asked", _ASKED, "key", _part_of)
        return self

    def add(self, keys: pa.ChunkedArray) -> None:
        """
        Args:
            keys: as texts, none null; one may come several times.
        """
        positions = pa.array(np.arange(self._num_keys, self._num_keys + len(keys)))
        self._asked.add(pa.table([positions, keys], schema=_ASKED))
        self._num_keys += len(keys)

    def write(self, folder: Path, name: str) -> tuple[Rest, ...] | None:
        """Find where each key's tensors lie, and write it (`places_of`). Nothing is added after that.

        Args:
            name: what the names of the files begin with.

        Returns:
            The files of the store that say so; None where they changed while they were read.

        Raises:
            StoreError: a key has no whole shard, or there is no room for the files.
        """
        before = memo.states_of(self.store.folder), memo.states_of(self.store.index_folder)
        self._open()
        codes = Codes(), Codes(), Codes()
        place = Path(self._folder.name) / "groups"
        groups = SpilledRows(place, _GROUPS, "position", spilling.by_position(self._num_keys))
        num_wanted = num_lacking = num_groups = num_rows = 0
        are_known = True
        with contextlib.ExitStack() as stack:
            starts, rows, order = (
                stack.enter_context(mapped.NumbersFile(folder / f"{name}{end}")) for end in (STARTS, ROWS, GROUP)
            )
            keys = stack.enter_context(pa.ipc.new_stream(str(folder / f"{name}{KEYS}"), _KEYS))
            for asked in self._pieces():
                wanted = pc.unique(asked["key"])
                found, lacking = self._rows_of(wanted)
                num_wanted, num_lacking = num_wanted + len(wanted), num_lacking + len(lacking)
                if num_lacking or not len(wanted):
                    continue
                own = found["key"].combine_chunks().dictionary_encode()  # in whose order the rows are
                at = pc.index_in(asked["key"], value_set=own.dictionary)
                groups.add(
                    pa.table([asked["position"], pc.add(at.cast(pa.int64()), pa.scalar(num_groups))], schema=_GROUPS)
                )
                keys.write_table(pa.table([own.dictionary], schema=_KEYS))
                starts.add(num_rows + np.searchsorted(own.indices.to_numpy(), np.arange(len(own.dictionary))))
                made = _rows(found, *codes)
                are_known &= bool((made["offset"] > 0).all())
                rows.add(made)
                num_groups, num_rows = num_groups + len(own.dictionary), num_rows + len(made)
            if num_lacking:
                raise StoreError(
                    f"{num_lacking:,} of {num_wanted:,} tensors of {self.store.folder} are missing or damaged: "
                    "materialize this dataset again"
                )
            starts.add(np.array([num_rows]))
            for part in groups.parts():
                order.add(part.sort_by("position")["group"].to_numpy())
        shards, forms, tensors = (one.values for one in codes)
        names = {"shards": shards, "forms": list(map(json.loads, forms)), "tensors": tensors, "are_known": are_known}
        (folder / f"{name}{NAMES}").write_text(json.dumps(names), encoding="utf-8")
        return self._rests(shards, *before)

    def _pieces(self) -> Iterator[pa.Table]:
        """What is asked for, in ranges of keys of about one size."""
        for asked in self._asked.pieces(LOOKED_UP_ROWS):
            ordered = asked if len(asked) <= LOOKED_UP_ROWS else asked.sort_by("key")
            yield from (ordered.slice(start, LOOKED_UP_ROWS) for start in range(0, len(ordered), LOOKED_UP_ROWS))

    def _open(self) -> None:
        self._present, self._index = self.store.present(), self.store.open_index()

    def _rows_of(self, wanted: pa.Array) -> tuple[pa.Table, pa.Array]:
        """The index's rows of these keys, one copy of each, by key and tensor; and the keys that have none."""
        rows, lacking = self._look_up(wanted)
        if len(lacking):
            self._open()  # garbage collection may have moved them while the index was read
            rows, lacking = self._look_up(wanted)
        return rows, lacking

    def _look_up(self, wanted: pa.Array) -> tuple[pa.Table, pa.Array]:
        stored = index.stored_rows(self.store.look_up(wanted, COLUMNS, self._present, self._index))
        order, is_newest = index.copies(stored)
        rows = stored.take(pa.array(order[is_newest]))
        return rows, wanted.filter(pc.invert(pc.is_in(wanted, value_set=pc.unique(rows["key"]))))

    def _rests(
        self, shards: Sequence[str], listed: Mapping[str, memo.State], parts: Mapping[str, memo.State]
    ) -> tuple[Rest, ...] | None:
        names = [shard_name(shard) for shard in shards]
        if parts != memo.states_of(self.store.index_folder) or any(name not in listed for name in names):
            return None
        return Rest(self.store.folder, {name: listed[name] for name in names}), Rest(self.store.index_folder, parts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.close()
        self._folder.cleanup()


def locate(store: TensorStore, keys: Iterable[pa.ChunkedArray]) -> Places:
    """Where the tensors of keys lie, in memory.

    Raises:
        StoreError: a key has no whole shard.
    """
    with Locating(store) as locating, TemporaryDirectory(prefix="hf-assets-places-") as folder:
        for some in keys:
            locating.add(some)
        locating.write(Path(folder), "keys")
        return places_of(Path(folder), "keys", in_memory=True)


def places_of(folder: Path, name: str, *, in_memory: bool = False) -> Places:
    """What `Locating.write` wrote.

    Args:
        in_memory: it is read; else it is mapped.

    Raises:
        OSError, ValueError: the files are gone, or aren't what was written.
    """
    noted = json.loads((folder / f"{name}{NAMES}").read_text("utf-8"))

    def numbers(end: str, kind: np.dtype[Any]) -> np.ndarray:
        return mapped.numbers(folder / f"{name}{end}", kind, in_memory=in_memory)

    return Places(
        numbers(GROUP, np.dtype(np.int64)),
        numbers(STARTS, np.dtype(np.int64)),
        numbers(ROWS, ROW),
        mapped.table(folder / f"{name}{KEYS}", in_memory=in_memory)["key"],
        noted["shards"],
        [Form(dtype, tuple(shape)) for dtype, shape in noted["forms"]],
        noted["tensors"],
        noted["are_known"],
    )


def files_of(name: str) -> tuple[str, ...]:
    """The names of the files that `Locating.write` writes."""
    return tuple(f"{name}{end}" for end in (GROUP, STARTS, ROWS, KEYS, NAMES))


class Codes:
    """Numbers for different texts, in the order in which they are met."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def of(self, texts: pa.ChunkedArray) -> np.ndarray:
        """(N,) int32, the number of each text; -1 of a null."""
        own = texts.combine_chunks().dictionary_encode()
        known = [self._codes.setdefault(text, len(self._codes)) for text in own.dictionary.to_pylist()]
        numbers: np.ndarray = np.array([*known, -1], np.int32)[pc.fill_null(own.indices, -1).to_numpy()]
        return numbers

    @property
    def values(self) -> list[str]:
        return list(self._codes)


def _rows(found: pa.Table, shards: Codes, forms: Codes, tensors: Codes) -> np.ndarray:
    rows = np.empty(len(found), ROW)
    edges = pc.binary_join(found["shape"].cast(pa.list_(pa.string())), ",")
    written = pc.binary_join_element_wise('["', found["dtype"], '",[', edges, "]]", "")
    rows["shard"], rows["tensor"] = shards.of(found["shard"]), tensors.of(found["tensor"])
    rows["form"] = forms.of(pc.fill_null(written, NO_FORM))
    is_known = pc.and_(pc.is_valid(found["offset"]), pc.is_valid(written))
    rows["offset"] = pc.if_else(is_known, found["offset"], 0).to_numpy()
    packed = fingerprint.pack(pc.fill_null(found["checksum"], NO_CHECKSUM).combine_chunks()).chunk(0)
    rows["checksum"] = np.frombuffer(packed.buffers()[1] or b"", np.uint8).reshape(-1, 16)
    return rows


def _part_of(keys: pa.ChunkedArray) -> np.ndarray:
    return spilling.by_first_bits(fingerprint.pack(runs.hashes_of(keys)))

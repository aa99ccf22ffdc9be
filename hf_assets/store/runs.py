"""Sorted runs of an index: its parts merged, so that few files are opened, and of these only what may hold a key.

The parts are the truth: each is a commit, and stays until garbage collection. A run holds the rows of some parts,
sorted by key, and names these parts. Runs are merged as they grow, so that there are never more than a few dozen files
to look into. A run that is damaged, or gone, is as if it had never been: its parts are read instead.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint
from hf_assets.blobs import Blob, Blobs
from hf_assets.store import index

FOLDER = "runs"
SUFFIX = ".parquet"
# Key of a run's metadata: the names of the parts whose rows it holds, without their endings, one after the other.
COVERS = b"hf_assets.covers"
NAME_DIGITS = 32
# So many parts that no run covers are merged into one.
MERGED_PARTS = 32
# With them, each smaller run is merged that has at most so many times the rows that are merged already.
GROWTH = 2
# So many rows are read at once, and left out at once where none can be wanted.
GROUP_ROWS = 65_536
# While runs are merged, so many groups are held in memory.
MERGED_GROUPS = 4
# So much of a run is read to know which parts it covers; more where these are many.
END_BYTES = 65_536
HASH = "^[0-9a-f]{32}$"
# Hashes as numpy sees them in a column of texts.
DIGITS = np.dtype("S32")
# Where fewer than one of so many rows of a group can be wanted, they are looked up one by one.
FEW = 8
# The column of what was found that says which of the wanted keys a row has.
AT = "at"


class Wanted:
    """Keys to look up, in order.

    Attributes:
        num_keys: different ones.
    """

    def __init__(self, keys: pa.Array | pa.ChunkedArray) -> None:
        """
        Args:
            keys: as texts or packed, none null and none twice.
        """
        first, second = _halves(keys)
        order = np.argsort(first, kind="stable")
        self._first, self._second = first[order], second[order]
        if (self._first[1:] == self._first[:-1]).any():  # as good as never: half of two hashes
            order = np.lexsort((second, first))
            self._first, self._second = first[order], second[order]
        self._order = order
        self.num_keys = len(order)

    def positions(self, keys: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """For each key its position among those that are wanted; -1 where it isn't."""
        first, second = _halves(keys)
        found = np.full(len(first), -1, np.int64)
        if not self.num_keys:
            return found
        at = np.searchsorted(self._first, first)
        left = np.arange(len(first))
        while len(left):
            inside = at[left] < self.num_keys
            left = left[inside]
            left = left[self._first[at[left]] == first[left]]
            hit = self._second[at[left]] == second[left]
            found[left[hit]] = self._order[at[left[hit]]]
            left = left[~hit]
            at[left] += 1
        return found

    def between(self, low: str, high: str) -> slice:
        """Those of the keys, in their order, that may lie between two others."""
        start, stop = (np.uint64(int(edge[:16], 16)) for edge in (low, high))
        return slice(*(int(np.searchsorted(self._first, *edge)) for edge in ((start, "left"), (stop, "right"))))

    def find_in(self, keys: pa.Array, some: slice) -> tuple[np.ndarray, np.ndarray]:
        """Look up few keys among many that are sorted.

        Args:
            keys: hashes as texts.
            some: which of the keys to look up, in their order (`between`).

        Returns:
            places in `keys`, ascending, and of each the position among the keys that are wanted.
        """
        digits = np.frombuffer(keys.buffers()[2], DIGITS)[keys.offset : keys.offset + len(keys)]
        halves = np.stack([self._first[some], self._second[some]], axis=1).astype(">u8")
        wanted = np.frombuffer(halves.tobytes().hex().encode(), DIGITS)
        first, end = (np.searchsorted(digits, wanted, side) for side in ("left", "right"))
        counts = end - first
        places = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        return places, np.repeat(self._order[some], counts)

    def limits(self, first: np.ndarray) -> tuple[int, int]:
        """Where the keys begin and end among others, of which the first halves are given in order."""
        if not self.num_keys:
            return 0, 0
        return int(np.searchsorted(first, self._first[0])), int(np.searchsorted(first, self._first[-1], side="right"))


class Run(NamedTuple):
    """A run that is whole.

    Attributes:
        covers: names of the parts whose rows it holds.
    """

    name: str
    num_rows: int
    covers: frozenset[str]


class Layout(NamedTuple):
    """What is to be looked into: the parts that lie there, and how their rows are to be read.

    Attributes:
        parts: names of all parts; `alone`: of those that no run covers.
    """

    parts: frozenset[str]
    alone: tuple[str, ...]
    runs: tuple[Run, ...]


def layout(blobs: Blobs) -> Layout:
    """The fewest files that hold all rows.

    Args:
        blobs: the folder of the parts.
    """
    parts = frozenset(index.part_names(blobs))
    inside = blobs.within(FOLDER)
    listed = [Blob(name, *state) for name, state in inside.states().items()]
    described = [(run, blob) for blob in listed if (run := _described(inside, blob)) is not None]
    chosen: list[Run] = []
    covered: set[str] = set()
    for run, blob in sorted(described, key=lambda one: (-len(one[0].covers), one[0].name)):
        # only what is wanted is read as a whole
        if not run.covers <= covered and run.covers & parts and _open(inside, blob) == run:
            chosen.append(run)
            covered |= run.covers
    return Layout(parts, tuple(sorted(parts - covered)), tuple(chosen))


def find(blobs: Blobs, wanted: Wanted, columns: Sequence[str]) -> pa.Table:
    """The index's rows of some keys: `columns`, and `AT`, the position of each row's key.

    What garbage collection moves meanwhile is found where it lies then.
    """
    while True:
        opened = OpenIndex(blobs)
        found = opened.find(wanted, columns)
        if opened.layout.parts == frozenset(index.part_names(blobs)):
            return found


class OpenIndex:
    """An index as it was when it was opened, for who looks up many keys a part at a time: it is listed once, and its
    small parts are read once.
    """

    def __init__(self, blobs: Blobs) -> None:
        """
        Args:
            blobs: the folder of the parts.
        """
        self._blobs = blobs
        self._open()

    def _open(self) -> None:
        self.layout = layout(self._blobs)
        self._small: _Small | None = None

    def is_whole(self) -> bool:
        """Whether nothing of it is damaged: all is read."""
        inside = self._blobs.within(FOLDER)
        if any(_open(inside, blob) is None for blob in inside.list()):
            return False
        try:
            return all(_part(self._blobs, name) is not None for name in self.layout.alone)
        except FileNotFoundError:  # moved by garbage collection
            return False

    def find(self, wanted: Wanted, columns: Sequence[str]) -> pa.Table:
        """See `find`."""
        while True:
            try:
                return self._find(wanted, columns)
            except FileNotFoundError:  # moved by garbage collection
                self._open()

    def _find(self, wanted: Wanted, columns: Sequence[str]) -> pa.Table:
        found = [_empty(columns)]
        for run in self.layout.runs:
            found.extend(_rows_of_run(self._blobs.within(FOLDER), run, wanted, columns))
        if self._small is None:
            self._small = _Small(_part(self._blobs, name) for name in self.layout.alone)
        found.append(matching_rows(self._small.around(wanted), wanted, columns))
        return pa.concat_tables(found)


class _Small:
    """The rows of parts that no run covers, by their keys: garbage collection leaves parts of many rows."""

    def __init__(self, parts: Iterable[pa.Table | None]) -> None:
        rows = pa.concat_tables(
            [index.INDEX.empty_table(), *(part for part in parts if part is not None)], promote_options="default"
        )
        first, _ = _halves(rows["key"])
        self._rows, self._order = rows, np.argsort(first, kind="stable")
        self._first = first[self._order]

    def around(self, wanted: Wanted) -> pa.Table:
        """Those among which the wanted keys are."""
        start, stop = wanted.limits(self._first)
        if 2 * (stop - start) > len(self._rows):
            return self._rows
        return self._rows.take(pa.array(self._order[start:stop]))


def all_rows(blobs: Blobs) -> Iterator[pa.Table]:
    """The rows of all runs (`index.INDEX`): what a damaged part held may still be among them."""
    inside = blobs.within(FOLDER)
    for run in layout(blobs).runs:
        yield from (table.cast(index.INDEX) for table in _groups(inside, run.name, index.INDEX.names))


def merge(blobs: Blobs) -> None:
    """Merge the parts that no run covers, if there are many, and with them the runs that they have outgrown.

    Others may do the same at the same time: then there are two runs of the same rows, or the same one.
    """
    found = layout(blobs)
    if len(found.alone) < MERGED_PARTS:
        return
    tables = {name: table for name in found.alone if (table := _part(blobs, name)) is not None and _is_sortable(table)}
    if len(tables) < MERGED_PARTS:
        return
    covers = {*tables}
    num_rows = sum(map(len, tables.values()))
    inside, absorbed = blobs.within(FOLDER), []
    for run in sorted(found.runs, key=lambda run: run.num_rows):
        if run.num_rows > GROWTH * num_rows:
            break
        absorbed.append(run)
        num_rows += run.num_rows
        covers |= run.covers & found.parts
    sources = [iter([_sort(pa.concat_tables(tables.values()))])]
    sources += [_groups(inside, run.name, index.INDEX.names) for run in absorbed]
    _write(inside, _merge(sources, num_rows), covers)


def _write(blobs: Blobs, tables: Iterator[pa.Table], covers: set[str]) -> None:
    """Write sorted rows (`index.INDEX`) as one run.

    Args:
        covers: names of the parts that hold these rows.
    """
    names = "".join(sorted(name.removesuffix(SUFFIX) for name in covers))
    repeating = [name for name in index.INDEX.names if name not in ("key", "checksum", "offset")]
    with TemporaryDirectory(prefix="hf-assets-run-") as place, files.explain_refusals(Path(place)):
        file = Path(place) / "run"
        with pq.ParquetWriter(
            file,
            index.INDEX,
            compression="zstd",
            use_dictionary=repeating,
            write_statistics=["key"],
            store_schema=False,
        ) as writer:
            for table in tables:
                if len(table):  # else the group would have no limits
                    writer.write_table(table, row_group_size=GROUP_ROWS)
            writer.add_key_value_metadata({COVERS: names})
        with file.open("rb") as stream:
            name = f"{fingerprint.checksum_of_stream(stream)}{SUFFIX}"
        blobs.put_file(name, file)


def _merge(sources: list[Iterator[pa.Table]], num_rows: int) -> Iterator[pa.Table]:
    """The rows of sorted tables in one order, a range of keys at a time: hashes fill all ranges alike."""
    num_ranges = -(-num_rows // (MERGED_GROUPS * GROUP_ROWS)) or 1
    waiting = [index.INDEX.empty_table() for _ in sources]
    for number in range(1, num_ranges + 1):
        limit = 2**64 * number // num_ranges
        taken = []
        for at, source in enumerate(sources):
            rows = waiting[at]
            while number == num_ranges or not len(rows) or _count_below(rows, limit) == len(rows):
                taken.append(rows)
                rows = next(source, None)
                if rows is None:
                    rows = index.INDEX.empty_table()
                    break
            below = len(rows) if number == num_ranges else _count_below(rows, limit)
            taken.append(rows.slice(0, below))
            waiting[at] = rows.slice(below)
        yield _sort(pa.concat_tables(taken))


def _count_below(rows: pa.Table, limit: int) -> int:
    """How many of some sorted rows have a key below a limit of their first halves."""
    return int(np.searchsorted(_halves(rows["key"])[0], np.uint64(min(limit, 2**64 - 1))))


def _sort(rows: pa.Table) -> pa.Table:
    first, second = _halves(rows["key"])
    times = rows["written_at"].cast(pa.int64()).to_numpy()
    return rows.take(pa.array(np.lexsort((times, second, first))))


def _is_sortable(rows: pa.Table) -> bool:
    """Whether all keys are hashes, which are ordered as texts as they are as numbers."""
    return _are_hashes(rows["key"])


def forget(blobs: Blobs) -> None:
    """Remove all runs: the parts that they cover are about to be replaced."""
    inside = blobs.within(FOLDER)
    for blob in list(inside.list()):
        inside.delete(blob.name)


def drop_damaged(blobs: Blobs) -> list[str]:
    """Read all runs, and remove those that aren't as they were written. Returns their names."""
    inside = blobs.within(FOLDER)
    damaged = [blob.name for blob in list(inside.list()) if _read_through(inside, blob.name) is None]
    for name in damaged:
        inside.delete(name)
    return damaged


# Runs that this process has read through, by all that a listing says of them: None for a damaged one. And what runs say
# of themselves at their ends.
KNOWN_RUNS: dict[tuple[str, Blob], Run | None] = {}
DESCRIBED_RUNS: dict[tuple[str, Blob], Run | None] = {}


def _described(blobs: Blobs, blob: Blob) -> Run | None:
    """A run as its end says, if it is what was written; None where it has no such end."""
    at = (blobs.address, blob)
    if at not in DESCRIBED_RUNS:
        try:
            DESCRIBED_RUNS[at] = _read_end(blobs, blob)
        except FileNotFoundError:
            return None
    return DESCRIBED_RUNS[at]


def _read_end(blobs: Blobs, blob: Blob) -> Run | None:
    end = blobs.get_range(blob.name, max(0, blob.num_bytes - END_BYTES), blob.num_bytes)
    length = int.from_bytes(end[-8:-4], "little") + 8
    if length > len(end):
        end = blobs.get_range(blob.name, max(0, blob.num_bytes - length), blob.num_bytes)
    try:
        return _run(blob.name, pq.read_metadata(pa.BufferReader(files.PARQUET_MARK + end)))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def _run(name: str, metadata: pq.FileMetaData) -> Run:
    names = metadata.metadata[COVERS].decode()
    covers = (names[start : start + NAME_DIGITS] for start in range(0, len(names), NAME_DIGITS))
    return Run(name, metadata.num_rows, frozenset(f"{one}{SUFFIX}" for one in covers))


def _open(blobs: Blobs, blob: Blob) -> Run | None:
    """A run, read through once; None for one that is damaged, or was removed since it was listed."""
    at = (blobs.address, blob)
    if at not in KNOWN_RUNS:
        try:
            KNOWN_RUNS[at] = _read_through(blobs, blob.name)
        except FileNotFoundError:
            return None
    return KNOWN_RUNS[at]


def _read_through(blobs: Blobs, name: str) -> Run | None:
    with _stream(blobs, name) as file:
        if fingerprint.checksum_of_stream(file) != name.removesuffix(SUFFIX):
            return None
        file.seek(0)
        return _run(name, pq.read_metadata(file))


def _stream(blobs: Blobs, name: str) -> BinaryIO:
    path = blobs.local_path(name)
    return io.BytesIO(blobs.get(name)) if path is None else path.open("rb")


def _rows_of_run(blobs: Blobs, run: Run, wanted: Wanted, columns: Sequence[str]) -> Iterator[pa.Table]:
    with _stream(blobs, run.name) as stream:
        file = pq.ParquetFile(stream, read_dictionary=index.REPEATING)
        at = file.schema_arrow.get_field_index("key")
        for number in range(file.num_row_groups):
            limits = file.metadata.row_group(number).column(at).statistics
            some = wanted.between(limits.min, limits.max)
            num_wanted = some.stop - some.start
            if num_wanted * FEW >= file.metadata.row_group(number).num_rows:
                rows = index.completed(file.read_row_group(number, ["key", *columns]))
                yield matching_rows(rows, wanted, columns)
            elif num_wanted:
                keys = file.read_row_group(number, ["key"])["key"].combine_chunks()
                places, positions = wanted.find_in(keys, some)
                if len(places):
                    rows = index.completed(file.read_row_group(number, list(columns)))
                    yield _chosen(rows.take(pa.array(places)), columns, positions)


def _groups(blobs: Blobs, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    with _stream(blobs, name) as stream:
        file = pq.ParquetFile(stream)
        for number in range(file.num_row_groups):
            rows = index.completed(file.read_row_group(number, list(columns)))
            yield rows.select(columns).cast(_schema(columns))


def _part(blobs: Blobs, name: str) -> pa.Table | None:
    """The rows of a part; None for a damaged one.

    Raises:
        FileNotFoundError: it was removed since it was listed.
    """
    return index.read_part(blobs, name)


def matching_rows(rows: pa.Table, wanted: Wanted, columns: Sequence[str]) -> pa.Table:
    positions = wanted.positions(rows["key"])
    hit = np.flatnonzero(positions >= 0)
    rows = rows.select(list(columns))
    return _chosen(rows if len(hit) == len(rows) else rows.take(pa.array(hit)), columns, positions[hit])


def _chosen(rows: pa.Table, columns: Sequence[str], positions: np.ndarray) -> pa.Table:
    return rows.select(list(columns)).cast(_schema(columns)).append_column(AT, pa.array(positions, pa.int64()))


def _empty(columns: Sequence[str]) -> pa.Table:
    return _schema(columns).append(pa.field(AT, pa.int64())).empty_table()


def _schema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([index.INDEX.field(name) for name in columns])


def _halves(keys: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Keys as two numbers each, whose order is that of the keys."""
    packed = keys if keys.type == fingerprint.PACKED else fingerprint.pack(hashes_of(keys))
    chunks = packed.chunks if isinstance(packed, pa.ChunkedArray) else [packed]
    parts = [np.empty((0, 2), ">u8")]
    for chunk in chunks:
        if len(chunk):
            data = np.frombuffer(chunk.buffers()[1], ">u8").reshape(-1, 2)
            parts.append(data[chunk.offset : chunk.offset + len(chunk)])
    both = np.concatenate(parts)
    return both[:, 0].astype(np.uint64), both[:, 1].astype(np.uint64)


def hashes_of(keys: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Keys are hashes; what isn't one, as somebody else's program may write, is looked up by its hash."""
    if _are_hashes(keys):
        return keys
    return pc.if_else(pc.match_substring_regex(keys, HASH), keys, fingerprint.of_strings(keys))


def _are_hashes(keys: pa.Array | pa.ChunkedArray) -> bool:
    """Whether all of these texts, of which none is null, are 32 hex digits: a tenth of the time that `HASH` takes."""
    for chunk in keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]:
        if not len(chunk):
            continue
        texts = chunk.cast(pa.large_string())
        _, buffer, digits = texts.buffers()
        offsets = np.frombuffer(buffer, np.int64)[texts.offset :][: len(texts) + 1]
        if (np.diff(offsets) != NAME_DIGITS).any():
            return False
        if not _IS_DIGIT[np.frombuffer(digits, np.uint8)[offsets[0] : offsets[-1]]].all():
            return False
    return True


_IS_DIGIT = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))

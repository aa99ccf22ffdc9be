"""A split as one table of rows: their place and the columns that the config names, read once per file content."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint, schema
from hf_assets.blobs import Location
from hf_assets.errors import DatasetError
from hf_assets.sources import named_media, slices
from hf_assets.sources.formats import faults
from hf_assets.sources.formats.parquet import Columns, WantedColumns, missing_field, read_columns
from hf_assets.sources.source import Source
from hf_assets.sources.spec import DataFile, Part, Snapshot
from hf_assets.store import memo
from hf_assets.store.memo import Rest

# Bump when a change to this module changes the table.
VERSION = 7
# Bump when a change to this module changes what is kept of a file's columns: all files are then read again.
KEPT_VERSION = 6

READ_THREADS = 8
# The columns of all files may be so much larger than the files, or have so many bytes.
MAX_RATIO, MIN_RATIO_BYTES = 200, 1 << 30
# While files are read, so often is said how far it is.
SAY_S = 5.0
SNAPSHOT = b"hf_assets.snapshot"
NUM_ROWS = b"num_rows"
# The stage of rows that aren't there, since their part of a file can't be read.
STAGE = "raw_dataset"
MEDIA_PATHS, MEMBERS = "media_paths", "members"


class Rows(NamedTuple):
    """A split's rows, and what reading them took.

    Attributes:
        version: of the table: of the contents of all that its rows were read from.
        computed: rows whose columns were read now.
        rests: the files in which the columns are kept.
        faults: rows that aren't in the table, since they can't be read (`schema.QUARANTINE`); their `row` is -1.
    """

    table: pa.Table
    version: str
    computed: int
    bytes_read: int
    rests: tuple[Rest, ...] | None
    faults: pa.Table


def read(
    source: Source, snapshot: Snapshot, wanted: WantedColumns, memory: Location, say: Callable[[str], None]
) -> Rows:
    """Read the wanted columns of every file of the split. What was read of the same content comes from `memory`.

    Returns:
        A table with `row`, where the row's bytes lie (`schema.LOCATION`), the file that they are
        (`schema.SOURCE_PATH`), and the wanted columns in the struct `columns`.

    Raises:
        DatasetError: a column is missing, files disagree about a column's type, or no row's media is there.
    """

    listed = memo.states_of(memory)
    parts = list(_read_files(source, snapshot, wanted, memory, say))
    columns = [part for part, _ in parts]
    table = _join(snapshot, columns)
    table, named = named_media.with_named_media(table, source, snapshot, columns, wanted.media)
    table, slices = _slice(table, snapshot, [part.num_rows for part in columns])
    for path in wanted.required if schema.COLUMNS in table.column_names else ():
        if (mistake := missing_field(table.schema.field(schema.COLUMNS).type, path)) is not None:
            raise DatasetError(mistake)
    fresh = [part for part, is_fresh in parts if is_fresh]
    paths = table[schema.SOURCE_PATH.name]
    named_as = [fingerprint.of_table(table.select([schema.SOURCE_PATH.name]))] if paths.null_count < len(paths) else []
    version = fingerprint.of_value([[file.hash for file in snapshot.files], wanted, slices, named, *named_as])
    num_bytes = sum(part.bytes_read for part in fresh)
    names = {file.hash: _kept(memory, file, wanted).name for file in snapshot.files}
    states = {
        names[file.hash]: memo.state_of(memory / names[file.hash]) if is_fresh else listed.get(names[file.hash])
        for file, (_, is_fresh) in zip(snapshot.files, parts, strict=True)
    }
    known = {name: state for name, state in states.items() if state is not None}
    rests = (Rest(memory, known),) if len(known) == len(states) else None
    return Rows(table, version, sum(part.num_rows for part in fresh), num_bytes, rests, _faults(snapshot, columns))


def _faults(snapshot: Snapshot, columns: list[Columns]) -> pa.Table:
    now = datetime.now(UTC)
    found = [
        {
            "row": -1,
            "address": f"{file.path}#{fault.member}",
            "source_path": fault.member,
            "stage": STAGE,
            "reason": fault.reason,
            "message": fault.message,
            "first_seen": now,
            "last_seen": now,
        }
        for file, part in zip(snapshot.files, columns, strict=True)
        for fault in part.faults
    ]
    return pa.Table.from_pylist(found, schema=schema.QUARANTINE)


class Scan:
    """A split's rows in tables of bounded size, in order: what `read` gives, for those who don't need all at once.

    Every file's columns are read and kept on disk at first, and taken from there file by file.

    Raises:
        DatasetError: as `read`.
    """

    def __init__(
        self, source: Source, snapshot: Snapshot, wanted: WantedColumns, memory: Location, say: Callable[[str], None]
    ) -> None:
        self.source, self.snapshot, self.wanted, self.memory = source, snapshot, wanted, memory
        facts = [(part.num_rows, part.table.schema) for part, _ in _read_files(source, snapshot, wanted, memory, say)]
        self.counts = [num_rows for num_rows, _ in facts]
        self.schema = _unify(snapshot, [schema for _, schema in facts])
        for path in wanted.required if schema.COLUMNS in self.schema.names else ():
            if (mistake := missing_field(self.schema.field(schema.COLUMNS).type, path)) is not None:
                raise DatasetError(mistake)

    def tables(self, max_rows: int = 65_536) -> Iterator[pa.Table]:
        """The rows as `read` gives them, of whole files with up to `max_rows` together."""
        row = file = 0
        for num_files, taken in self._slice_counts():
            start = 0
            for group in _groups(self.counts[file : file + num_files], max_rows):
                files_of_group = range(file + group.start, file + group.stop)
                table = self._table(files_of_group)
                low, high = (min(max(edge - start, 0), len(table)) for edge in taken)
                start += len(table)
                if low < high:
                    numbers = pa.array(np.arange(row, row + high - low, dtype=np.int64))
                    row += high - low
                    yield table.slice(low, high - low).set_column(0, schema.ROW, numbers)
            file += num_files

    def _slice_counts(self) -> list[tuple[int, slices.Slice]]:
        """Number of files, and the rows of these that are taken, for each part of the split."""
        if not self.snapshot.parts:
            return [(len(self.counts), slices.Slice(0, sum(self.counts)))]
        taken, file = [], 0
        for part in self.snapshot.parts:
            num_rows = sum(self.counts[file : file + part.num_files])
            taken.append((part.num_files, slices.rows_of(part, num_rows)))
            file += part.num_files
        return taken

    def _table(self, group: range) -> pa.Table:
        snapshot = self.snapshot._replace(files=tuple(self.snapshot.files[at] for at in group))
        parts = [part for part, _ in _read_files(self.source, snapshot, self.wanted, self.memory, lambda line: None)]
        if parts and self.schema.names:
            like = [self.schema.empty_table(), parts[0].table]
            parts[0] = parts[0]._replace(table=pa.concat_tables(like, promote_options="permissive"))
        table = _join(snapshot, parts)
        whole, _ = named_media.with_named_media(table, self.source, snapshot, parts, self.wanted.media, is_whole=False)
        return whole


def _groups(counts: list[int], max_rows: int) -> Iterator[range]:
    """Consecutive files with up to `max_rows` rows together, one file at least."""
    start = num_rows = 0
    for at, count in enumerate(counts):
        if at > start and num_rows + count > max_rows:
            yield range(start, at)
            start, num_rows = at, 0
        num_rows += count
    if start < len(counts):
        yield range(start, len(counts))


def _read_files(
    source: Source, snapshot: Snapshot, wanted: WantedColumns, memory: Location, say: Callable[[str], None]
) -> Iterator[tuple[Columns, bool]]:
    """Each file's columns, and whether they were read now. Few are read ahead."""

    def read_file(file: DataFile) -> tuple[Columns, bool]:
        kept = _kept(memory, file, wanted)
        if (known := _load(kept)) is not None:
            return known, False

        def is_any_there(paths: pa.Array) -> bool:
            return bool(pc.any(pc.is_valid(named_media.hashes_of(source, snapshot, file.path, paths).hash)).as_py())

        with source.open_ranges(snapshot, file) as handle:
            columns = read_columns(handle, wanted, file.path, is_any_there, with_members=bool(file.content))
            if file.content:  # it was turned into Parquet, as far as it could be read
                columns = columns._replace(faults=faults.loads(pq.ParquetFile(handle).metadata.metadata))
        _save(columns, kept)
        # of a file that was turned into Parquet, all was read
        return columns._replace(bytes_read=file.num_bytes) if file.content else columns, True

    with ThreadPoolExecutor(READ_THREADS) as pool:
        waiting: deque[Future[tuple[Columns, bool]]] = deque()
        upcoming = iter(snapshot.files)
        started = said = time.monotonic()
        num_bytes = packed = 0
        for number, file in enumerate(snapshot.files, 1):
            waiting.extend(pool.submit(read_file, file) for file in islice(upcoming, 2 * READ_THREADS - len(waiting)))
            part = waiting.popleft().result()
            num_bytes, packed = num_bytes + part[0].table.nbytes, packed + file.num_bytes
            _require_ratio(num_bytes, packed, snapshot)
            yield part
            if part[1] and time.monotonic() - said >= SAY_S:
                said = time.monotonic()
                rate = number / (said - started)
                left_s = (len(snapshot.files) - number) / rate
                done = f"{number:,} of {len(snapshot.files):,} files, {rate:,.1f} per second, {left_s:,.0f} s left"
                say(f"reading columns: {done}")


def _require_ratio(num_bytes: int, packed: int, snapshot: Snapshot) -> None:
    """Many files that each unpack to what one may are far more together.

    Raises:
        DatasetError: the columns take more than that.
    """
    if num_bytes > max(MIN_RATIO_BYTES, MAX_RATIO * packed):
        raise DatasetError(
            f'the columns of dataset "{snapshot.repository}" unpack from {packed:,d} to {num_bytes:,d} bytes and more, '
            f"more than {MAX_RATIO} times as many, which is not read: name columns of other texts"
        )


def _unify(snapshot: Snapshot, schemas: list[pa.Schema]) -> pa.Schema:
    """One schema for all files."""
    try:
        return pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise _disagreement(snapshot, error) from None


def _disagreement(snapshot: Snapshot, error: Exception) -> DatasetError:
    line = str(error).splitlines()[0].rsplit("Unable to merge: ", 1)[-1]
    return DatasetError(
        f'files of dataset "{snapshot.repository}" disagree about the type of a column: {line}. '
        "Write that column with one type in all files, or name another"
    )


def snapshot_of(raw_dataset: pa.Table) -> Snapshot:
    """The snapshot from which a `raw_dataset` table was read."""
    repository, commit, is_local, listed, *more = json.loads(raw_dataset.schema.metadata[SNAPSHOT])
    snapshot = Snapshot(repository, commit, is_local, tuple(DataFile(*file) for file in listed), *more)
    return snapshot._replace(parts=tuple(Part(*part) for part in snapshot.parts))


def _join(snapshot: Snapshot, parts: list[Columns]) -> pa.Table:
    counts = np.array([part.num_rows for part in parts], dtype=np.int64)
    which_file = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    starts = np.cumsum(counts) - counts
    row = np.arange(int(counts.sum()), dtype=np.int64)
    paths = pa.array([file.path for file in snapshot.files], pa.string())
    hashes = pa.array([file.hash for file in snapshot.files], pa.string())
    members = [pa.nulls(part.num_rows, pa.string()) if part.members is None else part.members for part in parts]
    place = pa.table(
        [
            row,
            pa.DictionaryArray.from_arrays(which_file, paths),
            pa.DictionaryArray.from_arrays(which_file, hashes),
            row - starts[which_file] if len(parts) else row,
            pa.chunked_array(members, pa.string()),
        ],
        schema=pa.schema([schema.ROW, *schema.LOCATION, schema.SOURCE_PATH]),
    )
    if parts and parts[0].table.num_columns:
        try:
            columns = pa.concat_tables([part.table for part in parts], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise _disagreement(snapshot, error) from None
        values = columns[schema.COLUMNS]
        place = place.append_column(schema.COLUMNS, values.cast(fingerprint.large(values.type)))
    facts = json.dumps(snapshot)
    return place.replace_schema_metadata({SNAPSHOT: facts})


def _slice(table: pa.Table, snapshot: Snapshot, counts: list[int]) -> tuple[pa.Table, list[slices.Slice]]:
    """The rows that the split's slices take, numbered anew; and these slices by number."""
    if not snapshot.parts:
        return table, []
    taken, found, file, start = [], [], 0, 0
    for part in snapshot.parts:
        num_rows = sum(counts[file : file + part.num_files])
        rows = slices.rows_of(part, num_rows)
        taken.append(table.slice(start + rows.start, rows.stop - rows.start))
        found.append(rows)
        file, start = file + part.num_files, start + num_rows
    joined = pa.concat_tables(taken)
    numbers = pa.array(np.arange(len(joined), dtype=np.int64))
    return joined.set_column(0, schema.ROW, numbers), found


def _kept(memory: Location, file: DataFile, wanted: WantedColumns) -> Location:
    """Where a file's columns are kept."""
    more = [MEMBERS] if file.content else []
    return memory / f"{file.hash}.{fingerprint.of_value([KEPT_VERSION, *wanted, *more])}.parquet"


def _load(kept: Location) -> Columns | None:
    table = files.read_table(kept)
    if table is None or NUM_ROWS not in (table.schema.metadata or {}):
        return None
    num_rows = int(table.schema.metadata[NUM_ROWS])
    found = faults.loads(table.schema.metadata)
    table = table.replace_schema_metadata(None)
    paths, members = (
        table[name].combine_chunks() if name in table.column_names else None for name in (MEDIA_PATHS, MEMBERS)
    )
    return Columns(
        table.select([schema.COLUMNS] if schema.COLUMNS in table.column_names else []),
        num_rows,
        0,
        paths,
        found,
        members,
    )


def _save(columns: Columns, kept: Location) -> None:
    table = columns.table
    for name, values in ((MEDIA_PATHS, columns.media_paths), (MEMBERS, columns.members)):
        if values is not None:
            table = table.append_column(name, values) if table.num_columns else pa.table({name: values})
    facts = {NUM_ROWS: str(columns.num_rows).encode()}
    if columns.faults:
        facts[faults.KEY] = faults.dumps(columns.faults)
    files.write_table(kept, table.replace_schema_metadata(facts))

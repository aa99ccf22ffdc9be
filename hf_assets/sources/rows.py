"""A split as one table of rows: their place and the columns that the config names, read once per file content."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint, schema
from hf_assets.blobs import Location
from hf_assets.errors import DatasetError, MissingColumnError
from hf_assets.sources import json_objects, named_media, slices, texts_beside
from hf_assets.sources.formats import faults
from hf_assets.sources.formats.parquet import Columns, WantedColumns, missing_field, read_columns
from hf_assets.sources.source import Source
from hf_assets.sources.spec import DataFile, Part, Snapshot
from hf_assets.store import memo
from hf_assets.store.memo import Rest

# Bump when a change to this module changes the table.
VERSION = 8
# Bump when a change to this module changes what is kept of a file's columns: all files are then read again.
KEPT_VERSION = 8

READ_THREADS = 8
# The columns of all files may be so much larger than the files, or have so many bytes.
MAX_RATIO, MIN_RATIO_BYTES = 200, 1 << 30
# While files are read, so often is said how far it is.
SAY_S = 5.0
SNAPSHOT = b"hf_assets.snapshot"
NUM_ROWS = b"num_rows"
# The stage of rows that aren't there, since their part of a file can't be read.
STAGE = "raw_dataset"
MEDIA_PATHS, MEMBERS, POSITIONS = "media_paths", "members", "positions"


class Rows(NamedTuple):
    """A split's rows, and what reading them took.

    Attributes:
        version: of the table: of the contents of all that its rows were read from.
        computed: rows whose columns were read now.
        rests: the files in which the columns are kept.
        faults: rows that aren't in the table, since they can't be read (`schema.QUARANTINE`); their `row` is -1.
        missing: rows that name a file which isn't there, and what the first of them names.
    """

    table: pa.Table
    version: str
    computed: int
    bytes_read: int
    rests: tuple[Rest, ...] | None
    faults: pa.Table
    missing: tuple[int, str] = (0, "")


def read(
    source: Source,
    snapshot: Snapshot,
    wanted: WantedColumns,
    memory: Location,
    say: Callable[[str], None],
    key_of: Callable[[str], str | None] = lambda column: None,
) -> Rows:
    """All of a split's rows at once, for who has few (`Scan`)."""
    scan = Scan(source, snapshot, wanted, memory, say, key_of)
    table = pa.concat_tables(scan.tables())
    return Rows(table, scan.version, scan.computed, scan.bytes_read, scan.rests, scan.faults, scan.missing)


class Scan:
    """A split's rows in tables of bounded size, in order.

    The wanted columns of each file are read and kept on disk, and taken from there file by file. What was read of the
    same content before comes from there.

    Attributes:
        computed: rows whose columns were read now.
        faults: rows that aren't in the tables, since they can't be read (`schema.QUARANTINE`); their `row` is -1.
        missing: rows that name a file which isn't there, and what the first of them names; once all tables were taken.
    """

    def __init__(
        self,
        source: Source,
        snapshot: Snapshot,
        wanted: WantedColumns,
        memory: Location,
        say: Callable[[str], None],
        key_of: Callable[[str], str | None] = lambda column: None,
    ) -> None:
        """
        Args:
            key_of: the key of the config that names a column.

        Raises:
            DatasetError: a column is missing, or files disagree about a column's type.
        """
        self.source, self.snapshot, self.wanted, self.memory = source, snapshot, wanted, memory
        self._key_of = key_of
        self._listed = memo.states_of(memory)
        self._read_now: dict[str, int] = {}
        read = self._read_files(snapshot, _known_facts, _Unpacked(snapshot), say)
        facts = [(_without_rows(one), is_fresh) for one, is_fresh in read]
        self.computed = sum(one.num_rows for one, is_fresh in facts if is_fresh)
        self.counts = [one.num_rows for one, _ in facts]
        self.schema = _unify(snapshot, [one.table.schema for one, _ in facts])
        self.faults = _faults(snapshot, [one for one, _ in facts])
        # of Parquet files, whose hashes don't say it: tables of them were made with these rows before
        self._left_out = [
            [file.hash, [fault.member for fault in one.faults]]
            for file, (one, _) in zip(snapshot.files, facts, strict=True)
            if one.faults and not file.content
        ]
        for path in wanted.required if schema.COLUMNS in self.schema.names else ():
            if (mistake := missing_field(self.schema.field(schema.COLUMNS).type, path)) is not None:
                raise DatasetError(self._with_key(path, mistake))
        self._metadata = {SNAPSHOT: json.dumps(snapshot)}
        self._named: list[str] = [""]
        self.missing = 0, ""

    @property
    def bytes_read(self) -> int:
        return sum(self._read_now.values())

    @property
    def version(self) -> str:
        """Of the tables: of the contents of all that their rows were read from. It is known once all were taken."""
        taken = [rows for _, rows in self._slice_counts()] if self.snapshot.parts else []
        more = [*self._named, *([self.snapshot.classes] if self.snapshot.classes else []), *self._left_out]
        return fingerprint.of_value([[file.hash for file in self.snapshot.files], self.wanted, taken, *more])

    @property
    def rests(self) -> tuple[Rest, ...] | None:
        """The files in which the columns are kept."""
        names = {self._kept(file).name for file in self.snapshot.files}
        states = {
            name: memo.state_of(self.memory / name) if name in self._read_now else self._listed.get(name)
            for name in names
        }
        known = {name: state for name, state in states.items() if state is not None}
        return (Rest(self.memory, known),) if len(known) == len(states) else None

    def tables(self, max_rows: int | None = None) -> Iterator[pa.Table]:
        """The rows: `row`, where each lies (`schema.LOCATION`), the file that it is (`schema.SOURCE_PATH`), and the
        wanted columns in the struct `columns`.

        A table has the rows of whole files with up to `max_rows` together, or part of those of a larger one. There is
        at least one.

        Raises:
            DatasetError: no row's media is there.
        """
        max_rows = max_rows or files.READ_ROWS
        named, paths, unpacked = named_media.Named(), _Paths(), _Unpacked(self.snapshot)
        row = file = num_tables = 0
        for num_files, taken in self._slice_counts():
            start = 0
            for group in _groups(self.counts[file : file + num_files], max_rows):
                table = self._table(range(file + group.start, file + group.stop), named, unpacked)
                low, high = (min(max(edge - start, 0), len(table)) for edge in taken)
                start += len(table)
                for at in range(low, high, max_rows):
                    some = table.slice(at, min(max_rows, high - at))
                    paths.add(some)
                    yield self._numbered(some, row)
                    row += len(some)
                    num_tables += 1
            file += num_files
        self.missing = named.num_missing, named.example
        try:
            self._named = [named.settle(self.wanted.media, self.snapshot, self.source), *paths.hash()]
        except DatasetError as error:
            raise DatasetError(self._with_key(self.wanted.media, str(error))) from None
        if not num_tables:
            first = self._table(range(min(len(self.counts), 1)), named_media.Named(), unpacked)
            yield self._numbered(first.slice(0, 0), 0)

    def _numbered(self, table: pa.Table, first: int) -> pa.Table:
        numbers = pa.array(np.arange(first, first + len(table), dtype=np.int64))
        return table.set_column(0, schema.ROW, numbers).replace_schema_metadata(self._metadata)

    def _kept(self, file: DataFile) -> Location:
        """Where a file's columns are kept; apart, where they were read of a file that was compared with its hash."""
        more: list[Any] = [MEMBERS] if file.content else ["whole"] if self.source.spec.whole_files else []
        more += [self.snapshot.classes] if self.snapshot.classes else []
        return self.memory / f"{file.hash}.{fingerprint.of_value([KEPT_VERSION, *self.wanted, *more])}.parquet"

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

    def _table(self, group: range, named: named_media.Named, unpacked: "_Unpacked") -> pa.Table:
        """The rows of some files."""
        snapshot = self.snapshot._replace(files=tuple(self.snapshot.files[at] for at in group))
        read = list(self._read_files(snapshot, _load, unpacked, lambda line: None))
        self.computed += sum(part.num_rows for part, is_fresh in read if is_fresh)  # what was kept is damaged
        parts = [part for part, _ in read]
        if parts and self.schema.names:
            like = [self.schema.empty_table(), parts[0].table]
            parts[0] = parts[0]._replace(table=pa.concat_tables(like, promote_options="permissive"))
        return named_media.with_named_media(_join(snapshot, parts), self.source, snapshot, parts, named)

    def _read_files(
        self,
        snapshot: Snapshot,
        known: Callable[[Location], Columns | None],
        unpacked: "_Unpacked",
        say: Callable[[str], None],
    ) -> Iterator[tuple[Columns, bool]]:
        """Each file's columns, and whether they were read now. Few are read ahead.

        Args:
            known: gives what is kept of a file.
            unpacked: counts how large they are.
        """

        def read_file(file: DataFile) -> tuple[Columns, bool]:
            kept = self._kept(file)
            if (found := known(kept)) is not None:
                return found, False
            try:
                columns = self._read_file(file)
            except MissingColumnError as error:
                is_media = error.column == self.wanted.media
                said = self._json_hint(file) or texts_beside.hint(self.source, self.snapshot, file, is_media=is_media)
                raise DatasetError(self._with_key(error.column, f"{error}{said}")) from None
            _save(columns, kept)
            self._read_now[kept.name] = columns.bytes_read
            return columns, True

        with ThreadPoolExecutor(READ_THREADS) as pool:
            waiting: deque[Future[tuple[Columns, bool]]] = deque()
            upcoming = iter(snapshot.files)
            started = said = time.monotonic()
            for number, file in enumerate(snapshot.files, 1):
                waiting.extend(
                    pool.submit(read_file, file) for file in islice(upcoming, 2 * READ_THREADS - len(waiting))
                )
                part = waiting.popleft().result()
                unpacked.add(file, part[0])
                yield part
                if part[1] and time.monotonic() - said >= SAY_S:
                    said = time.monotonic()
                    rate = number / (said - started)
                    left_s = (len(snapshot.files) - number) / rate
                    done = f"{number:,} of {len(snapshot.files):,} files, {rate:,.1f} per second, {left_s:,.0f} s left"
                    say(f"reading columns: {done}")

    def _with_key(self, column: str, message: str) -> str:
        key = self._key_of(column)
        return f"{key}: {message}" if key else message

    def _json_hint(self, file: DataFile) -> str:
        if not file.content:
            return ""
        with self.source.open_ranges(self.snapshot, file) as handle:
            return json_objects.hint(file.path, handle)

    def _read_file(self, file: DataFile) -> Columns:
        def is_any_there(paths: pa.Array) -> bool:
            found = named_media.hashes_of(self.source, self.snapshot, file.path, paths)
            return bool(pc.any(pc.is_valid(found.hash)).as_py())

        with self.source.open_ranges(self.snapshot, file) as handle:
            columns = read_columns(
                handle,
                self.wanted,
                file.path,
                is_any_there,
                with_members=bool(file.content),
                features=self.snapshot.classes,
            )
            if not file.content:
                return columns
            # it was turned into Parquet, as far as it could be read; and all of it was read
            found = faults.loads(pq.ParquetFile(handle).metadata.metadata)
            return columns._replace(faults=[*found, *columns.faults], bytes_read=file.num_bytes)


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


class _Paths:
    """The files that rows are, gathered table by table."""

    def __init__(self) -> None:
        self._is_any_there = False
        self._hash = fingerprint.TableHash(_PATHS)
        self._pieces = fingerprint.Pieces()

    def add(self, rows: pa.Table) -> None:
        paths = rows.select(_PATHS.names)
        self._is_any_there |= paths.column(0).null_count < len(paths)
        for piece in self._pieces.add(paths):
            self._hash.add(piece)

    def hash(self) -> list[str]:
        """Of all of them; nothing where no row is a file."""
        for piece in self._pieces.end():
            self._hash.add(piece)
        return [self._hash.hexdigest()] if self._is_any_there else []


_PATHS = pa.schema([schema.SOURCE_PATH])


class _Unpacked:
    """Many files that each unpack to what one may are far more together."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._repository = snapshot.repository
        self._num_bytes = self._packed = 0

    def add(self, file: DataFile, columns: Columns) -> None:
        """
        Raises:
            DatasetError: the columns take more than all files may.
        """
        self._num_bytes += columns.table.nbytes
        self._packed += file.num_bytes
        if self._num_bytes > max(MIN_RATIO_BYTES, MAX_RATIO * self._packed):
            raise DatasetError(
                f'the columns of dataset "{self._repository}" unpack from {self._packed:,d} to {self._num_bytes:,d} '
                f"bytes and more, more than {MAX_RATIO} times as many, which is not read: name columns of other texts"
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


def snapshot_of(raw_dataset: pa.Schema) -> Snapshot:
    """The snapshot from which a table was read: that of `raw_dataset`, or some of its rows."""
    repository, commit, is_local, listed, *more = json.loads(raw_dataset.metadata[SNAPSHOT])
    snapshot = Snapshot(repository, commit, is_local, tuple(DataFile(*file) for file in listed), *more)
    return snapshot._replace(parts=tuple(Part(*part) for part in snapshot.parts))


def _join(snapshot: Snapshot, parts: list[Columns]) -> pa.Table:
    counts = np.array([part.num_rows for part in parts], dtype=np.int64)
    which_file = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    row = np.arange(int(counts.sum()), dtype=np.int64)
    paths = pa.array([file.path for file in snapshot.files], pa.string())
    hashes = pa.array([file.hash for file in snapshot.files], pa.string())
    members = [pa.nulls(part.num_rows, pa.string()) if part.members is None else part.members for part in parts]
    place = pa.table(
        [
            row,
            pa.DictionaryArray.from_arrays(which_file, paths),
            pa.DictionaryArray.from_arrays(which_file, hashes),
            np.concatenate([_positions(part) for part in parts]) if parts else row,
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
    return place


def _positions(part: Columns) -> npt.NDArray[np.int64]:
    return np.arange(part.num_rows) if part.positions is None else part.positions.to_numpy()


def _known_facts(kept: Location) -> Columns | None:
    """What is kept of a file, without its rows: of these nothing is read, so who reads them may find them damaged."""
    try:
        arrow = pq.read_schema(files.parquet(kept))
    except (OSError, pa.ArrowException):
        return None
    return _columns_of(arrow.empty_table())


def _without_rows(columns: Columns) -> Columns:
    return columns._replace(table=columns.table.schema.empty_table(), media_paths=None, members=None, positions=None)


def _load(kept: Location) -> Columns | None:
    table = files.read_table(kept)
    return None if table is None else _columns_of(table)


def _columns_of(table: pa.Table) -> Columns | None:
    if NUM_ROWS not in (table.schema.metadata or {}):
        return None
    num_rows = int(table.schema.metadata[NUM_ROWS])
    found = faults.loads(table.schema.metadata)
    table = table.replace_schema_metadata(None)
    paths, members, positions = (
        table[name].combine_chunks() if name in table.column_names else None
        for name in (MEDIA_PATHS, MEMBERS, POSITIONS)
    )
    return Columns(
        table.select([schema.COLUMNS] if schema.COLUMNS in table.column_names else []),
        num_rows,
        0,
        paths,
        found,
        members,
        positions,
    )


def _save(columns: Columns, kept: Location) -> None:
    table = columns.table
    apart = {MEDIA_PATHS: columns.media_paths, MEMBERS: columns.members, POSITIONS: columns.positions}
    for name, values in apart.items():
        if values is not None:
            table = table.append_column(name, values) if table.num_columns else pa.table({name: values})
    facts = {NUM_ROWS: str(columns.num_rows).encode()}
    if columns.faults:
        facts[faults.KEY] = faults.dumps(columns.faults)
    files.write_table(kept, table.replace_schema_metadata(facts))

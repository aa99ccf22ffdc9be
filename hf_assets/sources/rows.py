"""A split as one table of rows: their place and the columns that the config names, read once per file content."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_assets import files, fingerprint, schema
from hf_assets.errors import DatasetError
from hf_assets.sources.parquet import Columns, WantedColumns, missing_field, read_columns
from hf_assets.sources.source import Source
from hf_assets.sources.spec import DataFile, Snapshot

# Bump when a change to this module changes the table.
VERSION = 3

READ_THREADS = 8
SNAPSHOT = b"hf_assets.snapshot"
NUM_ROWS = b"num_rows"


class Rows(NamedTuple):
    """A split's rows, and what reading them took."""

    table: pa.Table
    computed: int  # rows whose columns were read now
    bytes_read: int


def read(source: Source, snapshot: Snapshot, wanted: WantedColumns, memory: Path, say: Callable[[str], None]) -> Rows:
    """Read the wanted columns of every file of the split. What was read of the same content comes from `memory`.

    Returns:
        A table with `row`, where the row's bytes lie (`schema.LOCATION`), and the wanted columns in the struct
        `columns`.

    Raises:
        DatasetError: a column is missing, or files disagree about a column's type.
    """

    def read_file(file: DataFile) -> tuple[Columns, bool]:
        kept = memory / f"{file.hash}.{fingerprint.of_value([VERSION, *wanted])}.parquet"
        if (known := _load(kept)) is not None:
            return known, False
        with source.open_ranges(snapshot, file) as handle:
            columns = read_columns(handle, wanted, file.path)
        _save(columns, kept)
        return columns, True

    parts: list[tuple[Columns, bool]] = []
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for number, part in enumerate(pool.map(read_file, snapshot.files), 1):
            parts.append(part)
            if part[1] and number % 100 == 0:
                say(f"read the columns of {number:,} of {len(snapshot.files):,} files")
    table = _joined(snapshot, [columns for columns, _ in parts])
    for path in wanted.required if schema.COLUMNS in table.column_names else ():
        if (mistake := missing_field(table.schema.field(schema.COLUMNS).type, path)) is not None:
            raise DatasetError(mistake)
    fresh = [columns for columns, is_fresh in parts if is_fresh]
    return Rows(table, sum(columns.num_rows for columns in fresh), sum(columns.bytes_read for columns in fresh))


def snapshot_of(raw_dataset: pa.Table) -> Snapshot:
    """The snapshot from which a `raw_dataset` table was read."""
    repository, commit, is_local, listed = json.loads(raw_dataset.schema.metadata[SNAPSHOT])
    return Snapshot(repository, commit, is_local, tuple(DataFile(*file) for file in listed))


def _joined(snapshot: Snapshot, parts: list[Columns]) -> pa.Table:
    counts = np.array([part.num_rows for part in parts], dtype=np.int64)
    which_file = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    starts = np.cumsum(counts) - counts
    row = np.arange(int(counts.sum()), dtype=np.int64)
    paths = pa.array([file.path for file in snapshot.files], pa.string())
    hashes = pa.array([file.hash for file in snapshot.files], pa.string())
    place = pa.table(
        [
            row,
            pa.DictionaryArray.from_arrays(which_file, paths),
            pa.DictionaryArray.from_arrays(which_file, hashes),
            row - starts[which_file] if len(parts) else row,
        ],
        schema=pa.schema([schema.ROW, *schema.LOCATION]),
    )
    if parts and parts[0].table.num_columns:
        try:
            columns = pa.concat_tables([part.table for part in parts], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            line = str(error).splitlines()[0]
            raise DatasetError(
                f'files of dataset "{snapshot.repository}" disagree about the type of a column: {line}'
            ) from None
        values = columns[schema.COLUMNS]
        place = place.append_column(schema.COLUMNS, values.cast(fingerprint.large(values.type)))
    facts = json.dumps([snapshot.repository, snapshot.commit, snapshot.is_local, snapshot.files])
    return place.replace_schema_metadata({SNAPSHOT: facts})


def _load(kept: Path) -> Columns | None:
    table = files.read_table(kept)
    if table is None or NUM_ROWS not in (table.schema.metadata or {}):
        return None
    return Columns(table.replace_schema_metadata(None), int(table.schema.metadata[NUM_ROWS]), 0)


def _save(columns: Columns, kept: Path) -> None:
    files.write_table(kept, columns.table.replace_schema_metadata({NUM_ROWS: str(columns.num_rows)}))

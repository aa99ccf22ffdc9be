"""The last training set of a dataset, and what a run would make of it: what `changes` compares, and names for it."""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import quarantine
from hf_assets.encode.probe import LedgerAnswer
from hf_assets.kinds.medium import Medium
from hf_assets.plan import changes
from hf_assets.plan.changes import Changes, Samples
from hf_assets.plan.comparison import Comparison
from hf_assets.stages import naming
from hf_assets.stages.aligning import END, Cursor

STAGE = "training_set"


class Diff:
    """Gathers what the next training set will hold, table by table, beside the last one."""

    def __init__(self, recipe: Recipe, medium: Medium) -> None:
        last = _last_columns(recipe)
        have = changes.geometry_of(last or medium.buckets.names, medium.buckets.names)
        has_paths = last is None or schema.SOURCE_PATH.name in last  # an earlier release noted none
        self.has_paths = has_paths
        # all samples, where there is no last training set
        self.every = Samples(have, has_paths=has_paths)
        # rows whose media aren't read yet, and the identities of those that have paths
        self.unread: list[tuple[np.ndarray, np.ndarray]] = []
        self.left_out: list[tuple[str, np.ndarray]] = []
        self.before: Cursor | None = None
        if last is not None:
            self.comparison = Comparison(have, has_paths=has_paths, last=functools.partial(_last_tables, recipe))
            self.before = Cursor(_last_tables(recipe, self.comparison.columns(last)))

    def add(
        self,
        judged: pa.Table,
        captions: pa.Table,
        buckets: pa.Table,
        recalled: LedgerAnswer,
        others: Sequence[pa.Table],
        media_of: Callable[[pa.ChunkedArray], pa.Table],
    ) -> None:
        """Take rows of the split.

        Args:
            captions, buckets: of the rows that are used; those of which no bucket is known are left out.
            recalled: what is known of the rows that have captions.
            others: the rows that are left out, with `dropped_for`.
            media_of: gives `row` and `media_hash` of rows, as far as they are known.
        """
        if recalled.unknown:
            self._add_unread(np.sort(np.concatenate([part.rows for part in recalled.unknown])), judged)
        at = pc.index_in(buckets["row"], value_set=captions["row"].combine_chunks())
        used = captions.take(at)
        for name in buckets.column_names:
            if name not in used.column_names:
                used = used.append_column(name, buckets[name])
        used = naming.with_source_paths(used, judged)
        if self.before is None:
            self.every.add(used)
            return
        self.comparison.add(self.before.until(judged["row"][-1].as_py() if len(judged) else -1), used)
        for table in others:
            if len(table):
                media = media_of(table["row"])
                known = pc.index_in(table["row"], value_set=media["row"].combine_chunks())
                named = pa.table({"row": table["row"], "media_hash": media["media_hash"].take(known)})
                identity = changes.ids(naming.with_source_paths(named, judged), self.has_paths)
                reasons = table["dropped_for"].cast(pa.string()).to_numpy(zero_copy_only=False)
                self.left_out += [(reason, identity[reasons == reason]) for reason in dict.fromkeys(reasons)]
        failed = recalled.quarantined.select(["row"])
        failed = failed.append_column("media_hash", pa.nulls(len(failed), pa.string()))
        failed = naming.with_source_paths(failed, judged)
        self.left_out.append((changes.FAILED, changes.ids(failed, self.has_paths)))

    def settle(self, failed_rows: np.ndarray, failed_texts: np.ndarray) -> Changes:
        """What changes."""
        left_out = changes.by_reason(self.left_out)
        rows = np.concatenate([np.empty(0, np.int64), *(some for some, _ in self.unread)])
        known = np.concatenate([np.empty(0, np.uint64), *(ids for _, ids in self.unread)])
        otherwise = changes.MAYBE_GONE if len(known) < len(rows) else changes.GONE
        if self.before is None:
            return changes.compare(None, self.every, left_out, failed_rows, failed_texts, otherwise, (rows, known))
        if len(rest := self.before.until(END)):
            self.comparison.add(rest, rest.slice(0, 0))
        return self.comparison.changes(left_out, failed_rows, failed_texts, otherwise, (rows, known))

    def _add_unread(self, rows: np.ndarray, judged: pa.Table) -> None:
        """Take rows of which nothing is known but, maybe, their paths."""
        table = pa.table({"row": rows, "media_hash": pa.nulls(len(rows), pa.string())})
        named = naming.with_source_paths(table, judged)
        named = named.filter(pc.is_valid(named[schema.SOURCE_PATH.name]))
        identity = changes.ids(named, has_paths=True) if self.has_paths else np.empty(0, np.uint64)
        self.unread.append((rows, identity))


def unchanged(recipe: Recipe) -> Changes | None:
    """That nothing changes, where the last training set was made of the tables that are there; None where it wasn't."""
    last = folder.table(recipe.folders.metadata, STAGE)
    if _last_columns(recipe) is None:
        return None
    none = np.empty(0, np.int64)
    with pq.ParquetFile(files.parquet(last)) as file:
        number = file.metadata.num_rows
    return Changes(number, number, none, none, none, none, {})


def names_of(recipe: Recipe, found: Changes, tables: Callable[[], Iterator[pa.Table]]) -> dict[str, list[str]]:
    """The files of the samples that change, by what becomes of them: `removed (too_small)`, `recaptioned` and so on."""
    named: dict[str, list[str]] = {}
    wanted = {kind: rows for kind, rows in {**found.by_kind, "unread": found.unread}.items() if len(rows)}
    if wanted:
        every = pa.array(np.unique(np.concatenate([*wanted.values()])))
        names: dict[int, str] = {}
        for table in tables():
            some = table.filter(pc.is_in(table["row"], value_set=every))
            some = some.select(["row", schema.SOURCE_PATH.name]).append_column(
                "address", quarantine.addresses(some["row"], some)
            )
            names |= {row["row"]: naming.name_of(row) for row in some.to_pylist()}
        named |= {kind: [names[row] for row in rows.tolist()] for kind, rows in wanted.items()}
    last = _last_columns(recipe)
    if last is not None and found.removed:
        wanted_columns = [name for name in ("row", "file", schema.SOURCE_PATH.name) if name in last]
        table = files.read_table(folder.table(recipe.folders.metadata, STAGE), columns=wanted_columns)
        assert table is not None
        said = {row["row"]: row.get(schema.SOURCE_PATH.name) or row["file"] for row in table.to_pylist()}
        named |= {f"removed ({why})": [said[row] for row in rows.tolist()] for why, rows in found.removed.items()}
    return named


def _last_columns(recipe: Recipe) -> list[str] | None:
    """The columns of the last training set; None where there is none that can be read."""
    try:
        with pq.ParquetFile(files.parquet(folder.table(recipe.folders.metadata, STAGE))) as file:
            return [str(name) for name in file.schema_arrow.names]
    except (OSError, pa.ArrowException):
        return None


def _last_tables(recipe: Recipe, names: Sequence[str]) -> Iterator[pa.Table]:
    """Those of these columns that are there, in tables of which there is at least one."""
    with pq.ParquetFile(files.parquet(folder.table(recipe.folders.metadata, STAGE))) as file:
        columns = [name for name in names if name in file.schema_arrow.names]
        yield file.schema_arrow.empty_table().select(columns)
        for batch in file.iter_batches(columns=columns):
            yield pa.Table.from_batches([batch])

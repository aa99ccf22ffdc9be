"""What a run changed in the training set, for the report's head."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, folder, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.plan import changes
from hf_assets.stages import naming
from hf_assets.stages.aligning import Cursor

NAMES = 5
WORDS = {
    "added": "added",
    "recaptioned": "with other captions",
    "recropped": "cut in another way",
}
KEY = "latent_key"
ALL_ROWS = 2**63 - 1


class SinceLast:
    """What differs between the training set that is on the disk and the one that is being made.

    Rows that are equal under one number are left out as they come; of the others, numbers are held.
    """

    def __init__(self, recipe: Recipe, before: Iterator[pa.Table] | None) -> None:
        """
        Args:
            before: the rows of the one on the disk, but for those that the new one takes over; None: there is none.
        """
        self._root = recipe.folders.metadata
        self._before = None if before is None else Cursor(before)
        self._num_samples = 0
        self._samples: tuple[changes.Samples, changes.Samples] | None = None
        self._compared: list[str] = []
        self._new_keys: list[pa.Array] = []

    def add(self, samples: pa.Table, is_kept: bool = False) -> None:
        """The next rows of the new one, which may be taken over as they are."""
        self._num_samples += len(samples)
        if not is_kept and self._before is not None:
            self._compare(self._before.until(samples["row"][-1].as_py() if len(samples) else -1), samples)

    def _compare(self, old: pa.Table, new: pa.Table) -> None:
        if self._samples is None:
            has_paths = naming.NAME in old.column_names  # an earlier release noted none
            geometry = changes.geometry_of(old.column_names, new.column_names)
            self._samples = (
                changes.Samples(geometry, has_paths=has_paths),
                changes.Samples(geometry, has_paths=has_paths),
            )
            self._compared = ["media_hash", "captions", *([naming.NAME] if has_paths else []), *geometry]
            self._compared += [schema.LYRICS.name] if schema.LYRICS.name in new.column_names else []
        if KEY in old.column_names:
            self._new_keys += without_equal(old, new, [KEY])[1][KEY].chunks
        for samples, rows in zip(self._samples, without_equal(old, new, self._compared), strict=True):
            samples.add(rows)

    def lines(self) -> list[str]:
        """A line for each kind of change."""
        if self._before is None or self._samples is None:
            return [f"This is the first training set: {_number(self._num_samples)}."]
        rest = self._before.until(ALL_ROWS)
        if len(rest):
            for samples, rows in zip(self._samples, (rest, rest.slice(0, 0)), strict=True):
                samples.add(rows)
        found = changes.compare(*self._samples, {})
        lines = [
            f"{_number(len(rows))} {WORDS[kind]}: {_names(self._root, 'raw_dataset', rows)}"
            for kind, rows in found.by_kind.items()
            if len(rows) and kind in WORDS
        ]
        lines += [
            f"{_number(len(rows))} gone: {_names(self._root, 'training_set', rows)}" for rows in found.removed.values()
        ]
        if count := self._num_new_latents():
            verb = "has" if count == 1 else "have"
            lines.append(f"{_number(count)} {verb} a latent that the last training set didn't have.")
        return lines or ["Nothing: the training set is the one of the last run."]

    def _num_new_latents(self) -> int:
        """Samples whose latent no sample of the last training set has."""
        keys = pa.chunked_array(self._new_keys, pa.string())
        if not len(keys):
            return 0
        wanted = keys.unique()
        before = files.read_tables(folder.table(self._root, "training_set"), [KEY]) or ()
        for table in before:
            known = table[KEY].filter(pc.is_in(table[KEY], value_set=wanted)).unique()
            keys = keys.filter(pc.invert(pc.is_in(keys, value_set=known)))
        return len(keys)


def without_equal(old: pa.Table, new: pa.Table, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """Two tables without the rows that both have under one number, with equal values in these columns."""
    one, other = old, new
    if not old["row"].equals(new["row"]):
        at = pc.index_in(new["row"], value_set=old["row"].combine_chunks())
        one, other = old.take(at.drop_null()), new.filter(at.is_valid())
    is_equal = np.ones(len(one), bool)
    for name in names:
        is_equal &= _equal(one[name], other[name]) if name in one.column_names else False
    rows = one["row"].filter(pa.array(is_equal)).combine_chunks()
    if not len(rows):
        return old, new
    if len(rows) == len(old) == len(new):
        return old.slice(0, 0), new.slice(0, 0)
    old, new = (some.filter(pc.invert(pc.is_in(some["row"], value_set=rows))) for some in (old, new))
    return old, new


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """(N,) bool: where two columns have one value; a null is equal to a null."""
    if one.type != other.type:
        return np.zeros(len(one), bool)
    if not schema.is_list(one.type):
        both_null = pc.and_(pc.is_null(one), pc.is_null(other))
        equal: np.ndarray = pc.or_(pc.fill_null(pc.equal(one, other), False), both_null).to_numpy()
        return equal
    lengths, others = (pc.fill_null(pc.list_value_length(column), -1).to_numpy() for column in (one, other))
    is_equal: np.ndarray = lengths == others
    same = pa.array(is_equal)
    values = (pc.list_flatten(column.filter(same)) for column in (one, other))
    parents = np.repeat(np.flatnonzero(is_equal), np.maximum(lengths[is_equal], 0))
    is_equal[parents[~_equal(*values)]] = False
    return is_equal


def _number(count: int) -> str:
    return f"{count:,} sample" if count == 1 else f"{count:,} samples"


def _names(root: Location, table: str, rows: "changes.Numbers") -> str:
    wanted = pa.array(rows[:NAMES])
    tables = files.read_tables(folder.table(root, table), ["row", naming.NAME]) or ()
    some = [naming.name_of(row) for part in tables for row in _rows(part, wanted)]
    more = f" and {len(rows) - len(some):,} more" if len(rows) > len(some) else ""
    return f"{', '.join(some)}{more}"


def _rows(table: pa.Table, wanted: pa.Array) -> list[dict[str, object]]:
    found: list[dict[str, object]] = table.filter(pc.is_in(table["row"], value_set=wanted)).to_pylist()
    return found

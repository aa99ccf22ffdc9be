"""Two training sets side by side: rows that keep their number and their identity are compared where they are.

Most edits leave most samples at their numbers, so only what comes, goes or moves is compared by hashes (`changes`). A
sample that stays is compared with itself, also where others have its identity.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.plan import changes
from hf_assets.plan.changes import GONE, NONE, Changes, Numbers, Samples
from hf_assets.stages import captions as captions_stage

# What of a sample may differ while it stays, as bits.
MEDIA, CAPTIONS, GEOMETRY = 1, 2, 4
LYRICS = schema.LYRICS.name


class _Stayed(NamedTuple):
    """Samples that stayed where they were.

    Attributes:
        rows: their numbers.
        differ: what of each is another one now, as bits.
    """

    rows: Numbers
    differ: Numbers


class Comparison:
    """What differs between the last training set and the next one; both come in the split's order.

    Of rows that stay and are equal, nothing is held unless samples may fail; of the others, numbers are.
    """

    def __init__(
        self,
        geometry: Collection[str],
        *,
        has_paths: bool,
        last: Callable[[Sequence[str]], Iterator[pa.Table]] | None = None,
    ) -> None:
        """
        Args:
            geometry: columns that say how a sample is cut.
            has_paths: whether samples are identified by their paths, where they have some.
            last: gives columns of the last training set once more. It is needed where some samples or captions of the
                next one may turn out to fail (`changes`).
        """
        self._last = last
        self._before, self._after = (Samples(geometry, has_paths=has_paths) for _ in range(2))
        self._stayed: list[_Stayed] = [_Stayed(NONE, np.empty(0, np.uint8))]
        self._num_stayed = 0

    @property
    def has_paths(self) -> bool:
        return self._after.has_paths

    def columns(self, there: Collection[str]) -> list[str]:
        """Those columns of a table that are compared."""
        wanted = {"row", "media_hash", "captions", LYRICS, *self._after.geometry}
        wanted |= {schema.SOURCE_PATH.name} if self.has_paths else set()
        return [name for name in there if name in wanted]

    def add(self, old: pa.Table, new: pa.Table) -> None:
        """All rows of both in the next stretch of the split."""
        old, new = old.select(self.columns(old.column_names)), new.select(self.columns(new.column_names))
        at_old, at_new = places_of_common(old["row"].to_numpy(), new["row"].to_numpy())
        one, other = _at(old, at_old), _at(new, at_new)
        has_same_media = equal(one["media_hash"], other["media_hash"])
        stays = has_same_media
        if self.has_paths:
            paths = one[schema.SOURCE_PATH.name]
            stays = equal(paths, other[schema.SOURCE_PATH.name]) & (paths.is_valid().to_numpy() | has_same_media)
        differ = MEDIA * (~has_same_media).astype(np.uint8)
        differ |= CAPTIONS * _differ(one, other, ["captions", LYRICS])
        differ |= GEOMETRY * _differ(one, other, self._after.geometry)
        if self._last is not None:  # what fails may make other captions equal
            stays &= differ & CAPTIONS == 0
        self._num_stayed += int(np.count_nonzero(stays))
        is_noted = stays if self._last is not None else stays & (differ > 0)
        self._stayed.append(_Stayed(one["row"].to_numpy()[is_noted], differ[is_noted]))
        self._before.add(_but(old, at_old[stays]))
        self._after.add(_but(new, at_new[stays]))

    def changes(
        self,
        left_out: dict[str, Numbers] | None = None,
        failed_rows: Numbers = NONE,
        failed_texts: Numbers = NONE,
        otherwise: str = GONE,
        unread: tuple[Numbers, Numbers] = (NONE, NONE),
    ) -> Changes:
        """What changes: see `changes.compare`. Nothing is added after that."""
        found = changes.compare(self._before, self._after, left_out or {}, failed_rows, failed_texts, otherwise, unread)
        rows, differ = (np.concatenate(column) for column in zip(*self._stayed, strict=True))
        failed = np.isin(rows, failed_rows)
        if len(failed_texts):
            without, fewer = self._failed_captions(failed_texts)
            failed |= np.isin(rows, without)
            differ[np.isin(rows, fewer)] |= CAPTIONS
        gone, rows, differ = rows[failed], rows[~failed], differ[~failed]
        is_same_media = differ & MEDIA == 0
        removed = found.removed
        if len(gone):
            removed = {**removed, changes.FAILED: _joined(removed.get(changes.FAILED, NONE), gone)}
        return found._replace(
            before=(found.before or 0) + self._num_stayed,
            after=found.after + self._num_stayed - len(gone),
            media=_joined(found.media, rows[~is_same_media]),
            recaptioned=_joined(found.recaptioned, rows[differ & CAPTIONS > 0]),
            recropped=_joined(found.recropped, rows[is_same_media & (differ & GEOMETRY > 0)]),
            removed=removed,
        )

    def _failed_captions(self, failed_texts: Numbers) -> tuple[Numbers, Numbers]:
        """Rows of the last training set all of whose captions fail now, and those of which some do."""
        assert self._last is not None, "captions don't fail"
        every, some = [NONE], [NONE]
        for table in self._last(["row", "captions", LYRICS]):
            lines = captions_stage.lines(table)
            is_failed = np.isin(changes.hash_texts(lines), failed_texts)
            if is_failed.any():
                rows = lines["row"].to_numpy()
                failed, left = np.unique(rows[is_failed]), np.unique(rows[~is_failed])
                every.append(np.setdiff1d(failed, left))
                some.append(np.intersect1d(failed, left))
        return np.concatenate(every), np.concatenate(some)


def places_of_common(old: Numbers, new: Numbers) -> tuple[Numbers, Numbers]:
    """Where the numbers that both have stand in each; both ascend."""
    if np.array_equal(old, new):
        return np.arange(len(old)), np.arange(len(new))
    _, at_old, at_new = np.intersect1d(old, new, assume_unique=True, return_indices=True)
    return at_old, at_new


def _at(table: pa.Table, places: Numbers) -> pa.Table:
    return table if len(places) == len(table) else table.take(pa.array(places))


def _but(table: pa.Table, places: Numbers) -> pa.Table:
    """A table without the rows at some places."""
    if len(places) == len(table):
        return table.slice(0, 0)
    if not len(places):
        return table
    is_left = np.ones(len(table), bool)
    is_left[places] = False
    return table.filter(pa.array(is_left))


def _joined(one: Numbers, other: Numbers) -> Numbers:
    return np.sort(np.concatenate([one, other])) if len(other) else one


def _differ(one: pa.Table, other: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(N,) uint8: 1 where rows have not the same values in these columns; 1 for all where only one has a column."""
    is_equal = np.ones(len(one), bool)
    for name in names:
        has_one, has_other = name in one.column_names, name in other.column_names
        if has_one and has_other:
            is_equal &= equal(one[name], other[name])
        elif has_one or has_other:
            is_equal[:] = False
    return (~is_equal).astype(np.uint8)


def equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """(N,) bool: where two columns have one value; a null is equal to a null, and no number to none."""
    if one.type != other.type:
        try:
            other = other.cast(one.type)
        except pa.ArrowException:  # it has values that the other type has not
            return np.zeros(len(one), bool)
    if one.equals(other):
        return np.ones(len(one), bool)
    if pa.types.is_fixed_size_list(one.type) and not one.null_count + other.null_count:
        flat = (pc.list_flatten(column).to_numpy().reshape(len(one), -1) for column in (one, other))
        together: np.ndarray = np.equal(*flat).all(axis=1)
        return together
    if not schema.is_list(one.type):
        both_null = pc.and_(pc.is_null(one, nan_is_null=True), pc.is_null(other, nan_is_null=True))
        found: np.ndarray = pc.or_(pc.fill_null(pc.equal(one, other), False), both_null).to_numpy()
        return found
    lengths, others = (pc.fill_null(pc.list_value_length(column), -1).to_numpy() for column in (one, other))
    is_equal: np.ndarray = lengths == others
    same = pa.array(is_equal)
    values = (pc.list_flatten(column.filter(same)) for column in (one, other))
    parents = np.repeat(np.flatnonzero(is_equal), np.maximum(lengths[is_equal], 0))
    is_equal[parents[~equal(*values)]] = False
    return is_equal

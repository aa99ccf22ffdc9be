"""Decide from columns which rows are worth reading, and say why the others are not."""

import functools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError
from hf_assets.stages import composites, custom, expressions, frames, geometry, sampling
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.custom import CustomRule
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import GeometryRules

# Bump when a change to this module changes which rows are kept.
VERSION = 4

USUAL_SIZE_COLUMNS = ("width", "height")
COLLECTION_COLUMN = "collection"
SIZE_REASONS = ("too_narrow", "too_low")
# A few names are faster compared than looked up.
MOST_COMPARED = 3


class FilterRules(BaseModel):
    """What a row must satisfy, all limits inclusive.

    Attributes:
        quality_column: a struct column of numbers.
        quality_thresholds: metric within `quality_column` -> smallest accepted value.
        collection: accepted values of the column `collection`; of a list, one of its items must be among them.
        min_width, min_height: in pixels.
        width_column, height_column: columns with the size in pixels. Without them the columns `width` and `height` are
            used in rows that have numbers in both, else the media's own header, once it is read (`judge_sizes`).
        by_size: limits that are compared with the media's own size later; here already in rows whose `width_column` and
            `height_column` give it.
        composite: sizes are those of an image's cell.
        frames: limits of videos, compared with their own numbers of frames later; here already in rows whose
            `num_frames_column` gives it.
        where: an SQL expression over `where_columns`.
        custom: a function of the user's own.
        max_num_samples: of the rows that satisfy all else, so many are kept (`sampling`).
        sampled_by: the columns whose content identifies a row there; and `sampled_by_if_there`, where they are there.
    """

    model_config = ConfigDict(frozen=True)

    quality_column: str | None = None
    quality_thresholds: tuple[tuple[str, float], ...] = ()
    collection: tuple[str, ...] = ()
    min_width: int | None = None
    min_height: int | None = None
    width_column: str | None = None
    height_column: str | None = None
    by_size: GeometryRules | None = None
    composite: CompositeRules | None = None
    frames: FrameRules | None = None
    num_frames_column: str | None = None
    where: str | None = None
    where_columns: tuple[str, ...] = ()
    custom: CustomRule | None = None
    max_num_samples: int | None = None
    sampled_by: tuple[str, ...] = ()
    sampled_by_if_there: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these rules need."""
        named = (
            *((self.width_column, self.height_column) if self.has_size_rules or self.by_size else ()),
            self.num_frames_column if self.frames else None,
            *self.where_columns,
            *(self.custom.columns if self.custom else ()),
            *(self.sampled_by if self.max_num_samples is not None else ()),
        )
        return tuple(dict.fromkeys(column for column in named if column))

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """The columns that these rules read where the dataset has them: a row without them is dropped, or, of sizes
        under their usual names, judged later."""
        usual_sizes = USUAL_SIZE_COLUMNS if self.has_size_rules and not self.width_column else ()
        return (
            *(f"{self.quality_column}.{metric}" for metric, _ in self.quality_thresholds),
            *((COLLECTION_COLUMN,) if self.collection else ()),
            *usual_sizes,
            *(self.sampled_by_if_there if self.max_num_samples is not None else ()),
        )

    @property
    def has_size_rules(self) -> bool:
        return self.min_width is not None or self.min_height is not None


# Of each row, whether it is so; a scalar: of all.
Flags: TypeAlias = np.ndarray | pa.ChunkedArray | pa.Array | pa.Scalar


def judge(raw_dataset: pa.Table, rules: FilterRules) -> pa.Table:
    """Add a `dropped_for` column: null for a kept row, else the first rule it breaks.

    A row whose value is missing (a null, a column or a metric that isn't there) can't be said to pass, so it is
    dropped; but where a column is only looked at for its usual name, the row's media decide later.

    Raises:
        DatasetError: a column that `rules` names holds something of another type, or a function of the user's failed.
    """
    (table,) = judge_tables(lambda: iter([raw_dataset]), rules)
    return table


def judge_tables(tables: Callable[[], Iterator[pa.Table]], rules: FilterRules) -> Iterator[pa.Table]:
    """`judge` for a dataset in several tables.

    Args:
        tables: all rows of the split, in its order; asked for twice where a number of rows is to be chosen.
    """
    if rules.max_num_samples is None:
        yield from (table.append_column("dropped_for", _first_reasons(table, rules)) for table in tables())
        return
    known_by = (*rules.sampled_by, *rules.sampled_by_if_there)
    first_look = [(sampling.contents(table, known_by), _first_reasons(table, rules)) for table in tables()]
    is_candidate = np.concatenate([np.empty(0, bool), *(pc.is_null(judged).to_numpy() for _, judged in first_look)])
    contents = np.concatenate([np.empty(0, np.uint64), *(contents for contents, _ in first_look)])
    lost = sampling.left_out(contents, is_candidate, rules.max_num_samples)
    start = 0
    for table, (_, dropped_for) in zip(tables(), first_look, strict=True):
        is_lost = pa.array(lost[start : start + len(table)])
        start += len(table)
        yield table.append_column("dropped_for", pc.if_else(is_lost, "max_num_samples", dropped_for))


def _first_reasons(raw_dataset: pa.Table, rules: FilterRules) -> pa.ChunkedArray:
    """Each row's reason, but for the choice among those that have none."""
    broken: list[tuple[np.ndarray, str]] = []
    for passes, missing, reason in _rule_results(raw_dataset, rules):
        for breaks, name in (
            (_flags(missing, len(raw_dataset)), f"{reason}_missing"),
            (~_flags(passes, len(raw_dataset)), reason),
        ):
            if breaks.any():
                broken.append((breaks, name))
    # the earlier a reason, the larger its number, so that the largest of a row is its first; 0 where there is none
    numbers = np.zeros(len(raw_dataset), np.min_scalar_type(len(broken)))
    for number, (breaks, _) in zip(range(len(broken), 0, -1), broken, strict=True):
        np.maximum(numbers, breaks * numbers.dtype.type(number), out=numbers)
    reasons = pa.array([None, *(name for _, name in reversed(broken))], pa.string())
    dropped_for = pa.chunked_array([reasons.take(pa.array(numbers))])
    if rules.custom is not None:
        dropped_for = _drop_by_function(raw_dataset, rules.custom, dropped_for)
    return dropped_for


def lacking(raw_dataset: pa.Table, rules: FilterRules, *, is_folder: bool = False) -> list[str]:
    """A line for each column that these rules look at, and that has a value in no row (`Lacking`)."""
    seen = Lacking(rules, is_folder=is_folder)
    seen.add(raw_dataset)
    return seen.lines()


class Lacking:
    """`lacking` for a dataset in several tables."""

    def __init__(self, rules: FilterRules, *, is_folder: bool = False) -> None:
        """
        Args:
            is_folder: of media, where nobody looks for columns of sizes.
        """
        self._rules, self._is_folder = rules, is_folder
        self._num_rows = self._num_sizeless = 0
        # (column, key) where a row without a value is dropped; (column, origin) where it is looked at there
        self._dropping = [
            *(((COLLECTION_COLUMN, "collection"),) if rules.collection else ()),
            *((f"{rules.quality_column}.{metric}", "quality_thresholds") for metric, _ in rules.quality_thresholds),
        ]
        self._deferring = [(rules.num_frames_column, "the videos")] if rules.frames and rules.num_frames_column else []
        limits = zip((rules.width_column, rules.height_column), (rules.min_width, rules.min_height), strict=True)
        for (column, limit), key in zip(limits, ("min_width", "min_height"), strict=True):
            if column and limit is not None:
                self._dropping.append((column, key))
            elif column and rules.by_size:
                self._deferring.append((column, "the media"))
        self._empty = {column for column, _ in (*self._dropping, *self._deferring)}

    @property
    def is_open(self) -> bool:
        """Whether more rows may change the lines."""
        return bool(self._empty) or self._num_sizeless == self._num_rows

    def add(self, raw_dataset: pa.Table) -> None:
        self._num_rows += len(raw_dataset)
        self._empty = {column for column in self._empty if _is_empty(raw_dataset, column)}
        if self._rules.has_size_rules and not self._rules.width_column:
            self._num_sizeless += len(sizeless(raw_dataset, self._rules))

    def lines(self) -> list[str]:
        if not self._num_rows:
            return []
        lines = [
            f'no row has a value in column "{column}", so {key} drops every row'
            for column, key in self._dropping
            if column in self._empty
        ]
        lines += [
            f'no row has a value in column "{column}": what it would say is read from {origin}'
            for column, origin in self._deferring
            if column in self._empty
        ]
        if self._num_sizeless == self._num_rows and not self._is_folder:
            names = " and ".join(USUAL_SIZE_COLUMNS)
            lines.append(f"no row has sizes in columns {names}: they are read from the media")
        return lines


def _is_empty(raw_dataset: pa.Table, column: str) -> bool:
    return bool(schema.column(raw_dataset, column).null_count == len(raw_dataset))


def sizeless(raw_dataset: pa.Table, rules: FilterRules) -> pa.ChunkedArray:
    """The `row`s whose size no column gives, so that `rules` are to be applied to their media (`judge_sizes`)."""
    if not rules.has_size_rules or rules.width_column:
        return raw_dataset["row"].slice(0, 0)
    return raw_dataset["row"].filter(_lacks_usual_sizes(raw_dataset))


def judge_sizes(original_size: pa.ChunkedArray, rules: FilterRules) -> pa.Array:
    """For media whose size no column gives: null for a kept one, else the first rule it breaks."""
    width, height = schema.halves(original_size)
    dropped_for = pa.nulls(len(original_size), pa.string())
    for size, limit, reason in zip((width, height), (rules.min_width, rules.min_height), SIZE_REASONS, strict=True):
        if limit is not None:
            dropped_for = pc.coalesce(
                dropped_for, pc.if_else(pa.array(size < limit), reason, pa.scalar(None, pa.string()))
            )
    return dropped_for


def kept(judged: pa.Table) -> pa.Table:
    """The rows that pass: their position, file and columns, without where their bytes lie."""
    return _where(pc.is_null(judged["dropped_for"]), judged).drop_columns("dropped_for")


def dropped(judged: pa.Table) -> pa.Table:
    """The rows that don't, each with its reason."""
    return _where(pc.is_valid(judged["dropped_for"]), judged)


def _where(is_wanted: pa.ChunkedArray, judged: pa.Table) -> pa.Table:
    table = judged.drop_columns([name for name in schema.LOCATION.names if name in judged.column_names])
    if schema.COLUMNS in table.column_names:
        columns = table[schema.COLUMNS]
        at = table.schema.get_field_index(schema.COLUMNS)
        table = table.set_column(at, schema.COLUMNS, columns.cast(fingerprint.large(columns.type)))
    return table.filter(is_wanted)


def _flags(values: Flags, num_rows: int) -> np.ndarray:
    """As (num_rows,) bool. Null is true: a value that is missing compares to it, and breaks the rule as missing."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, pa.Scalar):
        return np.full(num_rows, values.as_py(), bool)
    filled = pc.fill_null(values, True) if values.null_count else values
    chunked = filled if isinstance(filled, pa.ChunkedArray) else pa.chunked_array([filled])
    flags: np.ndarray = chunked.to_numpy()
    return flags


def _rule_results(raw_dataset: pa.Table, rules: FilterRules) -> Iterator[tuple[Flags, Flags, str]]:
    """(passes, value missing, reason) of each rule, in the order in which they are reported."""
    if rules.collection:
        yield *_is_of(raw_dataset, rules.collection), "other_collection"
    for metric, threshold in rules.quality_thresholds:
        column = f"{rules.quality_column}.{metric}"
        values = _numbers(raw_dataset, column, "name another in quality_thresholds, or drop the rule")
        yield *_at_least(values, threshold), f"low_{metric}"
    yield from _size_rule_results(raw_dataset, rules)
    if rules.frames is not None and rules.num_frames_column is not None:
        yield from _results_by_frames(raw_dataset, rules.frames, rules.num_frames_column)
    if rules.where is not None:
        yield *expressions.evaluate(raw_dataset, rules.where, rules.where_columns), "where"


def _is_of(raw_dataset: pa.Table, collection: tuple[str, ...]) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Whether a row is of one of the collections, and whether it names none."""
    values = schema.column(raw_dataset, COLLECTION_COLUMN)
    missing = pc.is_null(values)
    if not schema.is_list(values.type):
        return _is_one_of(_names(values), collection), missing
    passes = np.zeros(len(values), bool)
    is_accepted = pc.is_in(_names(pc.list_flatten(values)), value_set=pa.array(collection))
    passes[schema.list_parents(values)[is_accepted.to_numpy()]] = True
    return pa.chunked_array([pa.array(passes)]), missing


def _is_one_of(names: pa.ChunkedArray, accepted: tuple[str, ...]) -> pa.ChunkedArray:
    """Whether each name is among these; null may come out null."""
    if len(accepted) > MOST_COMPARED:
        return pc.is_in(names, value_set=pa.array(accepted))
    return functools.reduce(pc.or_, (pc.equal(names, one) for one in accepted))


def _names(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names as text, numbers too: a dataset may number its collections."""
    kind = values.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise DatasetError(f'column "{COLLECTION_COLUMN}" holds {kind}, not names: drop the rule "collection"')
    return values if pa.types.is_string(kind) else values.cast(pa.string())


def _size_rule_results(raw_dataset: pa.Table, rules: FilterRules) -> Iterator[tuple[Flags, Flags, str]]:
    limits = (rules.min_width, rules.min_height)
    if rules.width_column and rules.height_column and (rules.has_size_rules or rules.by_size):
        remedy = "name another column, or give neither width_column nor height_column"
        named = {
            key: _numbers(raw_dataset, column, remedy, key)
            for key, column in (("width_column", rules.width_column), ("height_column", rules.height_column))
        }
        sizes = _of_cells((named["width_column"], named["height_column"]), rules.composite)
        for values, limit, reason in zip(sizes, limits, SIZE_REASONS, strict=True):
            if limit is not None:
                yield *_at_least(values, limit), reason
        if rules.by_size is not None:
            yield from _results_by_size(*sizes, rules.by_size)
    elif rules.has_size_rules and _has_usual_sizes(raw_dataset):
        is_unknown = _flags(_lacks_usual_sizes(raw_dataset), len(raw_dataset))
        usual = tuple(schema.column(raw_dataset, column) for column in USUAL_SIZE_COLUMNS)
        for values, limit, reason in zip(_of_cells(usual, rules.composite), limits, SIZE_REASONS, strict=True):
            if limit is not None:
                passes, missing = (_flags(one, len(raw_dataset)) for one in _at_least(values, limit))
                yield is_unknown | passes, missing & ~is_unknown, reason


def _results_by_size(
    width: pa.ChunkedArray, height: pa.ChunkedArray, rules: GeometryRules
) -> Iterator[tuple[pa.ChunkedArray, pa.ChunkedArray, str]]:
    """What the media's own size will decide. A row whose columns don't say is left to it."""
    edges = [np.nan_to_num(pc.fill_null(values.cast(pa.float64()), 0).to_numpy()) for values in (width, height)]
    is_known = (edges[0] >= 1) & (edges[1] >= 1)
    whole = [edge.astype(np.int64) for edge in edges]
    for reason, breaks in geometry.limits(whole[0], whole[1], rules):
        yield pa.chunked_array([pa.array(~(is_known & breaks))]), pa.scalar(False), reason


def _results_by_frames(
    raw_dataset: pa.Table, rules: FrameRules, column: str
) -> Iterator[tuple[pa.ChunkedArray, pa.ChunkedArray, str]]:
    """What the videos' own numbers of frames will decide. A row whose column doesn't say is left to it."""
    values = _numbers(raw_dataset, column, "name another column, or leave the key out", "num_frames_column")
    counts = np.nan_to_num(pc.fill_null(values.cast(pa.float64()), 0).to_numpy()).astype(np.int64)
    for reason, breaks in frames.limits(counts, rules):
        yield pa.chunked_array([pa.array(~(breaks & (counts >= 1)))]), pa.scalar(False), reason


def _of_cells(
    sizes: tuple[pa.ChunkedArray, pa.ChunkedArray], composite: CompositeRules | None
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Width and height of the cell that is taken of each image, null where the image's are."""
    if composite is None:
        return sizes
    missing = pc.or_(pc.is_null(sizes[0], nan_is_null=True), pc.is_null(sizes[1], nan_is_null=True))
    whole = [pc.if_else(missing, 0, values.cast(pa.int64(), safe=False)) for values in sizes]
    found = composites.cells(schema.pairs(*whole), composite)
    width, height = (pc.if_else(missing, pa.scalar(None, pa.int64()), pa.array(found[:, at])) for at in (2, 3))
    return width, height


def _has_usual_sizes(raw_dataset: pa.Table) -> bool:
    return set(USUAL_SIZE_COLUMNS) <= schema.column_names(raw_dataset) and all(
        _is_numeric(schema.column(raw_dataset, column).type) for column in USUAL_SIZE_COLUMNS
    )


def _lacks_usual_sizes(raw_dataset: pa.Table) -> pa.ChunkedArray:
    """Of each row, whether not both of the usual columns give its size."""
    if not _has_usual_sizes(raw_dataset):
        return pa.chunked_array([pa.repeat(True, len(raw_dataset))])
    width, height = (schema.column(raw_dataset, column) for column in USUAL_SIZE_COLUMNS)
    return pc.or_(pc.is_null(width, nan_is_null=True), pc.is_null(height, nan_is_null=True))


def _numbers(raw_dataset: pa.Table, column: str, remedy: str, key: str = "column") -> pa.ChunkedArray:
    values = schema.column(raw_dataset, column)
    if pa.types.is_null(values.type):
        return values.cast(pa.float64())
    if not _is_numeric(values.type):
        raise DatasetError(f'{key} "{column}" holds {values.type}, not numbers: {remedy}')
    return values


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _at_least(values: pa.ChunkedArray, threshold: float) -> tuple[Flags, Flags]:
    """Whether each value reaches the threshold, and whether it is missing."""
    if not values.null_count and pa.types.is_integer(values.type):
        return values.to_numpy() >= np.float64(threshold), pa.scalar(False)
    if not values.null_count and pa.types.is_floating(values.type):
        numbers = values.to_numpy()
        return numbers >= np.float64(threshold), np.isnan(numbers)  # a plain number would be rounded to their type
    missing = pc.is_null(values, nan_is_null=True)
    return pc.greater_equal(pc.cast(values, pa.float64()), threshold), missing


def _drop_by_function(raw_dataset: pa.Table, rule: CustomRule, dropped_for: pa.ChunkedArray) -> pa.ChunkedArray:
    """The function sees the rows that no other rule has dropped."""
    is_kept = pc.is_null(dropped_for)
    passes = custom.evaluate(raw_dataset.filter(is_kept), rule)
    reasons = np.full(len(raw_dataset), None, object)
    reasons[np.flatnonzero(is_kept.to_numpy())[~passes]] = "filter_func"
    return pc.coalesce(dropped_for, pa.array(reasons, pa.string()))

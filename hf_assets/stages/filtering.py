"""Decide from columns which rows are worth reading, and say why the others are not."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError

# Bump when a change to this module changes which rows are kept.
VERSION = 2

USUAL_SIZE_COLUMNS = ("width", "height")
SIZE_REASONS = ("too_narrow", "too_low")


class FilterRules(BaseModel):
    """What a row must satisfy, all limits inclusive.

    Attributes:
        quality_column: a struct column of numbers.
        quality_thresholds: metric within `quality_column` -> smallest accepted value.
        min_width, min_height: in pixels.
        width_column, height_column: columns with the size in pixels. Without them the columns `width` and `height` are
            used in rows that have numbers in both, else the media's own header, once it is read (`judge_sizes`).
    """

    model_config = ConfigDict(frozen=True)

    quality_column: str | None = None
    quality_thresholds: tuple[tuple[str, float], ...] = ()
    min_width: int | None = None
    min_height: int | None = None
    width_column: str | None = None
    height_column: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these rules need."""
        named = (
            *(f"{self.quality_column}.{metric}" for metric, _ in self.quality_thresholds),
            self.width_column if self.min_width is not None else None,
            self.height_column if self.min_height is not None else None,
        )
        return tuple(dict.fromkeys(column for column in named if column))

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """The columns that these rules read where the dataset has them: sizes under their usual names."""
        return USUAL_SIZE_COLUMNS if self.has_size_rules and not (self.width_column or self.height_column) else ()

    @property
    def has_size_rules(self) -> bool:
        return self.min_width is not None or self.min_height is not None


def judge(raw_dataset: pa.Table, rules: FilterRules) -> pa.Table:
    """Add a `dropped_for` column: null for a kept row, else the first rule it breaks.

    A row whose value is missing (a null, or a metric that its struct lacks) can't be said to pass, so it is dropped;
    but where a column is only looked at for its usual name, the row's media tell later.

    Raises:
        DatasetError: a column that `rules` names doesn't hold numbers.
    """
    dropped_for = pa.nulls(len(raw_dataset), pa.string())
    for passes, missing, reason in _verdicts(raw_dataset, rules):
        failed = pc.if_else(missing, f"{reason}_missing", pc.if_else(passes, pa.scalar(None, pa.string()), reason))
        dropped_for = pc.coalesce(dropped_for, failed)
    return raw_dataset.append_column("dropped_for", dropped_for)


def sizeless(raw_dataset: pa.Table, rules: FilterRules) -> pa.ChunkedArray:
    """The `row`s whose size no column tells, so that `rules` are to be held against their media (`judge_sizes`)."""
    if not rules.has_size_rules or rules.width_column:
        return raw_dataset["row"].slice(0, 0)
    return raw_dataset["row"].filter(_lacks_usual_sizes(raw_dataset))


def judge_sizes(original_size: pa.ChunkedArray, rules: FilterRules) -> pa.Array:
    """For media whose size no column tells: null for a kept one, else the first rule it breaks."""
    width, height = schema.halves(original_size)
    dropped_for = pa.nulls(len(original_size), pa.string())
    for size, limit, reason in zip((width, height), (rules.min_width, rules.min_height), SIZE_REASONS, strict=True):
        if limit is not None:
            dropped_for = pc.coalesce(
                dropped_for, pc.if_else(pa.array(size < limit), reason, pa.scalar(None, pa.string()))
            )
    return dropped_for


def kept(judged: pa.Table) -> pa.Table:
    """The rows that pass: their position and columns, without where their bytes lie."""
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


def _verdicts(raw_dataset: pa.Table, rules: FilterRules) -> Iterator[tuple[pa.ChunkedArray, pa.ChunkedArray, str]]:
    """(passes, value missing, reason) of each rule, in the order in which they are reported."""
    for metric, threshold in rules.quality_thresholds:
        values = schema.column(raw_dataset, f"{rules.quality_column}.{metric}")
        if not _is_numeric(values.type):
            raise DatasetError(
                f'column "{rules.quality_column}.{metric}" holds {values.type}, not numbers: name another in '
                "quality_thresholds, or drop the rule"
            )
        yield *_at_least(values, threshold), f"low_{metric}"
    yield from _size_verdicts(raw_dataset, rules)


def _size_verdicts(raw_dataset: pa.Table, rules: FilterRules) -> Iterator[tuple[pa.ChunkedArray, pa.ChunkedArray, str]]:
    limits = (rules.min_width, rules.min_height)
    if rules.width_column and rules.height_column:
        keys = ("width_column", "height_column")
        named = (rules.width_column, rules.height_column)
        for key, column, limit, reason in zip(keys, named, limits, SIZE_REASONS, strict=True):
            if limit is None:
                continue
            values = schema.column(raw_dataset, column)
            if not _is_numeric(values.type):
                raise DatasetError(
                    f'{key} "{column}" holds {values.type}, not numbers: name another column, or give '
                    "neither width_column nor height_column"
                )
            yield *_at_least(values, limit), reason
    elif rules.has_size_rules and _has_usual_sizes(raw_dataset):
        unknown = _lacks_usual_sizes(raw_dataset)
        for column, limit, reason in zip(USUAL_SIZE_COLUMNS, limits, SIZE_REASONS, strict=True):
            if limit is not None:
                passes, missing = _at_least(schema.column(raw_dataset, column), limit)
                yield pc.or_kleene(unknown, passes), pc.and_not(missing, unknown), reason


def _has_usual_sizes(raw_dataset: pa.Table) -> bool:
    return set(USUAL_SIZE_COLUMNS) <= schema.column_names(raw_dataset) and all(
        _is_numeric(schema.column(raw_dataset, column).type) for column in USUAL_SIZE_COLUMNS
    )


def _lacks_usual_sizes(raw_dataset: pa.Table) -> pa.ChunkedArray:
    """Of each row, whether not both of the usual columns tell its size."""
    if not _has_usual_sizes(raw_dataset):
        return pa.chunked_array([pa.repeat(True, len(raw_dataset))])
    width, height = (schema.column(raw_dataset, column) for column in USUAL_SIZE_COLUMNS)
    return pc.or_(pc.is_null(width, nan_is_null=True), pc.is_null(height, nan_is_null=True))


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _at_least(values: pa.ChunkedArray, threshold: float) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Whether each value reaches the threshold, and whether it is missing."""
    missing = pc.is_null(values, nan_is_null=True)
    return pc.greater_equal(pc.cast(values, pa.float64()), threshold), missing

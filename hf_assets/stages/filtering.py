"""Decide from columns which rows are worth reading, and say why the others are not."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hf_assets import schema
from hf_assets.errors import DatasetError

# Bump when a change to this module changes which rows are kept.
VERSION = 1

USUAL_SIZE_COLUMNS = ("width", "height")
SIZE_REASONS = ("too_narrow", "too_low")


class FilterRules(BaseModel):
    """What a row must satisfy, all limits inclusive.

    Attributes:
        quality_column: a struct column of numbers.
        quality_thresholds: metric within `quality_column` -> smallest accepted value.
        min_width, min_height: in pixels.
        width_column, height_column: columns with the size in pixels. Without them the columns `width` and `height` are
            used where the dataset has both, else the media's own header, once it is read (`judge_sizes`).
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

    A row whose value is missing (a null, or a metric that its struct lacks) can't be said to pass, so it is dropped.

    Raises:
        DatasetError: a metric that `rules` names is in no row, or isn't a number.
    """
    dropped_for = pa.nulls(len(raw_dataset), pa.string())
    for passes, missing, reason in _verdicts(raw_dataset, rules):
        failed = pc.if_else(missing, f"{reason}_missing", pc.if_else(passes, pa.scalar(None, pa.string()), reason))
        dropped_for = pc.coalesce(dropped_for, failed)
    return raw_dataset.append_column("dropped_for", dropped_for)


def size_columns_of(raw_dataset: pa.Table, rules: FilterRules) -> tuple[str, str] | None:
    """The columns that hold width and height; None where only the media tell."""
    if not rules.has_size_rules:
        return None
    if rules.width_column and rules.height_column:
        return rules.width_column, rules.height_column
    has = schema.column_names(raw_dataset)
    return USUAL_SIZE_COLUMNS if set(USUAL_SIZE_COLUMNS) <= has else None


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
    return _without_location(judged.filter(pc.is_null(judged["dropped_for"])).drop_columns("dropped_for"))


def dropped(judged: pa.Table) -> pa.Table:
    """The rows that don't, each with its reason."""
    return _without_location(judged.filter(pc.is_valid(judged["dropped_for"])))


def _without_location(table: pa.Table) -> pa.Table:
    return table.drop_columns([name for name in schema.LOCATION.names if name in table.column_names])


def _verdicts(raw_dataset: pa.Table, rules: FilterRules) -> Iterator[tuple[pa.ChunkedArray, pa.ChunkedArray, str]]:
    """(passes, value missing, reason) of each rule, in the order in which they are reported."""
    for metric, threshold in rules.quality_thresholds:
        values = schema.column(raw_dataset, f"{rules.quality_column}.{metric}")
        yield *_at_least(values, threshold, f"{rules.quality_column}.{metric}"), f"low_{metric}"
    size_columns = size_columns_of(raw_dataset, rules)
    if size_columns is not None:
        for column, limit, reason in zip(size_columns, (rules.min_width, rules.min_height), SIZE_REASONS, strict=True):
            if limit is not None:
                yield *_at_least(schema.column(raw_dataset, column), limit, column), reason


def _at_least(values: pa.ChunkedArray, threshold: float, column: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        raise DatasetError(
            f'column "{column}" holds {values.type}, not numbers: name another column in filter_func, or drop the rule'
        )
    missing = pc.is_null(values, nan_is_null=True)
    return pc.greater_equal(pc.cast(values, pa.float64()), threshold), missing

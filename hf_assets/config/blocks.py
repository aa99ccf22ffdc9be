"""Blocks within a dataset's entry that stages don't read as they are: filters, and tables of captions.

The others are the stages' own models: `AudioRules`, `CompositeRules`, `FrameRules`, `GeometryKeys`, `ShuffleRules`.
"""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    model_validator,
)

from hf_assets.values import Block, Finite, Flag, Name, Names


def _function_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        raise ValueError('write "module:function"')
    return value


class FilterFunc(Block):
    """Which rows are kept. A row must satisfy all that is given; limits are inclusive."""

    quality_thresholds: dict[Name, Finite] = Field(
        {}, description="Metric of `quality_column` -> smallest accepted value."
    )
    quality_column: Name | None = Field(
        None, description="Struct column that holds the metrics. Default: `quality_assessment`."
    )
    collection: Names | None = Field(
        None, description="Accepted values of the column `collection`; where it holds lists, one item must be accepted."
    )
    min_width: PositiveInt | None = Field(None, description="Smallest accepted width in pixels.")
    min_height: PositiveInt | None = Field(None, description="Smallest accepted height in pixels.")
    where: Name | None = Field(
        None, description="SQL expression over columns (DuckDB's), such as `score > 5 AND license = 'cc0'`."
    )
    function: Annotated[str, AfterValidator(_function_name)] | None = Field(
        None,
        description="A Python function, `module:name`, that gets a dict of a row's `columns` and returns true to keep "
        "it. The module must be listed in `plugins`.",
    )
    columns: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="The columns that `function` gets; dotted paths lead into structs."
    )
    batched: Flag = Field(
        False,
        description="True: `function` gets a `pyarrow.RecordBatch` and returns true or false for each of its rows.",
    )

    @model_validator(mode="after")
    def _function_has_columns(self) -> "FilterFunc":
        if self.function and not self.columns:
            raise ValueError("columns is missing, which function needs: list the columns that it gets")
        if not self.function and (self.columns or self.batched):
            raise ValueError(f"{'columns' if self.columns else 'batched'} has no effect without function")
        return self


class CaptionFile(Block):
    """A table of the captions of a folder's media."""

    path: Name = Field(description="The file, relative to `instance_data_dir`, or absolute.")
    filename_column: Name = Field("filename", description="Column of the media's paths in the folder, or their names.")
    caption_column: Names = Field(["caption"], description="Column or columns of the captions; all are kept.")
    fallback_caption_column: Name | None = Field(None, description="Used for rows that have no caption there.")
    default_caption: Name | None = Field(None, description="Used for media that the table has no caption for.")
    width_column: Name | None = Field(None, description="As in the entry.")
    height_column: Name | None = Field(None, description="As in the entry.")
    identifier_includes_extension: Flag | None = Field(
        None, description="Whether `filename_column` has the extensions. Default: names match with them or without."
    )

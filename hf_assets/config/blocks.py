"""Blocks within a dataset's entry: filters, captions, parts of media."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    model_validator,
)

from hf_assets.config.values import Block, Finite, Flag, Name, Names, Number


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
        False, description="True: `function` gets a `pyarrow.RecordBatch` and returns one verdict for each of its rows."
    )

    @model_validator(mode="after")
    def _function_has_columns(self) -> "FilterFunc":
        if self.function and not self.columns:
            raise ValueError("columns is missing, which function needs: list the columns that it gets")
        if not self.function and (self.columns or self.batched):
            raise ValueError(f"{'columns' if self.columns else 'batched'} has no effect without function")
        return self


class CompositeImage(Block):
    """Composite images, which show several, of which one is taken."""

    enabled: Flag = Field(False, description="True: take one cell of each composite.")
    image_count: Annotated[int, Field(gt=0, le=10_000)] = Field(1, description="Images in one composite.")
    select_index: Annotated[int, Field(ge=0)] = Field(
        0, description="Which one is taken: from 0, by rows from the top left."
    )
    layout: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="`[rows, columns]`. Default: a strip of images side by side, or the grid of several rows and "
        "columns whose cells are nearest to squares, where they are nearer than the strip's.",
    )

    @model_validator(mode="after")
    def _cell_is_there(self) -> "CompositeImage":
        if self.layout and self.layout[0] * self.layout[1] != self.image_count:
            raise ValueError(
                f"layout is {self.layout[0]} x {self.layout[1]}, but image_count is {self.image_count}; "
                "make their product equal"
            )
        if self.select_index >= self.image_count:
            raise ValueError(
                f"select_index is {self.select_index}, but image_count is {self.image_count}; "
                f"use 0 to {self.image_count - 1}"
            )
        return self


class CaptionShuffle(Block):
    """More captions of the same parts in another order."""

    enable: Flag = Field(False, description="True: shuffle.")
    count: Annotated[int, Field(gt=0, le=1_000)] = Field(1, description="Shuffled forms of each caption.")
    seed: int = Field(0, description="Another seed, another order.")
    split_on: Literal["comma", "space", "period"] = Field("comma", description="What lies between two parts.")
    position_start: Annotated[int, Field(ge=0)] = Field(0, description="So many parts stay in front.")
    include_original: Flag = Field(True, description="True: the caption as it was is kept too.")


class AspectBucket(Block):
    """An aspect with its share."""

    aspect: Number = Field(description="Width / height. A bare number in the list means the same.")
    weight: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Share of the samples where `crop_aspect` is `random`; all have one, or none."
    )


def _with_its_name(value: Any) -> Any:
    return {"aspect": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Aspect = Annotated[AspectBucket, BeforeValidator(_with_its_name)]


class Audio(Block):
    """Which part of each clip is encoded."""

    bucket_strategy: Literal["duration"] = Field("duration", description="Clips of one length are one bucket.")
    duration_interval: Annotated[float, Field(ge=0.01, allow_inf_nan=False)] = Field(
        3.0, description="Clips are cut to a multiple of this, in seconds; shorter ones keep their length."
    )
    min_duration_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Shorter clips are dropped."
    )
    max_duration_seconds: Number | None = Field(None, description="Longer clips are dropped.")
    truncation_mode: Literal["beginning", "end", "random"] = Field(
        "beginning", description="Which part is taken. A random one is drawn from the clip's content hash."
    )
    channels: Literal[1, 2] | None = Field(
        None, description="1: clips are mixed to mono first. Default: as many channels as the VAE reads."
    )


class Video(Block):
    """Which clips are used, and which of their frames."""

    num_frames: PositiveInt | None = Field(
        None,
        description="The most frames of a clip that are encoded: its first ones, as many as the VAE takes. Default: "
        "125; for `resolution_frames`, `max_frames`.",
    )
    min_frames: PositiveInt | None = Field(
        None,
        description="Clips with fewer are dropped. Default: `num_frames`; for `resolution_frames`, none is.",
    )
    max_frames: PositiveInt | None = Field(None, description="Clips with more are dropped.")
    frame_interval: PositiveInt | None = Field(
        None,
        description="Lengths are rounded down to its multiples (to 1 + its multiples, where it is a multiple of the "
        "VAE's stride in time), so that there are fewer buckets.",
    )
    bucket_strategy: Literal["aspect_ratio", "resolution_frames"] = Field(
        "aspect_ratio",
        description="`aspect_ratio`: clips of one length, unless `min_frames` allows shorter ones. "
        "`resolution_frames`: clips of all lengths, each its own.",
    )
    is_i2v: Flag = Field(
        False, description="True: the first frame's pixels and its own latent are stored too, for image-to-video."
    )


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

"""One cell of a composite image, which shows several side by side or in a grid.

As SimpleTuner has it, a composite of n images is a strip: n cells side by side, and columns of pixels that are left
over at the right belong to none. Where we differ: a strip is not the only layout. `layout` names the rows and columns
of a grid; without it, a grid of several rows and several columns is taken for one where its cells are nearer to squares
than those of a strip would be. So a 1024 x 1024 composite of four is 2 x 2, and one of 2048 x 512 is a strip.
"""

import math
from typing import Annotated, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from hf_assets import schema
from hf_assets.values import Block, Flag

# Bump when a change to this module changes a cell.
VERSION = 1

# A grid's cells must be nearer to squares by this factor at least, so that an odd pixel doesn't decide.
MARGIN = 1.05


class CompositeRules(Block):
    """Composite images, which show several, of which one is taken."""

    enabled: Flag = Field(False, description="True: take one cell of each composite.")
    image_count: Annotated[int, Field(gt=0, le=10_000)] = Field(1, description="Images in one composite.")
    select_index: Annotated[int, Field(ge=0)] = Field(
        0, description="Which one is taken: from 0, by rows from the top left."
    )
    layout: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=2, strict=False)] | None = Field(
        None,
        description="`[rows, columns]`. Default: a strip of images side by side, or the grid of several rows and "
        "columns whose cells are nearest to squares, where they are nearer than the strip's.",
    )

    @model_validator(mode="after")
    def _cell_is_there(self) -> Self:
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

    @property
    def takes_cells(self) -> bool:
        """Whether less than the whole image is taken."""
        return self.enabled and self.image_count > 1


Integers: TypeAlias = npt.NDArray[np.int64]


def layouts(width: Integers, height: Integers, rules: CompositeRules) -> Integers:
    """(N, 2) rows and columns of each composite's grid."""
    if rules.layout is not None:
        return np.broadcast_to(np.array(rules.layout, np.int64), (len(width), 2))
    count = rules.image_count
    options = [(1, count), *((rows, count // rows) for rows in range(2, count) if count % rows == 0)]
    elongation = np.stack(
        [np.abs(np.log(np.maximum(width, 1) * rows / (np.maximum(height, 1) * columns))) for rows, columns in options]
    )
    elongation[1:] += math.log(MARGIN)
    chosen: Integers = np.array(options, np.int64)[np.argmin(elongation, axis=0)]
    return chosen


def cells(original_size: pa.ChunkedArray, rules: CompositeRules) -> Integers:
    """The cell of each composite.

    Args:
        original_size: [width, height] in pixels, as displayed.

    Returns:
        (N, 4) left, top, width, height in pixels. Pixels that are left over at the right and at the bottom belong to
        no cell; a composite with fewer pixels than cells has cells without any.
    """
    width, height = (edge.astype(np.int64) for edge in schema.halves(original_size))
    rows, columns = layouts(width, height, rules).T
    cell_width, cell_height = width // columns, height // rows
    row, column = rules.select_index // columns, rules.select_index % columns
    return np.stack([column * cell_width, row * cell_height, cell_width, cell_height], axis=1)

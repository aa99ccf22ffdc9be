"""One cell of a composite image, which shows several side by side or in a grid.

As SimpleTuner has it, a composite of n images is a strip: n cells side by side, and columns of pixels that are left
over at the right belong to none. Where we differ: a strip is not the only layout. `layout` names the rows and columns
of a grid; without it, a grid of several rows and several columns is taken for one where its cells are nearer to squares
than those of a strip would be. So a 1024 x 1024 composite of four is 2 x 2, and one of 2048 x 512 is a strip.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from hf_assets import schema

# Bump when a change to this module changes a cell.
VERSION = 1

# A grid's cells must be nearer to squares by this factor at least, so that an odd pixel doesn't decide.
MARGIN = 1.05


class CompositeRules(BaseModel):
    """Which cell is taken.

    Attributes:
        image_count: images in one composite.
        select_index: which one, from 0 by rows from the top left.
        layout: (rows, columns); None: found from each composite's own size.
    """

    model_config = ConfigDict(frozen=True)

    image_count: int = 1
    select_index: int = 0
    layout: tuple[int, int] | None = None


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

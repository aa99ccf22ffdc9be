"""Which part of a composite image is taken."""

import numpy as np
import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.stages.composites import CompositeRules, cells, layouts


def cell(size: tuple[int, int], **rules: object) -> list[int]:
    sizes = pa.chunked_array([pa.array([size], schema.SIZE)])
    found: list[int] = cells(sizes, CompositeRules.model_validate(rules))[0].tolist()
    return found


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        ((4096, 1024), 4, [1, 4]),  # the strip that SimpleTuner takes every image for
        ((1024, 1024), 4, [2, 2]),  # the seed's "grid of 4"
        ((1025, 1024), 4, [2, 2]),
        ((1024, 1536), 4, [2, 2]),  # four portraits
        ((2048, 768), 4, [1, 4]),  # four portraits in a strip
        ((2048, 1024), 4, [1, 4]),  # cells of 1:2 or 2:1, equally far from squares: a strip
        ((1024, 1024), 2, [1, 2]),  # two can't lie in several rows and columns
        ((1024, 4096), 4, [2, 2]),
        ((1536, 1024), 6, [2, 3]),
        ((1024, 1536), 6, [3, 2]),
        ((900, 900), 9, [3, 3]),
        ((900, 900), 3, [1, 3]),
        ((64, 64), 1, [1, 1]),
    ],
)
def test_a_grid_is_found_where_its_cells_are_nearer_to_squares_than_the_strips(
    size: tuple[int, int], count: int, expected: list[int]
) -> None:
    width, height = np.array([size[0]]), np.array([size[1]])
    assert layouts(width, height, CompositeRules(image_count=count)).tolist() == [expected]


@pytest.mark.parametrize(
    ("size", "rules", "expected"),
    [
        ((403, 100), {"image_count": 4, "select_index": 0}, [0, 0, 100, 100]),
        ((403, 100), {"image_count": 4, "select_index": 3}, [300, 0, 100, 100]),  # 3 columns are left over
        ((201, 203), {"image_count": 4, "select_index": 1}, [100, 0, 100, 101]),
        ((201, 203), {"image_count": 4, "select_index": 2}, [0, 101, 100, 101]),
        ((400, 100), {"image_count": 4, "select_index": 2, "layout": (4, 1)}, [0, 50, 400, 25]),
        ((400, 100), {"image_count": 4, "select_index": 3, "layout": (2, 2)}, [200, 50, 200, 50]),
        ((3, 100), {"image_count": 4, "select_index": 1, "layout": (1, 4)}, [0, 0, 0, 100]),  # nothing of it is left
    ],
)
def test_cells_count_by_rows_from_the_top_left(
    size: tuple[int, int], rules: dict[str, object], expected: list[int]
) -> None:
    assert cell(size, **rules) == expected

"""Where crops lie on thumbnails, and in which order counts stand."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.show.views import Captions, crops_of

LEFT_HALF = {
    "original_size": [200, 100],
    "resized_size": [200, 100],
    "target_size": [100, 100],
    "crop_top_left": [0, 0],
}
SECOND_HALF = {
    "original_num_samples": 80_000,
    "original_sample_rate_hz": 8_000,
    "sample_rate_hz": 48_000,
    "first_sample": 240_000,
    "num_samples": 240_000,
}
LONG = {**SECOND_HALF, "original_num_samples": 8_000 * 1_200, "first_sample": 48_000 * 300, "num_samples": 48_000 * 600}
LOWER = {"original_size": [100, 200], "resized_size": [50, 100], "target_size": [50, 50], "crop_top_left": [50, 0]}


@pytest.mark.parametrize(
    ("row", "shown", "crops"),
    [
        (LEFT_HALF, (160, 80), ((0, 0, 0.5, 1),)),
        (LOWER, (80, 160), ((0, 0.5, 1, 1),)),
        # three frames of a clip: in a column where they are wider than high, else in a row
        (LEFT_HALF, (107, 160), ((0, 0, 0.5, 1 / 3), (0, 1 / 3, 0.5, 2 / 3), (0, 2 / 3, 0.5, 1))),
        (LOWER, (160, 107), ((0, 0.5, 1 / 3, 1), (1 / 3, 0.5, 2 / 3, 1), (2 / 3, 0.5, 1, 1))),
        (SECOND_HALF, (160, 144), ((0.5, 0, 1, 1),)),  # sound
        (LONG, (160, 144), ((0.5, 0, 1, 1),)),  # of 20 minutes the picture shows 10
    ],
)
def test_the_crop_is_drawn_where_it_is_taken(
    row: dict[str, Any], shown: tuple[int, int], crops: tuple[tuple[float, ...], ...]
) -> None:
    found = crops_of(row, shown)
    assert len(found) == len(crops)
    for one, expected in zip(found, crops, strict=True):
        assert one == pytest.approx(expected)


def test_reasons_that_are_equally_frequent_stand_in_one_order_however_rows_come() -> None:
    """Rows that are taken over come first."""
    texts = []
    for reasons in (("no caption", "no text"), ("no text", "no caption")):
        shown = Captions()
        for reason in reasons:
            shown.add(schema.CAPTIONS.empty_table(), pa.table({"row": [0], "dropped_for": [reason]}))
        texts.append(shown.view(0).texts["funnel"])
    assert texts[0] == texts[1]

"""Which frames of a clip are taken, by hand."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from hf_assets import schema
from hf_assets.stages import frames, geometry
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import GeometryRules

SEED = {"num_frames": 125, "min_frames": 100}  # the example of the feature's description
EACH = {"bucket_strategy": "resolution_frames"}


def taken(rules: dict[str, Any], num_frames: int, stride: int) -> int | str:
    """How many frames are taken of a clip, or why it is dropped."""
    counts = np.array([num_frames])
    for reason, applies in frames.limits(counts, FrameRules(**rules)):
        if applies[0]:
            return reason
    return int(frames.lengths(counts, FrameRules(**rules), stride)[0])


@pytest.mark.parametrize(
    ("rules", "num_frames", "stride", "expected"),
    [
        # clips of 100 to 124 frames are cut to what the VAE's stride allows, longer ones to 125's
        (SEED, 99, 4, "too_few_frames"),
        (SEED, 100, 4, 97),
        (SEED, 101, 4, 101),
        (SEED, 124, 4, 121),
        (SEED, 125, 4, 125),
        (SEED, 9999, 4, 125),
        (SEED, 100, 8, 97),
        (SEED, 124, 8, 121),
        (SEED, 125, 8, 121),
        (SEED, 9999, 8, 121),
        (SEED, 124, 6, 121),  # Mochi
        (SEED, 124, 1, 124),
        # defaults: 125 frames, and no clip with fewer
        ({}, 124, 1, "too_few_frames"),
        ({}, 125, 1, 125),
        ({}, 126, 1, 125),
        # SimpleTuner's own order, min_frames above num_frames
        ({"num_frames": 9, "min_frames": 17}, 16, 4, "too_few_frames"),
        ({"num_frames": 9, "min_frames": 17}, 17, 4, 9),
        ({"num_frames": 9, "max_frames": 20}, 20, 4, 9),
        ({"num_frames": 9, "max_frames": 20}, 21, 4, "too_many_frames"),
        # each clip its own length
        (EACH, 1, 4, 1),
        (EACH, 4, 4, 1),
        (EACH, 5, 4, 5),
        (EACH, 200, 4, 125),
        ({**EACH, "max_frames": 250}, 250, 1, 250),
        ({**EACH, "max_frames": 250}, 251, 1, "too_many_frames"),
        ({**EACH, "max_frames": 250, "num_frames": 50}, 250, 1, 50),
        # rounded down to multiples
        ({**EACH, "frame_interval": 25}, 99, 1, 75),
        ({**EACH, "frame_interval": 25}, 100, 1, 100),
        ({**EACH, "frame_interval": 25}, 100, 4, 97),
        ({**EACH, "frame_interval": 25}, 24, 1, 24),  # shorter than one
        # a multiple of the stride: 1 + its multiples are what the VAE takes
        ({**EACH, "frame_interval": 8}, 96, 4, 89),
        ({**EACH, "frame_interval": 8}, 97, 4, 97),
        ({**EACH, "frame_interval": 8}, 8, 4, 1),
        ({**EACH, "frame_interval": 8}, 7, 4, 5),
        ({**SEED, "frame_interval": 50}, 124, 1, 100),
        ({"num_frames": 1}, 5, 8, 1),
    ],
)
def test_a_clip_keeps_the_longest_length_that_is_allowed(
    rules: dict[str, Any], num_frames: int, stride: int, expected: int | str
) -> None:
    assert taken(rules, num_frames, stride) == expected


@pytest.mark.parametrize("rules", [{"min_frames": 9, "max_frames": 8}, {"max_frames": 124}, {"num_frames": 0}])
def test_rules_that_no_clip_satisfies_are_an_error(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FrameRules(**rules)


def test_frames_and_bucket_are_recorded_and_the_first_reason_to_drop_a_clip_stays() -> None:
    rows = [
        {"row": row, "media_hash": f"m{row}", "original_size": size, "original_num_frames": count}
        for row, (size, count) in enumerate([([640, 480], 130), ([640, 480], 7), ([20, 20], 7)])
    ]
    media = pa.Table.from_pylist(rows, schema=schema.VIDEO_MEDIA)
    rules = GeometryRules(resolution=480, resolution_type="pixel", aspect_bucket_alignment=16, minimum_image_size=64)
    assigned = frames.assign(geometry.assign(media, rules), FrameRules(**SEED), 8)
    names = ("first_frame", "num_frames", "bucket", "dropped_for")
    kept, short, small = assigned.select(names).to_pylist()
    assert kept == {"first_frame": 0, "num_frames": 121, "bucket": "640x480@121", "dropped_for": None}
    assert (short["dropped_for"], small["dropped_for"]) == ("too_few_frames", "too_small")
    assert set(schema.VIDEO_BUCKETS.names) <= set(assigned.column_names)

"""Decide which frames of each clip are encoded.

Always the first ones, all of them: no frame is left out, so the rate of a clip stays what it is. How many is the
longest length that the rules, and the VAE, allow for the clip. A VAE that folds frames in time takes 1 + k x stride.

The keys are SimpleTuner's. Where we differ from what it does: `min_frames` may be below `num_frames`, and
`bucket_strategy` and `frame_interval` also act on datasets of the Hub.
"""

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt, model_validator

from hf_assets.values import Block, Flag

# Bump when a change to this module changes any clip's frames or bucket.
VERSION = 1

# About 5 seconds, as SimpleTuner documents it.
USUAL_FRAMES = 125

Counts = np.ndarray  # (N,) int64, frames of each clip


class FrameRules(Block):
    """Which videos are used, and which of their frames. In SimpleTuner's keys; limits are inclusive."""

    num_frames: PositiveInt | None = Field(
        None,
        description="The most frames of a video that are encoded: its first ones, as many as the VAE takes. Default: "
        "125; for `resolution_frames`, `max_frames`.",
    )
    min_frames: PositiveInt | None = Field(
        None,
        description="Videos with fewer are dropped. Default: `num_frames`; for `resolution_frames`, none is.",
    )
    max_frames: PositiveInt | None = Field(None, description="Videos with more are dropped.")
    frame_interval: PositiveInt | None = Field(
        None,
        description="Lengths are rounded down to its multiples (to 1 + its multiples, where it is a multiple of the "
        "VAE's stride in time), so that there are fewer buckets.",
    )
    bucket_strategy: Literal["aspect_ratio", "resolution_frames"] = Field(
        "aspect_ratio",
        description="`aspect_ratio`: videos of one length, unless `min_frames` allows shorter ones. "
        "`resolution_frames`: videos of all lengths, each its own.",
    )
    is_i2v: Flag = Field(
        False, description="True: the first frame's pixels and its own latent are stored too, for image-to-video."
    )

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        if self.max_frames is not None and self.fewest > self.max_frames:
            origin = "" if self.min_frames is not None else " (num_frames, as min_frames is not given)"
            raise ValueError(
                f"min_frames is {self.fewest}{origin}, above max_frames of {self.max_frames}: no clip has so many"
            )
        return self

    @property
    def most(self) -> int:
        """The most frames of a video that are encoded."""
        if self.num_frames is not None:
            return self.num_frames
        has_limit = self.bucket_strategy == "resolution_frames" and self.max_frames is not None
        return self.max_frames if has_limit and self.max_frames is not None else USUAL_FRAMES

    @property
    def fewest(self) -> int:
        """Videos with fewer frames are dropped."""
        if self.min_frames is not None:
            return self.min_frames
        return self.most if self.bucket_strategy == "aspect_ratio" else 1


def limits(num_frames: Counts, rules: FrameRules) -> Iterator[tuple[str, np.ndarray]]:
    """Of each reason to drop a video, which videos it applies to."""
    yield "too_few_frames", num_frames < rules.fewest
    if rules.max_frames is not None:
        yield "too_many_frames", num_frames > rules.max_frames


def lengths(num_frames: Counts, rules: FrameRules, stride: int) -> Counts:
    """How many frames of each clip are encoded.

    Args:
        num_frames: at least 1 each.
        stride: of the VAE in time; 1 where it takes any number of frames.
    """
    taken: Counts = np.minimum(num_frames, rules.most)
    if (interval := rules.frame_interval) is not None:
        is_whole = stride > 1 and interval % stride == 0  # then 1 + its multiples are what the VAE takes
        rounded = 1 + (taken - 1) // interval * interval if is_whole else taken // interval * interval
        taken = np.where(taken < interval, taken, rounded)
    return 1 + (taken - 1) // stride * stride


def assign(samples: pa.Table, rules: FrameRules, stride: int) -> pa.Table:
    """Add which frames are taken, or the reason why a clip is dropped.

    Args:
        samples: as `geometry.assign` returns them, with `original_num_frames`.

    Returns:
        The samples with `first_frame` and `num_frames`; `bucket` is then "WIDTHxHEIGHT@FRAMES".
    """
    counts = samples["original_num_frames"].to_numpy().astype(np.int64)
    dropped_for = samples["dropped_for"]
    for reason, applies in limits(counts, rules):
        reasons = pc.if_else(pa.array(applies), reason, pa.scalar(None, pa.string()))
        dropped_for = pc.coalesce(dropped_for, reasons)
    taken = pa.array(lengths(np.maximum(counts, 1), rules, stride).astype(np.int32))
    first = pa.array(np.zeros(len(samples), np.int32))
    bucket = pc.binary_join_element_wise(samples["bucket"], taken.cast(pa.string()), "@")
    for name, values in (("bucket", bucket), ("dropped_for", dropped_for)):
        samples = samples.set_column(samples.schema.get_field_index(name), name, values)
    return samples.append_column("first_frame", first).append_column("num_frames", taken)

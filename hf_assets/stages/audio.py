"""Decide which part of each clip is encoded, and which bucket of equal lengths it falls into.

A clip is cut to the largest multiple of `duration_interval` that it holds; one that is shorter than that keeps its
length. What is left is cut to whole steps of the encoder, at the encoder's sample rate. Durations are compared as
fractions of whole samples, so that a clip of exactly 9 s is one of 9 s at any sample rate.

The rules are those that SimpleTuner documents. Where we differ from what it does: `min_duration_seconds` and
`max_duration_seconds` drop clips, a random part is drawn from the clip's hash and the seed, and a bucket's name gives
the length exactly.
"""

from fractions import Fraction
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import Field, model_validator

from hf_assets.values import Block, Number, mistake_at

# Bump when a change to this module changes any clip's part or bucket.
VERSION = 1

# Floats of one clip as it is encoded: 1 GiB, 46 minutes of stereo at 48 kHz.
MAX_VALUES = 2**28
# So many rows are Python objects at a time.
BATCH_ROWS = 65_536


class AudioRules(Block):
    """Which part of each clip is encoded. In SimpleTuner's keys; limits are inclusive."""

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

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        low, high = self.min_duration_seconds, self.max_duration_seconds
        if low is not None and high is not None and low > high:
            raise mistake_at("min_duration_seconds", f"is {low:g}, above max_duration_seconds of {high:g}; swap them")
        return self


class AudioInput(NamedTuple):
    """What an encoder of audio reads."""

    sample_rate_hz: int
    num_channels: int
    hop_samples: int


def assign(media: pa.Table, rules: AudioRules, reads: AudioInput, seed: int = 0) -> pa.Table:
    """Add each clip's part and bucket, or the reason why it is dropped.

    Args:
        media: of `schema.AUDIO_MEDIA`.
        seed: another one, other random parts.

    Returns:
        The clips with the rest of `schema.AUDIO_BUCKETS`, and `dropped_for`: null, `too_short` (below the minimum, or
        not one step of the encoder), `too_long` (above the maximum) or `too_large` (more than `MAX_VALUES`). A dropped
        clip's part is empty.
    """
    rate, num_samples = (
        media[name].to_numpy().astype(np.int64) for name in ("original_sample_rate_hz", "original_num_samples")
    )
    available = num_samples * reads.sample_rate_hz // rate
    interval = _exactly(rules.duration_interval)
    intervals = num_samples * interval.denominator // (rate * interval.numerator)
    wanted = np.where(
        intervals > 0, intervals * interval.numerator * reads.sample_rate_hz // interval.denominator, available
    )
    taken = wanted - wanted % reads.hop_samples
    reasons = {
        "too_short": _is_below(num_samples, rate, rules.min_duration_seconds) | (taken == 0),
        "too_long": _is_above(num_samples, rate, rules.max_duration_seconds),
        "too_large": taken * reads.num_channels > MAX_VALUES,
    }
    is_dropped = np.logical_or.reduce(list(reasons.values()))
    first = np.argmax(np.stack(list(reasons.values())), axis=0)
    dropped_for = pa.array(list(reasons), pa.string()).take(pa.array(first, mask=~is_dropped))
    taken[is_dropped] = 0
    mixed_to = np.minimum(media["original_num_channels"].to_numpy(), rules.channels or reads.num_channels)
    columns = {
        "sample_rate_hz": np.full(len(media), reads.sample_rate_hz),
        "num_channels": np.full(len(media), reads.num_channels),
        "mixed_to": np.minimum(mixed_to, reads.num_channels),
        "first_sample": _starts(available - taken, media["media_hash"], rules, seed),
        "num_samples": taken,
        "bucket": _buckets(intervals, interval, taken, reads.sample_rate_hz),
        "dropped_for": dropped_for,
    }
    for name, values in columns.items():
        media = media.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return media


def durations_s(buckets: pa.Table) -> pa.ChunkedArray:
    """How much of each clip is encoded: as the encoder reads it, in whole steps."""
    return pc.divide(buckets["num_samples"].cast(pa.float64()), buckets["sample_rate_hz"].cast(pa.float64()))


def _exactly(seconds: float) -> Fraction:
    """The number as it was written: 0.1 is a tenth."""
    return Fraction(repr(seconds)).limit_denominator(1_000_000)


def _is_below(
    num_samples: npt.NDArray[np.int64], rate: npt.NDArray[np.int64], limit_s: float | None
) -> npt.NDArray[np.bool_]:
    limit = _exactly(limit_s or 0)
    return num_samples * limit.denominator < rate * limit.numerator


def _is_above(
    num_samples: npt.NDArray[np.int64], rate: npt.NDArray[np.int64], limit_s: float | None
) -> npt.NDArray[np.bool_]:
    if limit_s is None:
        return np.zeros(len(rate), bool)
    limit = _exactly(limit_s)
    return num_samples * limit.denominator > rate * limit.numerator


def _starts(
    slack: npt.NDArray[np.int64], media_hash: pa.ChunkedArray, rules: AudioRules, seed: int
) -> npt.NDArray[np.int64]:
    """Where each part begins, of a clip that is so many samples longer than it."""
    if rules.truncation_mode == "beginning":
        return np.zeros_like(slack)
    if rules.truncation_mode == "end":
        return slack
    digest = xxhash.xxh3_64_intdigest
    draws = (
        digest(f"{media}:{seed}".encode()) >> 11
        for start in range(0, len(media_hash), BATCH_ROWS)
        for media in media_hash.slice(start, BATCH_ROWS).to_pylist()
    )
    shares = np.fromiter(draws, np.float64, len(slack)) / 2**53  # of 0 to 1, 1 excluded
    return (shares * (slack + 1)).astype(np.int64)


def _buckets(intervals: npt.NDArray[np.int64], interval: Fraction, taken: npt.NDArray[np.int64], rate: int) -> pa.Array:
    """Each part's length in seconds, such as "9s": as many intervals, else as it is."""
    distinct, which = np.unique(np.stack([intervals, taken]), axis=1, return_inverse=True)
    lengths = (float(count * interval) if count else samples / rate for count, samples in distinct.T.tolist())
    names = [f"{length:.3f}".rstrip("0").rstrip(".") + "s" for length in lengths]
    return pa.array(names, pa.string()).take(pa.array(which.reshape(-1)))

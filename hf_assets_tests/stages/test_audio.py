"""Which part of a clip is encoded, worked out by hand."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from hf_assets import schema
from hf_assets.stages import audio
from hf_assets.stages.audio import AudioInput, AudioRules

READS = AudioInput(sample_rate_hz=48_000, num_channels=2, hop_samples=1_920)  # 25 steps a second


def clips(*lengths: tuple[int, int], channels: int = 2) -> pa.Table:
    """Clips of (samples, rate)."""
    rows = [
        {
            "row": row,
            "media_hash": f"hash {row}",
            "original_sample_rate_hz": rate,
            "original_num_channels": channels,
            "original_num_samples": num_samples,
        }
        for row, (num_samples, rate) in enumerate(lengths)
    ]
    return pa.Table.from_pylist(rows, schema=schema.AUDIO_MEDIA)


def assigned(
    *lengths: tuple[int, int], reads: AudioInput = READS, original: int = 2, seed: int = 0, **rules: object
) -> list[dict]:
    table = audio.assign(clips(*lengths, channels=original), AudioRules.model_validate(rules), reads, seed)
    assert table.column_names == [*schema.AUDIO_BUCKETS.names, "dropped_for"]
    table.select(schema.AUDIO_BUCKETS.names).cast(schema.AUDIO_BUCKETS)
    return table.to_pylist()


@pytest.mark.parametrize(
    ("num_samples", "rate", "bucket", "taken"),
    [
        (480_000, 48_000, "9s", 432_000),  # 10 s: three intervals
        (432_000, 48_000, "9s", 432_000),  # exactly 9 s
        (431_999, 48_000, "6s", 288_000),  # one sample less
        (396_900, 44_100, "9s", 432_000),  # exactly 9 s at another rate
        (396_899, 44_100, "6s", 288_000),
        (72_000, 8_000, "9s", 432_000),
        (864_000, 96_000, "9s", 432_000),
        (120_000, 48_000, "2.48s", 119_040),  # 2.5 s is less than an interval: kept, in 62 whole steps
        (1_920, 48_000, "0.04s", 1_920),  # one step
    ],
)
def test_a_clip_is_cut_to_whole_intervals_and_whole_steps(num_samples: int, rate: int, bucket: str, taken: int) -> None:
    (clip,) = assigned((num_samples, rate))
    assert (clip["bucket"], clip["num_samples"], clip["first_sample"]) == (bucket, taken, 0)
    assert clip["dropped_for"] is None


@pytest.mark.parametrize(
    ("interval", "bucket", "taken"),
    [(0.1, "10.4s", 499_200), (2.5, "10s", 480_000), (10.5, "10.4s", 499_200), (0.35, "10.15s", 485_760)],
)
def test_any_interval_is_taken_as_it_is_written(interval: float, bucket: str, taken: int) -> None:
    (clip,) = assigned((10 * 48_000 + 19_201, 48_000), duration_interval=interval)
    assert (clip["bucket"], clip["num_samples"]) == (bucket, taken)


def test_the_encoders_steps_and_rate_decide_how_much_of_an_interval_is_taken() -> None:
    (clip,) = assigned((10 * 48_000, 48_000), reads=AudioInput(44_100, 1, 2_048))
    assert (clip["bucket"], clip["num_samples"]) == ("9s", 9 * 44_100 // 2_048 * 2_048)
    assert (clip["sample_rate_hz"], clip["num_channels"]) == (44_100, 1)


@pytest.mark.parametrize(
    ("lengths", "rules", "reasons"),
    [
        ([191_999, 192_000, 192_001], {"min_duration_seconds": 4}, ["too_short", None, None]),
        ([191_999, 192_000, 192_001], {"max_duration_seconds": 4}, [None, None, "too_long"]),
        ([191_999, 192_001], {"min_duration_seconds": 4, "max_duration_seconds": 4.0}, ["too_short", "too_long"]),
        ([1_919, 1_920], {}, ["too_short", None]),  # less than one step of the encoder
        ([1_919, 1_920], {"min_duration_seconds": 0}, ["too_short", None]),
        ([2**27, 2**27 + 480_000], {}, [None, "too_large"]),
        ([2**27 + 480_000], {"max_duration_seconds": 60}, ["too_long"]),  # the first reason
    ],
)
def test_durations_filter_and_limits_are_inclusive(lengths: list[int], rules: dict, reasons: list) -> None:
    made = assigned(*((length, 48_000) for length in lengths), **rules)
    assert [clip["dropped_for"] for clip in made] == reasons


@pytest.mark.parametrize(("mode", "first"), [("beginning", 0), ("end", 48_000)])
def test_the_beginning_or_the_end_is_taken(mode: str, first: int) -> None:
    assert assigned((480_000, 48_000), truncation_mode=mode)[0]["first_sample"] == first


def test_a_random_part_lies_within_the_clip_and_is_drawn_from_hash_and_seed() -> None:
    lengths = [(480_000, 48_000)] * 200
    firsts = [clip["first_sample"] for clip in assigned(*lengths, truncation_mode="random")]
    assert min(firsts) >= 0
    assert max(firsts) <= 48_000
    assert min(firsts) < 2_000
    assert max(firsts) > 46_000
    assert len(set(firsts)) > 190
    assert firsts == [clip["first_sample"] for clip in assigned(*lengths, truncation_mode="random")]
    # the same sample alone, and in another place
    assert assigned(lengths[0], truncation_mode="random")[0]["first_sample"] == firsts[0]
    assert firsts != [clip["first_sample"] for clip in assigned(*lengths, truncation_mode="random", seed=1)]


def test_a_clip_that_fits_exactly_has_nothing_to_draw() -> None:
    assert assigned((432_000, 48_000), truncation_mode="random")[0]["first_sample"] == 0


@pytest.mark.parametrize(
    ("original", "wanted", "encoder", "mixed_to"),
    [(1, None, 2, 1), (2, None, 2, 2), (6, None, 2, 2), (2, 1, 2, 1), (1, 2, 2, 1), (2, None, 1, 1), (6, 1, 2, 1)],
)
def test_channels_are_mixed_only_where_there_are_more(
    original: int, wanted: int | None, encoder: int, mixed_to: int
) -> None:
    reads = READS._replace(num_channels=encoder)
    (clip,) = assigned((480_000, 48_000), reads=reads, original=original, channels=wanted)
    assert (clip["mixed_to"], clip["num_channels"]) == (mixed_to, encoder)


def test_no_clips_are_no_clips() -> None:
    assert assigned() == []


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"min_duration_seconds": 5, "max_duration_seconds": 4}, "swap them"),
        ({"duration_interval": 0}, "greater than or equal"),
        ({"truncation_mode": "middle"}, "beginning"),
        ({"bucket_strategy": "none"}, "duration"),
        ({"channels": 3}, "1 or 2"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        AudioRules.model_validate(rules)

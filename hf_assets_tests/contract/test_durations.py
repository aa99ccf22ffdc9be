"""Text encoders that take how long a clip is: each embed is that of its clip as encoded, and costs no more."""

from pathlib import Path

import pytest

from hf_assets_tests.audio_files import wav
from hf_assets_tests.contract.conftest import ALL_EMBEDS, Models
from hf_assets_tests.contract.image_rows import Row
from hf_assets_tests.contract.test_plan import UNKNOWN, Reasons, planned, reasons
from hf_assets_tests.contract.world import World

pytestmark = pytest.mark.parametrize("first", ["audio"], indirect=True)

OTHERS = {"quality_assessment": {"clip": 1.0}, "other": 0, "alternative": "new", "lyrics": None}


def song(frequency_hz: float, duration_s: float, caption: str) -> Row:
    return Row(wav(frequency_hz, duration_s, rate=48_000), caption, OTHERS)


def test_one_caption_of_clips_of_one_and_two_seconds_has_two_embeds(world: World) -> None:
    added = [song(3_000, 1.3, "a tone"), song(3_100, 2.1, "a tone"), song(3_200, 1.25, "a tone")]
    world.push(world.rows[:5], world.rows[5:], added)
    plan = planned(world)
    assert reasons(plan) == Reasons({UNKNOWN: 3}, {UNKNOWN: 6})  # three, and the empty one with each
    assert world.materialize().encoded == (3, 4)  # 1.2 s twice, and 2 s; and the empty caption with both
    world.check()
    one, two = (row for row in world.table("text_embeds").to_pylist() if row["caption"] == "a tone")
    again = world.table("training_set").to_pylist()[-1]
    assert (one["caption"], round(one["duration_s"], 1), round(two["duration_s"], 1)) == ("a tone", 1.2, 2.0)
    assert again["embed_keys"] == [one["embed_key"]]
    assert reasons(planned(world)) == Reasons()


def test_media_of_another_length_need_another_embed_and_a_plan_says_why(world: World) -> None:
    longer = world.rows[2].but(image=wav(3_000, 1.3, rate=48_000))
    world.push([*world.rows[:2], longer, *world.rows[3:5]], world.rows[5:])
    world.materialize(selection="*photos/buckets")
    assert reasons(planned(world)) == Reasons({"media": 1}, {"duration": 2})  # and the empty one
    assert world.materialize().encoded == (1, 2)
    world.check()


def test_of_what_no_clip_is_left_no_caption_is_encoded(world: World) -> None:
    world.push(world.rows[:5], world.rows[5:], [Row(b"no sound", "of nothing", OTHERS)])
    assert world.materialize().encoded == (0, 0)
    assert "of nothing" not in world.table("text_embeds")["caption"].to_pylist()
    world.check()


def test_a_pipeline_that_takes_no_duration_encodes_a_caption_once(world: World, models: Models, tmp_path: Path) -> None:
    stable = models.of("stableaudio")
    world.model["pretrained_model_name_or_path"] = f"{stable.owner}/one"
    added = [song(3_000, 1.3, "a tone"), song(3_100, 2.1, "a tone"), Row(b"no sound", "of nothing", OTHERS)]
    world.push(world.rows[:5], world.rows[5:], added)
    assert reasons(planned(world)).captions == {"encoder": ALL_EMBEDS, "caption": 2}  # also those of rows with lyrics
    world.materialize()
    texts = world.table("text_embeds")
    assert texts["caption"].to_pylist().count("a tone") == 1
    assert "duration_s" not in texts.column_names

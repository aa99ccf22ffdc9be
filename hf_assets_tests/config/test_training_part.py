"""What an entry says to the trainer, as SimpleTuner files say it."""

from typing import Any

import pytest

from hf_assets.config.training_part import Part
from hf_assets.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({}, Part()),
        ({"probability": 1, "repeats": 2.0}, Part(probability=1.0, repeats=2)),
        ({"probability": None, "end_epoch": None, "repeats": None}, Part()),  # null is as not given
        ({"is_regularisation_data": "False"}, Part()),
        ({"is_regularisation_data": True}, Part(is_regularisation_data=True)),
        ({"train_batch_size": 4, "slider_strength": -1.5}, Part(train_batch_size=4, others={"slider_strength": -1.5})),
    ],
)
def test_values_are_read(values: dict[str, Any], part: Part) -> None:
    assert Part.of(values) == part


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(ConfigError, match=r"^probability: is NaN; write a number, .*\nrepeats: is -1; write a whole"):
        Part.of({"repeats": -1, "probability": float("nan")})


@pytest.mark.parametrize(
    ("part", "epochs", "steps"),
    [
        (Part(), {0, 1, 2, 3}, {0, 1, 2, 3}),
        (Part(probability=0), set(), set()),
        (Part(start_epoch=2, end_epoch=3), {1, 2}, set()),
        (Part(start_step=2, end_step=3), set(), {1, 2}),
        (Part(start_step=1, start_epoch=0), {0, 1, 2, 3}, {0, 1, 2, 3}),
    ],
)
def test_the_first_and_the_last_epoch_and_step_are_within(part: Part, epochs: set[int], steps: set[int]) -> None:
    assert {epoch for epoch in range(4) if part.takes_part(epoch, 0)} == epochs
    assert {step for step in range(4) if part.takes_part(0, step)} == steps

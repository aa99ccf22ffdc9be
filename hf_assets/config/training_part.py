"""What a dataset's entry says to the trainer about its part of a mixture.

Read by `hf_assets.training`, so nothing heavy is imported here. No key and no version depends on it.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from hf_assets.errors import ConfigError
from hf_assets.spellings import number

# The smallest value of each number, where it is one.
SMALLEST = {
    "probability": 0.0,
    "caption_dropout_probability": 0.0,
    "repeats": 0,
    "train_batch_size": 1,
    "start_epoch": 0,
    "start_step": 0,
    "end_epoch": 1,
    "end_step": 1,
}


# The largest value of those that have one.
LARGEST = {"caption_dropout_probability": 1.0}


@dataclass(frozen=True)
class Part:
    """One dataset's part of a mixture, in SimpleTuner's terms.

    Attributes:
        probability: share of the samples, relative to that of the others; None: not given.
        repeats: how many more times than once an epoch has each sample.
        train_batch_size: None: not given.
        start_epoch, end_epoch: the first and the last epoch in which it takes part, counted from 1.
        start_step, end_step: likewise the trainer's first and last step, counted from 1 over the whole training.
        is_regularisation_data: handed on with each sample.
        caption_dropout_probability: that a sample has the empty caption in place of its own; None: not given.
        others: the other values for the trainer, as they are.
    """

    probability: float | None = None
    repeats: int = 0
    train_batch_size: int | None = None
    start_epoch: int = 1
    start_step: int = 0
    end_epoch: int | None = None
    end_step: int | None = None
    is_regularisation_data: bool = False
    caption_dropout_probability: float | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Read the values of an entry's trainer-only keys. Null is as not given.

        Raises:
            ConfigError: `key: what is wrong`, one line each.
        """
        if wrong := [f"{key}: {message}" for key, message in mistakes(values)]:
            raise ConfigError("\n".join(wrong))
        given = {key: _value(key, values[key]) for key in KEYS if values.get(key) is not None}
        return cls(**given, others={key: value for key, value in values.items() if key not in KEYS})

    def takes_part(self, epoch: int, step: int) -> bool:
        """Whether it does in this epoch and at this step of the trainer, both counted from 0."""
        return (
            self.probability != 0
            and self.start_epoch <= epoch + 1
            and self.start_step <= step + 1
            and (self.end_epoch is None or epoch < self.end_epoch)
            and (self.end_step is None or step < self.end_step)
        )


KEYS = tuple(one.name for one in fields(Part) if one.name != "others")


def mistakes(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys whose values are of the wrong type or out of range, and what to write."""
    for key in KEYS:
        value = values.get(key)
        if value is None:
            continue
        if key == "is_regularisation_data":
            if not isinstance(_value(key, value), bool):
                yield key, f"is {json.dumps(value, default=str)}; write true or false"
            continue
        is_whole = isinstance(SMALLEST[key], int)
        value = number(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value < SMALLEST[key] or (is_whole and value != int(value)):
            kind = "whole number" if is_whole else "number"
            yield key, f"is {json.dumps(value, default=str)}; write a {kind}, {SMALLEST[key]:g} or more"
        elif value > LARGEST.get(key, math.inf):
            yield key, f"is {json.dumps(value, default=str)}; write {LARGEST[key]:g} or less"


def _value(key: str, value: Any) -> Any:
    """A value in the type of its field, where it is one of these."""
    if key == "is_regularisation_data":
        text = value.strip().lower() if isinstance(value, str) else value
        return {"true": True, "false": False}.get(text, value) if isinstance(text, str) else value
    return int(number(value)) if isinstance(SMALLEST[key], int) else float(number(value))

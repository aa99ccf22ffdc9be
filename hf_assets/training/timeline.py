"""Which dataset gives the batches of which step, from the first epoch on."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from hf_assets.config.training_part import Part
from hf_assets.errors import ConfigError
from hf_assets.training.interleaving import Interleaving, turns_of


class Timeline:
    """Goes through a training step by step.

    Where no part has a probability, each one's share is its size, so that an epoch has every sample once and as often
    again as its `repeats` say. Else the probabilities are shares of the samples; a part without one counts as 1. A part
    whose batches are smaller, since its buckets leave partial ones, has more turns.

    An epoch has as many steps as one pass, and `repeats` more, of each part that takes part at its beginning have
    together, whatever the probabilities are. It ends early where no part is left.

    Attributes:
        num_steps: of this epoch; 0: no part takes part in it.
        epoch: counted from 0.
        step: steps done in this epoch.
        clock: steps done since the beginning of the training.
        taken: steps that each part has given since then.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        sizes: Sequence[int],
        *,
        num_samples: Sequence[int] | None = None,
        steps_per_epoch: int | None = None,
        steps_per_update: int = 1,
    ) -> None:
        """
        Args:
            sizes: steps of one pass through each part.
            num_samples: of one pass through each part; None: all steps have equally many.
            steps_per_update: of one optimizer step, in which `start_step` and `end_step` are counted.
        """
        self._parts = list(parts.values())
        self._names = list(parts)
        self._steps_per_update = steps_per_update
        self._steps_per_epoch = steps_per_epoch
        self._sizes = [size * (part.repeats + 1) for size, part in zip(sizes, self._parts, strict=True)]
        is_by_size = all(part.probability is None for part in self._parts)
        shares = [1.0 if part.probability is None else part.probability for part in self._parts]
        means = [Fraction(*pair) for pair in zip(num_samples or sizes, sizes, strict=True)]
        self._weights = self._sizes if is_by_size else turns_of(shares, means)
        limits = {limit for part in self._parts for limit in (part.start_step - 1, part.end_step) if limit}
        self._changes = sorted(limit * steps_per_update for limit in limits if limit > 0)
        self.epoch = self.step = self.clock = 0
        self.taken = [0] * len(self._parts)
        self._active: list[int] = []
        self._enter()

    def __iter__(self) -> Iterator[int]:
        """The parts that give the steps that are left of this epoch. Each is counted when it is given."""
        while self.step < self.num_steps:
            part = self._active[self._turns.take()]
            self.taken[part] += 1
            self._advance(1)
            yield part

    def skip(self, num_steps: int) -> None:
        """Pass over steps of this epoch."""
        while num_steps:
            at_once = min([num_steps, *(change - self.clock for change in self._changes if change > self.clock)])
            for part, count in zip(self._active, self._turns.skip(at_once), strict=True):
                self.taken[part] += count
            self._advance(at_once)
            num_steps -= at_once

    def next_epoch(self) -> None:
        """Pass over what is left of this epoch."""
        self.skip(self.num_steps - self.step)
        self.epoch, self.step = self.epoch + 1, 0
        self._enter()

    def refuse_nobody(self) -> None:
        """
        Raises:
            ConfigError: no dataset takes part in this epoch.
        """
        if not self.num_steps:
            raise ConfigError(
                f"no dataset takes part in epoch {self.epoch + 1}, step {self.clock // self._steps_per_update + 1}: "
                f"look at probability, start_epoch, start_step, end_epoch and end_step of {', '.join(self._names)}"
            )

    def _enter(self) -> None:
        """Begin an epoch."""
        self._refresh()
        length = self._steps_per_epoch or sum(self._sizes[part] for part in self._active)
        if not self._active:
            length = 0
        ends = [change for change in self._changes if change > self.clock and not self._taking_part(change)]
        self.num_steps = min([length, *(end - self.clock for end in ends)])

    def _advance(self, num_steps: int) -> None:
        self.step += num_steps
        self.clock += num_steps
        if self.step < self.num_steps and self.clock in self._changes:
            self._refresh()

    def _refresh(self) -> None:
        """See who takes part from here on; where nothing changed, the turns go on across epochs."""
        active = self._taking_part(self.clock)
        if active and active != self._active:
            self._turns = Interleaving([self._weights[part] for part in active])
        self._active = active

    def _taking_part(self, clock: int) -> list[int]:
        step = clock // self._steps_per_update
        return [number for number, part in enumerate(self._parts) if part.takes_part(self.epoch, step)]

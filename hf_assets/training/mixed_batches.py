"""A mixture's batches, as a torch sampler."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch.distributed
from torch.utils.data import Sampler

from hf_assets import fingerprint
from hf_assets.config.training_part import Part
from hf_assets.errors import ConfigError
from hf_assets.training.passes import Passes
from hf_assets.training.timeline import Timeline

# Bump when the same settings give other batches, so that no state of before is taken for one of now.
VERSION = 2


class Batch(list[int]):
    """Indices into a mixture, and the place of this batch in the training.

    Attributes:
        dataset: the id of the one that all of them are from.
        draw: the number of the pass through it, by which captions are drawn.
        epoch, step: both counted from 0; the step within the epoch.
    """

    dataset: str
    draw: int
    epoch: int
    step: int


class Source(NamedTuple):
    """What the sampler has to know of a dataset.

    Attributes:
        first: index of its first sample in the mixture.
        buckets: the bucket of each sample, from 0.
        content: a hash of its samples and their order.
    """

    part: Part
    first: int
    buckets: np.ndarray
    content: str


class MixedBatches(Sampler[list[int]]):
    """Batches of a mixture for one rank: a `batch_sampler` for a plain `DataLoader`.

    At each step all ranks have batches of one dataset, and an epoch has equally many steps on all of them. Iterating
    gives one epoch, from its beginning or from where `load_state_dict` left off, and moves on to the next one at its
    end. `len()` is the number of steps of the whole epoch.

    Attributes:
        num_resting: by dataset, how many samples each pass leaves out, for they can't be dealt to the ranks evenly, or
            by `drop_last`. Without `drop_last` they are fewer than the ranks, and others in each pass.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        *,
        seed: int = 0,
        batch_size: int = 1,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        steps_per_epoch: int | None = None,
        gradient_accumulation_steps: int = 1,
    ) -> None:
        """
        Args:
            batch_size: of datasets whose config names no `train_batch_size`.
            rank, world_size: of `torch.distributed` where it is initialized, else 0 and 1.
            drop_last: only full batches.
            steps_per_epoch: in place of one pass (and `repeats`) through every dataset.
            gradient_accumulation_steps: steps that make one step in `start_step` and `end_step`.

        Raises:
            ConfigError: a dataset has fewer samples than there are ranks, or none takes part.
        """
        self.rank, self.world_size = _ranks(rank, world_size)
        self._steps_per_epoch, self._steps_per_update = steps_per_epoch, gradient_accumulation_steps
        self._settings = {
            "seed": seed,
            "batch_size": batch_size,
            "world_size": self.world_size,
            "drop_last": drop_last,
            "steps_per_epoch": steps_per_epoch,
            "gradient_accumulation_steps": gradient_accumulation_steps,
        }
        self._sources = {name: source for name, source in sources.items() if source.part.probability != 0}
        self._passes = [
            Passes(
                source.buckets,
                source.part.train_batch_size or batch_size,
                seed=(seed, int(fingerprint.of_bytes(name.encode()), 16)),
                world_size=self.world_size,
                rank=self.rank,
                drop_last=drop_last,
                first=source.first,
            )
            for name, source in self._sources.items()
        ]
        self._refuse_too_small(drop_last)
        self.num_resting = {name: passes.num_resting for name, passes in zip(self._sources, self._passes, strict=True)}
        self._start = self._timeline()  # of what the next `iter` gives
        self._start.refuse_nobody()
        self._handed_out = (0, 0)  # epoch, steps of it

    @property
    def epoch(self) -> int:
        """The epoch that iterating gives next, from 0. It may be set; setting it to what it is changes nothing."""
        return self._start.epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        if value == self._start.epoch:
            return  # which `load_state_dict` may have left in the middle
        timeline = self._timeline()
        while timeline.epoch < value:
            timeline.next_epoch()
        self._begin_at(timeline)

    def set_epoch(self, epoch: int) -> None:
        """As `epoch = …`: the name that torch's samplers have for it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._start.num_steps

    def __iter__(self) -> Iterator[Batch]:
        start = self._start
        start.refuse_nobody()
        timeline = copy.deepcopy(start)
        self._handed_out = (timeline.epoch, timeline.step)
        under_way: dict[int, Iterator[list[int]]] = {}
        names = list(self._sources)
        for part in timeline:
            number, step = divmod(timeline.taken[part] - 1, self._passes[part].num_steps)
            if step == 0 or part not in under_way:
                under_way[part] = self._passes[part].steps(number, step)
            batch = Batch(next(under_way[part]))
            batch.dataset, batch.draw = names[part], number
            batch.epoch, batch.step = timeline.epoch, timeline.step - 1
            self._handed_out = (timeline.epoch, timeline.step)
            yield batch
        timeline.next_epoch()
        if self._start is start:  # and no other epoch was set in the meantime
            self._start = timeline

    def state_dict(self, after: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What to save with a checkpoint.

        Args:
            after: the last batch that was trained on, as `collate` made it. Without it, the last batch that was handed
                out counts, and the workers of a `DataLoader` ask for batches in advance.
        """
        epoch, step = (after["epoch"][0], after["step"][0] + 1) if after is not None else self._handed_out
        return {"epoch": int(epoch), "step": int(step), "of": self._identity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch at which the state was taken, with exactly those that would have followed.

        Raises:
            ConfigError: the state is of other data or settings, with which other batches follow.
        """
        different = [name for name, value in self._identity.items() if state["of"].get(name) != value]
        if different:
            raise ConfigError(
                f"the state was saved with another {', another '.join(different)}: go on as it was, or set "
                f"epoch = {state['epoch'] + 1} to begin a new epoch as it is now"
            )
        timeline = self._timeline()
        while timeline.epoch < state["epoch"]:
            timeline.next_epoch()
        timeline.skip(state["step"])
        if timeline.step == timeline.num_steps:
            timeline.next_epoch()
        self._begin_at(timeline)

    def _begin_at(self, timeline: Timeline) -> None:
        self._start = timeline
        self._handed_out = (timeline.epoch, timeline.step)

    def _timeline(self) -> Timeline:
        """A training from its first step on."""
        return Timeline(
            {name: source.part for name, source in self._sources.items()},
            [passes.num_steps for passes in self._passes],
            num_samples=[passes.num_samples for passes in self._passes],
            steps_per_epoch=self._steps_per_epoch,
            steps_per_update=self._steps_per_update,
        )

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """All that the batches of all ranks depend on, in such a way that an error can say what differs."""
        datasets = {
            f"dataset {name}": fingerprint.of_value([position, _deciding(source.part), source.content])
            for position, (name, source) in enumerate(self._sources.items())
        }
        return {"version": VERSION, "number of datasets": len(datasets), **self._settings, **datasets}

    def _refuse_too_small(self, drop_last: bool) -> None:
        for (name, source), passes in zip(self._sources.items(), self._passes, strict=True):
            if not passes.num_steps:
                wanted = "full batch" if drop_last else "sample"
                raise ConfigError(
                    f"{name} has {len(source.buckets):,} samples, not a {wanted} for each of {self.world_size} ranks: "
                    f"leave it out, or use {'smaller batches or ' if drop_last else ''}fewer ranks"
                )


def _deciding(part: Part) -> dict[str, Any]:
    """What of a part decides about batches."""
    values = {**asdict(part), "others": None}
    del values["caption_dropout_probability"]  # what a sample says, not which it is
    return values


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Those given, else those of the process group."""
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if world_size is None:
        world_size = torch.distributed.get_world_size() if is_distributed else 1
    if rank is None:
        rank = torch.distributed.get_rank() if is_distributed else 0
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} is none of {world_size} ranks: they are counted from 0")
    return rank, world_size

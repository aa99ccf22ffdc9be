"""Several training sets as one torch dataset, in shares that the config gives."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch.utils.data import Dataset

from hf_assets.config.training_part import Part
from hf_assets.errors import ConfigError, StoreError
from hf_assets.training.exported_set import ExportedSet
from hf_assets.training.mixed_batches import Batch, MixedBatches, Source
from hf_assets.training.training_set import NO_EMPTY_CAPTION, TrainingSet


class Mixture(Dataset[dict[str, Any]]):
    """The samples of several training sets, one set after the other.

    A sample is what its `TrainingSet` gives, with `dataset` (the id), and `is_regularisation_data` of its config. In
    batches from `batches()` it also has `epoch` and `step`, both counted from 0, the step within the epoch; and a
    sample that comes again and has several captions is drawn anew, also within an epoch. With `caption_dropout`, some
    samples have the empty caption and its embed in place of their own, others in each epoch, and always the same ones.

    Attributes:
        sets: the training sets by id.
        parts: what the config says to the trainer about each.
        caption_dropout: of each set, the probability with which a sample has the empty caption.
    """

    def __init__(
        self,
        sets: Mapping[str, TrainingSet | ExportedSet],
        parts: Mapping[str, Part] | None = None,
        *,
        caption_dropout: float | None = None,
    ) -> None:
        """
        Args:
            parts: those of some or all of the sets; the others have `Part()`.
            caption_dropout: of all sets, 0 to 1, in place of their `caption_dropout_probability`.

        Raises:
            ConfigError: there is no such set, or no such probability.
            StoreError: a set is empty, or has no embed of the empty caption where that is drawn.
        """
        self.sets = dict(sets)
        unknown = set(parts or {}) - set(sets)
        if unknown or not sets:
            raise ConfigError(f"there is no training set {', '.join(sorted(unknown))}: known are {', '.join(sets)}")
        for name, training_set in self.sets.items():
            if not len(training_set):
                raise StoreError(f"the training set of {name} is empty: see what its filters dropped, or disable it")
        self.parts = {name: (parts or {}).get(name, Part()) for name in sets}
        self.caption_dropout = {name: self._dropout_of(name, caption_dropout) for name in sets}
        lengths = [len(training_set) for training_set in self.sets.values()]
        self._ends = np.cumsum(lengths)
        self._firsts = dict(zip(self.sets, (self._ends - lengths).tolist(), strict=True))

    @classmethod
    def from_config(cls, file: str | Path | None = None, *, caption_dropout: float | None = None) -> Self:
        """Open the training sets of a config file, each with what the file says about it now.

        Args:
            file: by default the one that `HF_ASSETS_CONFIG` names, else `datasets.json` in the working directory.
            caption_dropout: in place of what the file says.

        Raises:
            ConfigError: the file is wrong.
            StoreError: a training set isn't materialized, is empty, or lacks the empty caption where that is drawn.
        """
        from hf_assets.config import loading

        config = loading.load(Path(os.path.expanduser(file)) if file is not None else loading.config_file())
        parts = {recipe.id: Part.of(recipe.trainer) for recipe in config.recipes}
        wanted = [recipe for recipe in config.recipes if parts[recipe.id].probability != 0]
        if not wanted:
            raise ConfigError(f"{config.file}: datasets: each has probability 0; give one more")
        sets = {recipe.id: TrainingSet.open(recipe.folders.metadata) for recipe in wanted}
        return cls(sets, {name: parts[name] for name in sets}, caption_dropout=caption_dropout)

    def batches(
        self,
        *,
        seed: int = 0,
        batch_size: int = 1,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        steps_per_epoch: int | None = None,
        gradient_accumulation_steps: int = 1,
    ) -> MixedBatches:
        """The `batch_sampler` for a `DataLoader` of this mixture: see `MixedBatches`."""
        ends = self._ends.tolist()
        sources = {
            name: Source(
                self.parts[name],
                end - len(training_set),
                training_set.shape_codes,
                training_set.content,
            )
            for (name, training_set), end in zip(self.sets.items(), ends, strict=True)
        }
        return MixedBatches(
            sources,
            seed=seed,
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
            steps_per_epoch=steps_per_epoch,
            gradient_accumulation_steps=gradient_accumulation_steps,
        )

    def locate(self, index: int) -> tuple[str, int]:
        """The id of the set that a sample is from, and its index there."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self):,}")
        position = index % len(self)
        number = int(np.searchsorted(self._ends, position, side="right"))
        name = list(self.sets)[number]
        return name, position - int(self._ends[number]) + len(self.sets[name])

    def __repr__(self) -> str:
        sets = ", ".join(f"{name}: {len(one):,}" for name, one in self.sets.items())
        return f"Mixture({len(self):,} samples; {sets})"

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, position = self.locate(index)
        one, dropout = self.sets[name], self.caption_dropout[name]
        if not dropout:
            return {**one[position], **self._facts(name)}
        return one.read_batch([position], one.epoch, caption_dropout=dropout, **self._facts(name))[0]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[dict[str, Any]]:
        """The samples of a batch, which `collate` takes as they lie: what a `DataLoader` asks for."""
        if not isinstance(indices, Batch):
            return [self[index] for index in indices]
        name, batch = indices.dataset, indices
        first = self._firsts[name]
        facts = {**self._facts(name), "epoch": batch.epoch, "step": batch.step}
        dropout = self.caption_dropout[name]
        more = {"caption_dropout": dropout} if dropout else {}
        return self.sets[name].read_batch([index - first for index in batch], batch.draw, **more, **facts)

    def _dropout_of(self, name: str, given: float | None) -> float:
        probability = self.parts[name].caption_dropout_probability if given is None else given
        if probability is None or probability == 0:
            return 0.0
        if not 0 <= probability <= 1:
            raise ConfigError(f"caption_dropout is {probability}; write 0 to 1")
        if not self.sets[name].has_text:
            return 0.0
        if not self.sets[name].has_empty_caption:
            raise StoreError(f"{name}: {NO_EMPTY_CAPTION}")
        return probability

    def _facts(self, name: str) -> dict[str, Any]:
        return {"dataset": name, "is_regularisation_data": self.parts[name].is_regularisation_data}

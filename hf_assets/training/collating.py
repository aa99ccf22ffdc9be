"""Samples to a batch.

Shape letters: B samples, L the length of a sample's first axis, M the longest of a batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from hf_assets.errors import StoreError

# What denoisers such as SDXL's are given of each sample, in pairs.
SIZES = ("original_size", "intermediary_size", "target_size", "crop_top_left")


class Samples(list[dict[str, Any]]):
    """Samples that were read together.

    Attributes:
        wholes: by name (B, …), in which the tensors that were read lie one after the other.
    """

    def __init__(self, samples: Iterable[dict[str, Any]], wholes: Mapping[str, torch.Tensor]) -> None:
        super().__init__(samples)
        self.wholes = dict(wholes)
        self._tensors = {name: [sample[name] for sample in self] for name in self.wholes}

    def whole(self, name: str, values: Sequence[Any]) -> torch.Tensor | None:
        """(B, …) of these tensors, where they are those that were read, in their order."""
        known = self._tensors.get(name, [])
        if len(known) == len(values) and all(own is value for own, value in zip(known, values, strict=True)):
            return self.wholes.get(name)
        return None


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack the tensors of each name, and make a list of everything else: the `collate_fn` of a `DataLoader`.

    Sizes and crops become (B, 2) int64: [width, height], and [top, left], in pixels. Audio has none.

    Text of different lengths, as families that don't pad it have, is padded with zeros at the end: (L, …) each becomes
    (B, M, …). Where nothing else of the sample says so, `{name}_mask`, (B, M) bool, is true for what isn't padding; it
    is there in the batches in which something was padded.

    What a training set read as a batch is not copied: the batch is the memory that the samples' tensors lie in.

    Raises:
        StoreError: samples don't go together: latents of several shapes, or embeds of several models.
    """
    first = samples[0]
    for sample in samples:
        if sample.keys() != first.keys():
            raise StoreError(
                f"samples of one batch have different entries, {', '.join(sorted(sample.keys() ^ first.keys()))}: "
                "take batches from Mixture.batches()"
            )
    batch: dict[str, Any] = {}
    masks: dict[str, torch.Tensor] = {}
    for name in first:
        values = [sample[name] for sample in samples]
        if name in SIZES and None not in values:
            batch[name] = torch.tensor(values, dtype=torch.int64)
        elif not isinstance(values[0], torch.Tensor):
            batch[name] = values
        elif len({value.shape for value in values}) == 1:
            whole = samples.whole(name, values) if isinstance(samples, Samples) else None
            batch[name] = torch.stack(values) if whole is None else whole
        else:
            batch[name] = _pad(name, values)
            if values[0].is_floating_point():
                masks[f"{name}_mask"] = pad_sequence(
                    [torch.ones(len(value), dtype=torch.bool) for value in values], True
                )
    return {**masks, **batch}


def _pad(name: str, values: list[torch.Tensor]) -> torch.Tensor:
    """(L, …) each -> (B, M, …)."""
    if name == "latents" or not values[0].dim() or len({value.shape[1:] for value in values}) > 1:
        shapes = ", ".join(sorted({"x".join(map(str, value.shape)) for value in values}))
        raise StoreError(f"{name} of one batch have different shapes, {shapes}: take batches from Mixture.batches()")
    return pad_sequence(values, batch_first=True)

"""Samples to a batch.

Shape letters: B samples, L the length of a sample's first axis, M the longest of a batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from hf_assets.errors import StoreError


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack the tensors of each name, and make a list of everything else: the `collate_fn` of a `DataLoader`.

    Text of different lengths, as families that don't pad it have, is padded with zeros at the end: (L, …) each becomes
    (B, M, …). Where nothing else of the sample says so, `{name}_mask`, (B, M) bool, is true for what isn't padding; it
    is there in the batches in which something was padded.

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
        if not isinstance(values[0], torch.Tensor):
            batch[name] = values
        elif len({value.shape for value in values}) == 1:
            batch[name] = torch.stack(values)
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

"""Batches of samples whose text isn't equally long."""

from typing import Any

import pytest
import torch

from hf_assets.errors import StoreError
from hf_assets.training import collate
from hf_assets.training.collating import Samples


def sample(length: int = 3, **more: Any) -> dict[str, Any]:
    return {"latents": torch.ones(4, 8, 8), "prompt_embeds": torch.ones(length, 2), "row": length, **more}


def test_tensors_are_stacked_and_the_rest_listed() -> None:
    batch = collate([sample(), sample()])
    assert {name: getattr(value, "shape", value) for name, value in batch.items()} == {
        "latents": (2, 4, 8, 8),
        "prompt_embeds": (2, 3, 2),
        "row": [3, 3],
    }


def test_shorter_text_is_padded_and_a_mask_says_where() -> None:
    batch = collate([sample(1), sample(3)])
    assert batch["prompt_embeds"].tolist() == [[[1, 1], [0, 0], [0, 0]], [[1, 1]] * 3]
    assert batch["prompt_embeds_mask"].tolist() == [[True, False, False], [True] * 3]


def test_a_mask_of_the_family_is_kept() -> None:
    masks = [torch.ones(length, dtype=torch.int64) for length in (1, 2)]
    batch = collate([sample(len(mask), prompt_embeds_mask=mask) for mask in masks])
    assert batch["prompt_embeds_mask"].tolist() == [[1, 0], [1, 1]]
    assert batch["prompt_embeds_mask"].dtype == torch.int64
    assert batch.keys() == {"latents", "prompt_embeds", "row", "prompt_embeds_mask"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"latents": torch.ones(4, 8, 16)}, "latents of one batch have different shapes, 4x8x16, 4x8x8: take batches"),
        ({"prompt_embeds": torch.ones(3, 5)}, "prompt_embeds of one batch have different shapes, 3x2, 3x5"),
        ({"pooled": torch.ones(3)}, "samples of one batch have different entries, pooled: take batches"),
    ],
)
def test_what_does_not_go_together_is_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        collate([sample(), sample(**other)])


def test_what_was_read_as_a_batch_is_not_copied() -> None:
    whole = torch.randn(3, 4, 8, 8)
    rest = [{"row": row} for row in range(3)]
    samples = Samples(({"latents": own, **more} for own, more in zip(whole, rest, strict=True)), {"latents": whole})
    assert collate(samples) == {"latents": whole, "row": [0, 1, 2]}
    assert collate(samples)["latents"] is whole
    assert torch.equal(collate(list(samples))["latents"], whole)
    samples[1]["latents"] = torch.zeros(4, 8, 8)  # by whoever stands between
    assert torch.equal(collate(samples)["latents"], torch.stack([whole[0], torch.zeros(4, 8, 8), whole[2]]))
    samples.reverse()
    assert torch.equal(collate(samples)["latents"], torch.stack([whole[2], torch.zeros(4, 8, 8), whole[0]]))
    samples.pop()
    assert len(collate(samples)["latents"]) == 2


def test_sizes_are_tensors_and_those_that_audio_lacks_are_not() -> None:
    latents = torch.zeros(1)
    batch = collate([{"latents": latents, "original_size": [3, 2]}, {"latents": latents, "original_size": [5, 4]}])
    assert torch.equal(batch["original_size"], torch.tensor([[3, 2], [5, 4]]))
    assert collate([{"latents": latents, "original_size": None}])["original_size"] == [None]

"""Batches that don't fit into memory are halved."""

import pytest
import torch

from hf_assets.workers.batches import in_halves


@pytest.mark.parametrize(
    ("fits", "calls"),
    [(8, [8]), (4, [8, 4, 4]), (3, [8, 4, 2, 2, 4, 2, 2]), (1, [8, 4, 2, 1, 1, 2, 1, 1, 4, 2, 1, 1, 2, 1, 1])],
)
def test_a_batch_is_halved_until_it_fits_and_keeps_its_order(fits: int, calls: list[int]) -> None:
    seen = []

    def encode(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(len(batch))
        if len(batch) > fits:
            raise torch.OutOfMemoryError
        return {"tens": batch * 10, "negated": -batch}

    encoded = in_halves(encode, torch.arange(8))
    assert [{name: int(value) for name, value in one.items()} for one in encoded] == [
        {"tens": 10 * number, "negated": -number} for number in range(8)
    ]
    assert seen == calls


def test_a_single_sample_that_does_not_fit_is_an_error() -> None:
    def encode(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        in_halves(encode, torch.zeros(3))

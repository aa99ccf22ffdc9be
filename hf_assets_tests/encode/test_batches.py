"""Batches that don't fit into memory are halved."""

import pytest
import torch

from hf_assets.encode import batches
from hf_assets.encode.batches import Waiting, in_halves, num_ahead


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


def given_out(waiting: Waiting, *samples: tuple[str, int]) -> list[str]:
    """The batches that samples of these lengths make, as they come; what is left stands behind a bar."""
    found = [
        "".join(key for key, _ in batch)
        for name, length in samples
        for batch in waiting.add(name, torch.zeros(length, dtype=torch.uint8))
    ]
    return [*found, "|", *("".join(key for key, _ in batch) for batch in waiting.rest())]


def test_a_batch_holds_samples_of_one_shape_and_is_given_out_when_it_is_full() -> None:
    assert given_out(Waiting(2), ("a", 1), ("b", 2), ("c", 1), ("d", 1)) == ["ac", "|", "b", "d"]


def test_large_samples_make_smaller_batches_and_one_alone_is_always_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_VALUES", 20)
    samples = [("a", 10), ("b", 10), ("c", 10), ("d", 11), ("e", 99)]
    assert given_out(Waiting(8), *samples) == ["ab", "d", "e", "|", "c"]


def test_samples_of_many_shapes_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WAITING_VALUES", 30)
    assert given_out(Waiting(8), ("a", 9), ("b", 10), ("c", 11), ("d", 9)) == ["ad", "|", "b", "c"]
    assert [num_ahead(40, 4, largest) for largest in (1, 2, 9)] == [30, 15, 4]

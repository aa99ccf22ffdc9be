"""Batches of one shape; those that don't fit into memory are halved."""

import pytest
import torch

from hf_assets.encode import batches
from hf_assets.encode.batches import Groups, in_halves


@pytest.mark.parametrize(
    ("fits", "calls"),
    [(8, [8]), (4, [8, 4, 4]), (3, [8, 4, 2, 2, 4, 2, 2]), (1, [8, 4, 2, 1, 1, 2, 1, 1, 4, 2, 1, 1, 2, 1, 1])],
)
def test_a_batch_is_halved_until_it_fits_and_keeps_its_order(fits: int, calls: list[int]) -> None:
    batch, seen = list("abcdefgh"), []

    def encode(some: slice) -> str:
        seen.append(len(batch[some]))
        if len(batch[some]) > fits:
            raise torch.OutOfMemoryError
        return "".join(batch[some])

    assert "".join(in_halves(encode, 8)) == "abcdefgh"
    assert seen == calls


def test_a_single_sample_that_does_not_fit_is_an_error() -> None:
    def encode(some: slice) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        in_halves(encode, 3)


def given_out(groups: Groups[str], *samples: tuple[str, int]) -> list[str]:
    """The batches that samples of these lengths make, as they come; what is left stands behind a bar."""
    found = ["".join(batch) for name, length in samples for batch in groups.add(name, length, length)]
    return [*found, "|", *("".join(batch) for batch in groups.rest())]


def test_a_batch_holds_samples_of_one_shape_and_is_given_out_when_it_is_full() -> None:
    assert given_out(Groups(2, 99), ("a", 1), ("b", 2), ("c", 1), ("d", 1)) == ["ac", "|", "b", "d"]


def test_large_samples_make_smaller_batches_and_one_alone_is_always_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 20)
    samples = [("a", 10), ("b", 10), ("c", 10), ("d", 11), ("e", 99)]
    assert given_out(Groups(8, 200), *samples) == ["ab", "d", "e", "|", "c"]


def test_samples_of_many_shapes_do_not_fill_the_memory() -> None:
    assert given_out(Groups(8, 30), ("a", 9), ("b", 10), ("c", 11), ("d", 9)) == ["ad", "|", "b", "c"]

"""Passes through one dataset: every sample once, in batches of one bucket, for any number of ranks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_assets.training.passes import Passes

SEED = (0,)


def buckets_of(counts: list[int]) -> np.ndarray:
    """Samples of these buckets, the buckets mixed up."""
    codes = np.repeat(np.arange(len(counts)), counts)
    return codes[np.argsort((np.arange(len(codes)) * 7919) % 1009, kind="stable")]


def ranks_of(counts: list[int], batch_size: int, world_size: int, *, drop_last: bool = False) -> list[Passes]:
    return [
        Passes(buckets_of(counts), batch_size, seed=SEED, world_size=world_size, rank=rank, drop_last=drop_last)
        for rank in range(world_size)
    ]


@pytest.mark.parametrize(
    ("counts", "batch_size", "world_size", "sizes", "num_resting"),
    [
        ([4], 2, 1, [2, 2], 0),
        ([5], 2, 1, [1, 2, 2], 0),  # a smaller batch
        ([1, 5], 4, 1, [1, 1, 4], 0),  # buckets don't share one
        ([4, 4], 4, 2, [4, 4], 0),
        ([8, 4], 4, 2, [2, 2, 4, 4], 0),  # three full ones, one of them halved
        ([8, 1], 4, 2, [1, 2, 2, 4], 0),
        ([17], 4, 2, [1, 2, 2, 4, 4, 4], 0),  # one left over can't be halved: a full step's batches are
        ([6], 1, 2, [1] * 6, 0),
        ([7], 1, 2, [1] * 6, 1),  # seven can't be dealt to two
        ([1, 1, 1], 4, 2, [1, 1], 1),
        ([3], 4, 4, [], 3),
    ],
)
def test_how_a_pass_is_cut(
    counts: list[int], batch_size: int, world_size: int, sizes: list[int], num_resting: int
) -> None:
    ranks = ranks_of(counts, batch_size, world_size)
    assert sorted(len(batch) for passes in ranks for batch in passes.steps(0)) == sizes
    assert ranks[0].num_resting == num_resting


COUNTS = st.lists(st.one_of(st.just(1), st.integers(1, 40)), min_size=1, max_size=6)


@settings(max_examples=200)
@given(COUNTS, st.integers(1, 5), st.integers(1, 8), st.booleans())
def test_a_pass_has_each_sample_once_in_equally_many_steps_of_all_ranks(
    counts: list[int], batch_size: int, world_size: int, drop_last: bool
) -> None:
    buckets = buckets_of(counts)
    ranks = ranks_of(counts, batch_size, world_size, drop_last=drop_last)
    steps = [list(passes.steps(1)) for passes in ranks]
    assert {len(batches) for batches in steps} == {ranks[0].num_steps}
    samples = [sample for batches in steps for batch in batches for sample in batch]
    assert len(set(samples)) == len(samples) == len(buckets) - ranks[0].num_resting
    for batch in (batch for batches in steps for batch in batches):
        assert len(batch) == batch_size if drop_last else 1 <= len(batch) <= batch_size
        assert len(set(buckets[batch])) == 1
    if not drop_last:
        assert ranks[0].num_resting < world_size
    if not drop_last and max(counts) > 2 * batch_size * world_size and batch_size > 1:
        assert ranks[0].num_resting == 0


@pytest.mark.parametrize(
    ("counts", "batch_size", "world_size", "drop_last"),
    [([7], 1, 2, False), ([1, 1, 1, 1, 1], 4, 3, False), ([1, 2, 3, 4], 1, 8, False), ([2, 2, 2], 2, 2, True)],
)
def test_samples_rest_in_turn(counts: list[int], batch_size: int, world_size: int, drop_last: bool) -> None:
    ranks = ranks_of(counts, batch_size, world_size, drop_last=drop_last)
    assert ranks[0].num_resting > 0
    seen = Counter(
        sample for number in range(60) for passes in ranks for batch in passes.steps(number) for sample in batch
    )
    expected = 60 * (1 - ranks[0].num_resting / sum(counts))
    assert len(seen) == sum(counts)
    assert all(abs(count - expected) <= 12 for count in seen.values())


def test_passes_differ_and_come_again() -> None:
    passes, again = (Passes(buckets_of([30, 20]), 4, seed=SEED) for _ in range(2))
    orders = [[tuple(batch) for batch in passes.steps(number)] for number in range(3)]
    assert orders == [[tuple(batch) for batch in again.steps(number)] for number in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert not set(orders[0]) & set(orders[1])  # the company of a sample changes too
    other = Passes(buckets_of([30, 20]), 4, seed=(1,))
    assert [tuple(batch) for batch in other.steps(0)] != orders[0]
    assert [tuple(batch) for batch in passes.steps(0, 5)] == orders[0][5:]


def test_an_order_stays_from_release_to_release() -> None:
    """A state that is saved with one version goes on with the next; else `batches.VERSION` has to change."""
    passes = Passes(np.array([0, 1, 0, 1, 0, 1, 0, 1, 0]), 2, seed=(3,), first=100)
    assert list(passes.steps(2)) == [[105, 101], [107, 103], [104], [102, 106], [100, 108]]

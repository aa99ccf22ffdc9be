"""Shares that hold after every single turn."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_assets.training.interleaving import LONGEST_PERIOD, Interleaving, turns_of


def order(weights: list[int], num_turns: int) -> str:
    turns = Interleaving(weights)
    return "".join("abc"[turns.take()] for _ in range(num_turns))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1], "aaa"),
        ([1, 1], "ababab"),
        ([2, 1], "abaaba"),
        ([70, 30], "abaaabaabaabaaabaaba"),
        ([1, 1, 1], "abcabc"),
        ([1, 1, 2], "cabccabc"),
    ],
)
def test_turns_are_spread_evenly(weights: list[int], expected: str) -> None:
    assert order(weights, len(expected)) == expected


WEIGHTS = st.lists(st.sampled_from([1, 1, 2, 3, 7, 50, 97]), min_size=1, max_size=9)


@given(WEIGHTS)
@settings(deadline=None)  # a busy machine takes its time
def test_after_any_number_of_turns_each_share_is_exact_but_for_rounding(weights: list[int]) -> None:
    turns, total = Interleaving(weights), sum(weights)
    bound = 1 - Fraction(1, max(2 * len(weights) - 2, 2))
    had = [0] * len(weights)
    for time in range(1, 2 * total + 1):
        had[turns.take()] += 1
        due = [Fraction(time * weight, total) for weight in weights]
        assert all(abs(a - b) <= bound for a, b in zip(had, due, strict=True))
    assert had == [2 * weight for weight in weights]


@given(WEIGHTS, st.integers(0, 700), st.integers(0, 700))
@settings(deadline=None)
def test_skipped_turns_are_those_that_would_have_been_taken(weights: list[int], first: int, second: int) -> None:
    taken, skipped = Interleaving(weights), Interleaving(weights)
    had = [0] * len(weights)
    for _ in range(first + second):
        had[taken.take()] += 1
    counts = zip(skipped.skip(first), skipped.skip(second), strict=True)
    assert [a + b for a, b in counts] == had
    assert [skipped.take() for _ in range(50)] == [taken.take() for _ in range(50)]


@pytest.mark.parametrize(
    ("probabilities", "ratio"),
    [
        ([0.7, 0.3], [7, 3]),
        ([0.1, 0.2, 0.7], [1, 2, 7]),  # as written, not as binary fractions
        ([1, 0.5], [2, 1]),
        ([3, 1], [3, 1]),
        ([1e-05, 1], [1, 100_000]),
    ],
)
def test_probabilities_are_taken_as_written(probabilities: list[float], ratio: list[int]) -> None:
    assert Interleaving(turns_of(probabilities, [Fraction(4)] * len(probabilities))).weights == ratio


def test_parts_with_smaller_batches_have_more_turns() -> None:
    assert turns_of([0.5, 0.5], [Fraction(4), Fraction(2)]) == [1, 2]
    assert turns_of([0.7, 0.3], [Fraction(23, 6), Fraction(5, 2)]) == [35, 23]
    many = turns_of([0.7, 0.2, 0.1], [Fraction(7919, 1999), Fraction(7907, 1987), Fraction(1, 1)])
    assert sum(many) <= LONGEST_PERIOD + 2
    had = [weight * mean for weight, mean in zip(many, (7919 / 1999, 7907 / 1987, 1), strict=True)]
    assert [one / sum(had) for one in had] == pytest.approx([0.7, 0.2, 0.1], abs=1e-4)

"""Batches of mixtures: shares, epochs, resuming and ranks, on bucket sizes alone."""

import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_assets.config.training_part import Part
from hf_assets.errors import ConfigError
from hf_assets.training.mixed_batches import Batch, MixedBatches, Source

# Samples by bucket of each dataset.
Counts = Mapping[str, list[int]]
TWO: Counts = {"photos": [12, 8], "drawings": [10]}


def mixed(counts: Counts, parts: Mapping[str, Part] | None = None, content: str = "", **settings: Any) -> MixedBatches:
    firsts = itertools.accumulate([sum(buckets) for buckets in counts.values()], initial=0)
    sources = {
        name: Source((parts or {}).get(name, Part()), first, np.repeat(np.arange(len(buckets)), buckets), content)
        for (name, buckets), first in zip(counts.items(), firsts, strict=False)
    }
    return MixedBatches(sources, **settings)


def all_ranks(counts: Counts, parts: Mapping[str, Part] | None = None, **settings: Any) -> list[MixedBatches]:
    return [mixed(counts, parts, rank=rank, **settings) for rank in range(settings["world_size"])]


def datasets(batches: list[Batch]) -> Counter[str]:
    return Counter(batch.dataset for batch in batches)


def samples(batches: list[Batch]) -> list[int]:
    return sorted(index for batch in batches for index in batch)


def facts(batches: list[Batch]) -> list[Any]:
    """All that a batch is, to compare."""
    return [(list(batch), vars(batch)) for batch in batches]


def epochs(sampler: MixedBatches, number: int) -> list[list[Batch]]:
    return [list(sampler) for _ in range(number)]


def test_without_probabilities_an_epoch_has_every_sample_once() -> None:
    for batches in epochs(mixed(TWO, batch_size=4), 3):
        assert samples(batches) == list(range(30))
        assert datasets(batches) == {"photos": 5, "drawings": 3}


def test_repeats_are_extra_passes() -> None:
    (batches,) = epochs(mixed(TWO, {"drawings": Part(repeats=2)}, batch_size=5), 1)
    assert Counter(samples(batches)) == {index: 1 if index < 20 else 3 for index in range(30)}
    assert {batch.draw for batch in batches if batch.dataset == "drawings"} == {0, 1, 2}


@pytest.mark.parametrize(
    ("probabilities", "shares"),
    [
        ((0.7, 0.3), (0.7, 0.3)),
        ((0.35, 0.15), (0.7, 0.3)),  # relative to each other
        ((1, 1), (0.5, 0.5)),
        ((3.0, None), (0.75, 0.25)),  # not given: 1
        ((0.001, 0.999), (0.001, 0.999)),
    ],
)
@pytest.mark.parametrize("steps_per_epoch", [None, 7])
def test_probabilities_are_shares_of_the_batches_after_every_step(
    probabilities: tuple[float, ...], shares: tuple[float, ...], steps_per_epoch: int | None
) -> None:
    parts = {name: Part(probability=value) for name, value in zip(TWO, probabilities, strict=True)}
    sampler = mixed(TWO, parts, batch_size=2, steps_per_epoch=steps_per_epoch)
    stream = list(itertools.chain.from_iterable(iter(sampler) for _ in range(100)))
    assert len(stream) == 100 * (steps_per_epoch or 15)
    for time in range(1, len(stream) + 1):
        had = datasets(stream[:time])
        assert all(abs(had[name] - time * share) < 0.5001 for name, share in zip(TWO, shares, strict=True))


@pytest.mark.parametrize(
    ("counts", "steps_per_epoch"),
    [
        ({"photos": [23], "drawings": [5]}, 400),
        ({"photos": [23], "drawings": [1, 1, 1, 1, 1]}, 400),
        ({"photos": [*range(1, 60)], "drawings": [2, 3, 7, 400]}, None),
        ({"photos": [1] * 150 + [350], "drawings": [9] * 40}, None),
    ],
)
@pytest.mark.parametrize("world_size", [1, 2])
def test_probabilities_are_shares_of_the_samples_of_an_epoch_also_where_buckets_leave_partial_batches(
    counts: Counts, steps_per_epoch: int | None, world_size: int
) -> None:
    parts = {"photos": Part(probability=0.7), "drawings": Part(probability=0.3)}
    ranks = all_ranks(counts, parts, batch_size=4, steps_per_epoch=steps_per_epoch, world_size=world_size)
    for _ in range(3):
        had: Counter[str] = Counter()
        for batch in itertools.chain.from_iterable(ranks):
            had[batch.dataset] += len(batch)
        assert abs(had["photos"] / had.total() - 0.7) < 0.01


def test_batches_of_each_size_are_spread_over_a_pass() -> None:
    sampler = mixed({"photos": [1] * 30 + [240]}, batch_size=4)
    for batches in epochs(sampler, 3):
        had = np.cumsum([len(batch) for batch in batches])
        assert len(batches) == 90
        assert np.abs(had - np.arange(1, 91) * 3).max() <= 4  # a batch at most
        assert len({tuple(map(tuple, one)) for one in epochs(sampler, 2)}) == 2  # others in each pass


def test_whatever_the_share_every_sample_of_a_dataset_comes_equally_often() -> None:
    parts = {"photos": Part(probability=0.9), "drawings": Part(probability=0.1)}
    stream = [batch for batches in epochs(mixed(TWO, parts, batch_size=2), 20) for batch in batches]
    counts = Counter(samples(stream))
    assert len(counts) == 30
    for indices in (range(20), range(20, 30)):
        assert max(counts[index] for index in indices) - min(counts[index] for index in indices) <= 1


def test_a_probability_of_0_leaves_a_dataset_out() -> None:
    sampler = mixed(TWO, {"photos": Part(probability=0)})
    assert [datasets(batches) for batches in epochs(sampler, 2)] == [{"drawings": 10}] * 2


def test_batch_sizes_are_those_of_the_dataset() -> None:
    (batches,) = epochs(mixed(TWO, {"drawings": Part(train_batch_size=5)}, batch_size=4), 1)
    assert sorted((batch.dataset, len(batch)) for batch in batches) == [("drawings", 5)] * 2 + [("photos", 4)] * 5


@pytest.mark.parametrize(
    ("part", "present"),
    [
        # photos have 3 steps an epoch, drawings 2
        (Part(start_epoch=2), [[], [1, 1], [1, 1], [1, 1]]),
        (Part(end_epoch=2), [[1, 1], [1, 1], [], []]),
        (Part(start_epoch=2, end_epoch=3), [[], [1, 1], [1, 1], []]),
        (Part(start_step=1), [[1, 1]] * 4),
        (Part(end_step=7), [[1, 1], [1], [], []]),
    ],
)
def test_a_dataset_takes_part_in_its_epochs_and_steps(part: Part, present: list[list[int]]) -> None:
    done = epochs(mixed({"photos": [3], "drawings": [2]}, {"drawings": part}), 4)
    assert [datasets(batches)["drawings"] for batches in done] == [sum(one) for one in present]


def test_a_dataset_that_begins_within_an_epoch_has_its_share_from_then_on() -> None:
    parts = {"photos": Part(probability=0.5), "drawings": Part(probability=0.5, start_step=11)}
    first, second = epochs(mixed(TWO, parts), 2)
    assert [batch.dataset for batch in first[:10]] == ["photos"] * 10
    assert datasets(first[10:]) == {"photos": 5, "drawings": 5}
    assert len(first) == 20  # as it began
    assert len(second) == 30


def test_steps_of_the_trainer_may_be_several_of_ours() -> None:
    (batches,) = epochs(mixed(TWO, {"drawings": Part(end_step=2)}, gradient_accumulation_steps=3), 1)
    last = max(number for number, batch in enumerate(batches) if batch.dataset == "drawings")
    assert last < 6 <= len(batches)


def test_an_epoch_ends_where_no_dataset_is_left_and_the_next_one_says_so() -> None:
    sampler = mixed({"photos": [10]}, {"photos": Part(end_step=14)})
    assert [len(batches) for batches in epochs(sampler, 2)] == [10, 4]
    with pytest.raises(ConfigError, match=r"no dataset takes part in epoch 3, step 15: look at .* of photos"):
        next(iter(sampler))
    with pytest.raises(ConfigError, match="epoch 1, step 1"):
        mixed({"photos": [10]}, {"photos": Part(start_epoch=2)})


def test_the_same_seed_and_epoch_give_the_same_batches() -> None:
    sampler = mixed(TWO, batch_size=3, seed=5)
    first = [facts(batches) for batches in epochs(sampler, 3)]
    again = mixed(TWO, batch_size=3, seed=5)
    again.set_epoch(2)
    assert facts(list(again)) == first[2]
    again.epoch = 1
    assert facts(list(again)) == first[1]
    assert again.epoch == 2
    assert first[0] != first[1] != first[2]
    assert facts(list(mixed(TWO, batch_size=3, seed=6))) != first[0]


def test_an_iteration_that_is_broken_off_begins_anew() -> None:
    sampler = mixed(TWO, batch_size=3)
    begun = [batch for _, batch in zip(range(4), sampler, strict=False)]
    assert sampler.epoch == 0
    assert facts(list(sampler)[:4]) == facts(begun)


def test_a_dataset_keeps_its_batches_when_another_one_comes_beside_it() -> None:
    alone, together = mixed({"photos": [12, 8]}, batch_size=2), mixed(TWO, batch_size=2)
    assert [list(batch) for batch in together if batch.dataset == "photos"] == [list(batch) for batch in alone]


MIXTURES = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(st.integers(1, 12), min_size=1, max_size=3).filter(lambda c: sum(c) >= 8),
    min_size=1,
)
PARTS = st.builds(
    Part,
    probability=st.sampled_from([None, 0.1, 0.5, 0.7, 1]),
    repeats=st.integers(0, 2),
    train_batch_size=st.sampled_from([None, 1, 3]),
    start_step=st.sampled_from([0, 5]),
    end_epoch=st.sampled_from([None, 2]),
)
RANKS = st.integers(1, 8)


@settings(max_examples=100, deadline=None)
@given(st.data(), MIXTURES, RANKS, st.integers(0, 60), st.booleans())
def test_a_state_in_mid_epoch_gives_exactly_the_rest(
    data: st.DataObject, counts: dict[str, list[int]], world_size: int, num_steps: int, by_batch: bool
) -> None:
    parts = {name: data.draw(PARTS) for name in counts} | {min(counts): Part(repeats=1)}  # there is always one
    rank = data.draw(st.integers(0, world_size - 1))

    def sampler() -> MixedBatches:
        return mixed(counts, parts, batch_size=2, world_size=world_size, rank=rank, seed=3)

    def stream(of: MixedBatches) -> Any:
        return itertools.chain.from_iterable(iter(of) for _ in itertools.count())

    whole = facts(list(itertools.islice(stream(sampler()), num_steps + 40)))
    saved = sampler()
    trained = list(itertools.islice(stream(saved), num_steps))
    if by_batch and trained:
        after = {"epoch": [trained[-1].epoch] * 2, "step": [trained[-1].step] * 2}  # as `collate` has them
        next(iter(saved))  # handed out in advance
        state = saved.state_dict(after)
    else:
        state = saved.state_dict()
    resumed = sampler()
    resumed.load_state_dict(json.loads(json.dumps(state)))
    resumed.set_epoch(resumed.epoch)  # as trainers do at each epoch's beginning
    assert resumed.state_dict()["of"] == state["of"]
    assert facts(list(itertools.islice(stream(resumed), 40))) == whole[num_steps:]


def test_a_state_at_the_end_of_an_epoch_begins_the_next_one() -> None:
    sampler, resumed = mixed(TWO), mixed(TWO)
    *_, last = sampler
    resumed.load_state_dict(sampler.state_dict({"epoch": [last.epoch], "step": [last.step]}))
    assert resumed.epoch == 1
    assert facts(list(resumed)) == facts(list(sampler))


@settings(max_examples=100, deadline=None)
@given(st.data(), MIXTURES, RANKS)
def test_ranks_have_equal_steps_of_one_dataset_each_and_no_sample_twice(
    data: st.DataObject, counts: dict[str, list[int]], world_size: int
) -> None:
    parts = {name: data.draw(PARTS) for name in counts} | {min(counts): Part()}
    ranks = all_ranks(counts, parts, world_size=world_size, batch_size=2)
    for _ in range(2):
        done = [list(sampler) for sampler in ranks]
        assert len({len(batches) for batches in done}) == 1
        passes: dict[tuple[str, int], list[int]] = {}
        for at_once in zip(*done, strict=True):
            assert len({(batch.dataset, batch.draw, batch.epoch, batch.step) for batch in at_once}) == 1
            passes.setdefault((at_once[0].dataset, at_once[0].draw), []).extend(i for batch in at_once for i in batch)
        assert all(len(set(indices)) == len(indices) for indices in passes.values())


@pytest.mark.parametrize("world_size", range(1, 9))
def test_all_ranks_together_see_every_sample_once_an_epoch(world_size: int) -> None:
    ranks = all_ranks(TWO, world_size=world_size, batch_size=2)
    for _ in range(3):
        assert samples([batch for sampler in ranks for batch in sampler]) == list(range(30))
    assert ranks[0].num_resting == {"photos": 0, "drawings": 0}


def test_what_rests_is_counted() -> None:
    assert mixed(TWO, world_size=3, rank=0).num_resting == {"photos": 2, "drawings": 1}
    assert mixed(TWO, batch_size=4, drop_last=True).num_resting == {"photos": 0, "drawings": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"world_size": 11, "rank": 0}, "drawings has 10 samples, not a sample for each of 11 ranks"),
        ({"batch_size": 11, "drop_last": True}, "drawings has 10 samples, not a full batch for each of 1 ranks"),
        ({"world_size": 2, "rank": 2}, "rank 2 is none of 2 ranks"),
    ],
)
def test_what_can_not_be_dealt_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixed(TWO, **settings)


@pytest.mark.parametrize(
    ("counts", "parts", "settings", "different"),
    [
        (TWO, {}, {"seed": 1}, "another seed:"),
        (TWO, {}, {"world_size": 2, "rank": 1}, "another world_size:"),
        (TWO, {}, {"content": "other"}, "another dataset photos, another dataset drawings:"),
        (TWO, {"photos": Part(probability=0.2)}, {}, "another dataset photos:"),
        ({"photos": [12, 8]}, {}, {}, "another number of datasets:"),
        ({**TWO, "more": [9]}, {}, {}, "another number of datasets, another dataset more:"),
    ],
)
def test_a_state_of_another_mixture_is_refused(
    counts: Counts, parts: dict[str, Part], settings: dict[str, Any], different: str
) -> None:
    state = mixed(TWO).state_dict()
    with pytest.raises(ConfigError, match=f"saved with {different} go on as it was, or set epoch = 1"):
        mixed(counts, parts, **settings).load_state_dict(state)


def test_what_only_the_trainer_reads_is_no_part_of_a_state() -> None:
    mixed(TWO, {"photos": Part(others={"slider_strength": 2})}).load_state_dict(mixed(TWO).state_dict())


def test_a_million_samples_take_no_objects() -> None:
    sampler = mixed({"photos": [500_000, 499_999], "drawings": [50]}, batch_size=1)
    tracemalloc.start()
    try:
        iterator = iter(sampler)
        for _ in range(3):
            next(iterator)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 40 * 1_000_000  # three arrays; a list of integers alone takes as much

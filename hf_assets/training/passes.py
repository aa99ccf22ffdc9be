"""One dataset's samples in passes: each has every sample once, in batches of one bucket each.

A step is one batch for each rank. Letters: N samples, B batch size, W ranks, S steps of a pass.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# What random numbers are drawn for; part of their seed.
ORDER, STEPS = range(2)

# Steps whose numbers are Python objects at a time.
CHUNK_STEPS = 4096


class _Batches(NamedTuple):
    """Where batches lie in the samples ordered by bucket."""

    starts: np.ndarray
    lengths: np.ndarray


class Passes:
    """Endless steps of one rank through one dataset.

    First the full batches of one bucket that all ranks can have. Of what remains of the buckets, smaller batches are
    made, and the largest of them halved until W divides their number. Where that can't be, as with B = 1 and an N that
    W doesn't divide, fewer than W samples rest in each pass, in turn. With `drop_last` there are full batches only.

    Attributes:
        num_steps: of a pass. 0: there are fewer samples than ranks, or no full batch for each.
        num_resting: samples that a pass leaves out.
        num_samples: that a pass gives to all ranks together.
    """

    def __init__(
        self,
        buckets: np.ndarray,
        batch_size: int,
        *,
        seed: tuple[int, ...],
        world_size: int = 1,
        rank: int = 0,
        drop_last: bool = False,
        first: int = 0,
    ) -> None:
        """
        Args:
            buckets: (N,) integers from 0, the bucket of each sample.
            seed: integers from 0.
            first: number that the first sample has in what is given.
        """
        self._buckets = buckets
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._first = first
        counts = np.bincount(buckets)
        shared, self._rest = _cut_batches(counts, batch_size, world_size, drop_last=drop_last)
        self._shared = _Batches(*(part.reshape(-1, world_size)[:, rank].copy() for part in shared))
        spare = len(self._rest.lengths) % world_size
        resting = self._rest.lengths[len(self._rest.lengths) - spare :]
        self.num_steps = len(self._shared.starts) + len(self._rest.starts) // world_size
        self.num_resting = int(len(buckets) - shared.lengths.sum() - self._rest.lengths.sum() + resting.sum())
        self.num_samples = len(buckets) - self.num_resting

    def steps(self, number: int, first: int = 0) -> Iterator[list[int]]:
        """The samples of this rank's batch in each step of a pass, from the first on."""
        order = self._order(number)
        order += self._first
        batches = self._batches(number)
        turns = _spread(self._samples_of_steps(number), self._random(STEPS, number, self.num_steps))[first:]
        for at in range(0, len(turns), CHUNK_STEPS):
            starts, lengths = (part[turns[at : at + CHUNK_STEPS]].tolist() for part in batches)
            for start, length in zip(starts, lengths, strict=True):
                yield order[start : start + length].tolist()

    def _order(self, number: int) -> np.ndarray:
        """(N,) samples by bucket, shuffled within each."""
        bits = np.uint64(max(int(self._buckets.max()).bit_length(), 1))
        keys = self._random(ORDER, number, len(self._buckets)) >> bits
        keys |= self._buckets.astype(np.uint64) << (np.uint64(64) - bits)
        return np.argsort(keys, kind="stable")

    def _batches(self, number: int) -> _Batches:
        """(S,) this rank's batches of a pass: those that rest in one pass don't in the next."""
        num_rest = len(self._rest.starts)
        used = num_rest // self._world_size * self._world_size
        shift = number * (num_rest - used)
        mine = (np.arange(self._rank, used, self._world_size) + shift) % max(num_rest, 1)
        return _Batches(*(np.concatenate([a, b[mine]]) for a, b in zip(self._shared, self._rest, strict=True)))

    def _samples_of_steps(self, number: int) -> np.ndarray:
        """(S,) of each step of a pass, before these are put in order, the samples of all ranks together."""
        num_rest, ranks = len(self._rest.starts), self._world_size
        used = num_rest // ranks * ranks
        own = (np.arange(used) + number * (num_rest - used)) % max(num_rest, 1)
        return np.concatenate([self._shared.lengths * ranks, self._rest.lengths[own].reshape(-1, ranks).sum(axis=1)])

    def _random(self, purpose: int, number: int, size: int) -> np.ndarray:
        """64 random bits each. NumPy keeps these from release to release, unlike those of its distributions."""
        return np.random.PCG64(np.random.SeedSequence([*self._seed, purpose, number])).random_raw(size)


def _spread(lengths: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """(S,) an order of steps in which those of each length are spread evenly, and their order is random.

    So after any number of steps about as many samples were given as a pass gives in so many on average.

    Args:
        lengths: (S,) samples of each step.
        bits: (S,) random.
    """
    order = np.argsort(bits, kind="stable")
    places = np.empty(len(order))
    for length in np.unique(lengths):
        own = order[lengths[order] == length]
        phase = (int(bits[own[0]]) >> 11) / (1 << 53)  # where the first of them stands, 0 to 1
        places[own] = (np.arange(len(own)) + phase) / len(own)
    return np.argsort(places, kind="stable")


def _cut_batches(counts: np.ndarray, batch_size: int, world_size: int, *, drop_last: bool) -> tuple[_Batches, _Batches]:
    """The batches of which W of one bucket make a step each, and the other ones.

    Args:
        counts: samples of each bucket, which lie one after the other.
    """
    starts = np.cumsum(counts) - counts
    at_once = batch_size * world_size
    num_shared = counts // at_once
    left = counts - num_shared * at_once
    if drop_last:
        rest = _chop(starts + num_shared * at_once, left // batch_size * batch_size, batch_size)
        return _chop(starts, num_shared * at_once, batch_size), rest
    if batch_size > 1 and num_shared.any() and not _can_be_cut(left, batch_size, world_size):
        num_shared[num_shared.argmax()] -= 1  # one step's batches more, and they can
        left = counts - num_shared * at_once
    ends = starts + num_shared * at_once
    if _can_be_cut(left, batch_size, world_size):
        rest = _chop(ends, left, batch_size)
        rest = _halve(rest, -len(rest.starts) % world_size)
    else:
        rest = _chop(ends, left, 1)
    similar = np.argsort(-rest.lengths, kind="stable")  # ranks that wait for each other get batches of about one size
    return _chop(starts, num_shared * at_once, batch_size), _Batches(*(part[similar] for part in rest))


def _can_be_cut(counts: np.ndarray, batch_size: int, world_size: int) -> bool:
    """Whether these samples make a multiple of W batches."""
    num_batches = -(-counts // batch_size).sum()
    return bool(-(-num_batches // world_size) * world_size <= counts.sum())


def _chop(starts: np.ndarray, counts: np.ndarray, batch_size: int) -> _Batches:
    """Batches of B of each of these ranges; the last of each may be smaller."""
    num_batches = -(-counts // batch_size)
    within = np.arange(num_batches.sum()) - np.repeat(np.cumsum(num_batches) - num_batches, num_batches)
    offsets = within * batch_size
    return _Batches(
        np.repeat(starts, num_batches) + offsets, np.minimum(np.repeat(counts, num_batches) - offsets, batch_size)
    )


def _halve(batches: _Batches, times: int) -> _Batches:
    """Split the largest batch into two, again and again."""
    heap = [(-length, start) for start, length in zip(*(part.tolist() for part in batches), strict=True)]
    heapq.heapify(heap)
    for _ in range(times):
        length, start = heap[0]
        half = -length // 2
        heapq.heapreplace(heap, (-half, start))
        heapq.heappush(heap, (length + half, start + half))
    starts = np.array([start for _, start in heap], np.int64)
    lengths = np.array([-length for length, _ in heap], np.int64)
    by_start = np.argsort(starts)
    return _Batches(starts[by_start], lengths[by_start])

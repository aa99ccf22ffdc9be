"""What mixing costs: an epoch of a million samples in batches of 4, against torch's own samplers.

    python -m benchmarks.mixing [--samples 1000000]

Times are the best of three, in one process. No tensor is read.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterable

import numpy as np
from torch.utils.data import BatchSampler, RandomSampler

from hf_assets.config.training_part import Part
from hf_assets.training.mixed_batches import MixedBatches, Source

BATCH_SIZE = 4
NUM_BUCKETS = 20
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    num_samples = parser.parse_args().samples
    before = _peak_mb()
    plain = BatchSampler(RandomSampler(range(num_samples)), BATCH_SIZE, drop_last=False)
    mixed = _mixed(num_samples, None, None)
    middle = _mixed(num_samples, None, None)
    middle.load_state_dict({**middle.state_dict(), "step": len(middle) // 2})
    rows = [
        ("torch's RandomSampler and BatchSampler, an epoch", lambda: _consume(plain)),
        ("made", lambda: _mixed(num_samples, None, None)),
        ("an epoch, by size", lambda: _consume(mixed)),
        ("an epoch, 0.7 and 0.3", lambda: _consume(_mixed(num_samples, 0.7, 0.3))),
        ("an epoch, one of 8 ranks", lambda: _consume(_mixed(num_samples, None, None, rank=0, world_size=8))),
        ("first batch of an epoch", lambda: next(iter(mixed))),
        ("loaded in mid-epoch, to the first batch", lambda: _first_of(num_samples, middle)),
    ]
    times = [(name, _best(work)) for name, work in rows]
    print(f"{num_samples:,} samples in two datasets, {NUM_BUCKETS} buckets each, batches of {BATCH_SIZE}")
    for name, seconds in times:
        print(f"{name:<50} {seconds:8.3f} s   {seconds / times[0][1]:6.2f}")
    print(f"peak memory above that at the beginning: {_peak_mb() - before:.0f} MB")


def _mixed(num_samples: int, *probabilities: float | None, rank: int = 0, world_size: int = 1) -> MixedBatches:
    larger = num_samples * 3 // 5 + BATCH_SIZE  # the two have no simple ratio
    sizes = (larger, num_samples - larger)
    sources = {
        name: Source(Part(probability=probability), first, np.arange(size, dtype=np.int32) % NUM_BUCKETS, "")
        for name, probability, first, size in zip("ab", probabilities, (0, sizes[0]), sizes, strict=True)
    }
    return MixedBatches(sources, batch_size=BATCH_SIZE, rank=rank, world_size=world_size)


def _first_of(num_samples: int, saved: MixedBatches) -> None:
    resumed = _mixed(num_samples, None, None)
    resumed.load_state_dict(saved.state_dict())
    next(iter(resumed))


def _consume(batches: Iterable[list[int]]) -> None:
    for _ in batches:
        pass


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

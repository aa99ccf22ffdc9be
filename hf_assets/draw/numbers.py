"""Numbers about tables that people follow over time."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema


class Counts:
    """How often each small whole number came: of many numbers what a histogram and a mean need."""

    def __init__(self) -> None:
        self._counts = np.zeros(1, np.int64)

    def add(self, numbers: np.ndarray) -> None:
        """
        Args:
            numbers: (N,) of 0 and more.
        """
        self._include(np.bincount(numbers, minlength=len(self._counts)))

    def add_counted(self, values: Sequence[int], counts: Sequence[int]) -> None:
        """Different numbers, and how often each came."""
        added = np.zeros(max(len(self._counts), max(values, default=0) + 1), np.int64)
        added[np.array(values, np.int64)] = counts
        self._include(added)

    def include(self, others: "Counts") -> None:
        """What others counted."""
        self._include(others._counts)

    def _include(self, counts: np.ndarray) -> None:
        longer, shorter = (counts, self._counts) if len(counts) > len(self._counts) else (self._counts, counts)
        added = longer.copy()
        added[: len(shorter)] += shorter
        self._counts = added

    @property
    def values(self) -> np.ndarray:
        """The numbers that came, in order."""
        return np.flatnonzero(self._counts)

    @property
    def counts(self) -> np.ndarray:
        """How often each of them came."""
        return self._counts[self._counts > 0]

    @property
    def mean(self) -> float:
        """0 where none came."""
        total = int(self._counts.sum())
        return float(self.values @ self.counts) / total if total else 0.0


def lengths(captions: pa.Table) -> np.ndarray:
    """Characters of each caption."""
    found: np.ndarray = pc.utf8_length(pc.list_flatten(captions["captions"])).to_numpy()
    return found


class Crops:
    """What crops leave out of images, and how many images are enlarged.

    Attributes:
        loss: mean share of an image that its crop leaves out, 0 to 1.
        upscaled: share of the images that are enlarged, 0 to 1.
    """

    def __init__(self) -> None:
        self._num_rows = self._num_upscaled = 0
        self._lost = 0.0

    def add(self, buckets: pa.Table) -> None:
        before, resized, target = (_area(buckets[name]) for name in ("original_size", "resized_size", "target_size"))
        self._num_rows += len(buckets)
        self._lost += float(np.sum(1 - target / np.maximum(resized, 1)))
        self._num_upscaled += int(np.count_nonzero(resized > before))

    @property
    def loss(self) -> float:
        return self._lost / max(self._num_rows, 1)

    @property
    def upscaled(self) -> float:
        return self._num_upscaled / max(self._num_rows, 1)


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays of one shape; 99 where they are equal."""
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return 99.0 if error == 0 else min(10 * float(np.log10(255.0**2 / error)), 99.0)


def draws(seeds: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """A number per row that looks drawn at random and is always the same.

    Args:
        seeds, numbers: (N,) uint64; together they name the row.
    """
    with np.errstate(over="ignore"):
        return fingerprint.scramble(seeds + numbers * fingerprint.GOLDEN)


class Chosen:
    """Of rows that come in several tables, those with the smallest draws, smallest first."""

    def __init__(self, count: int, draw: Callable[[pa.Table], np.ndarray]) -> None:
        """
        Args:
            draw: gives each row's number, whichever rows come with it.
        """
        self._count, self._draw = count, draw
        self._rows: pa.Table | None = None
        self._drawn = np.empty(0, np.uint64)

    def add(self, rows: pa.Table) -> None:
        some, drawn = self._candidates(rows)
        if self._rows is not None:
            some, drawn = pa.concat_tables([self._rows, some]), np.concatenate([self._drawn, drawn])
        at = choose(drawn, self._count)
        self._rows, self._drawn = some.take(pa.array(at)).combine_chunks(), drawn[at]

    def candidates(self, rows: pa.Table) -> pa.Table:
        """Those that may be chosen if they are added now; of rows with what the draw needs."""
        return self._candidates(rows)[0]

    def _candidates(self, rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
        drawn = self._draw(rows)
        at = np.arange(len(rows))
        if len(self._drawn) == self._count:
            at = np.flatnonzero(drawn < self._drawn[-1]) if self._count else at[:0]
        at = at[choose(drawn[at], self._count)]
        return rows.take(pa.array(at)), drawn[at]

    @property
    def rows(self) -> pa.Table:
        assert self._rows is not None, "tables are added first, if only an empty one"
        return self._rows


def choose(drawn: np.ndarray, count: int) -> np.ndarray:
    """Positions of the rows with the smallest numbers, smallest first."""
    found = np.argpartition(drawn, count)[:count] if len(drawn) > count else np.arange(len(drawn))
    ordered: np.ndarray = found[np.argsort(drawn[found], kind="stable")]
    return ordered


def _area(sizes: pa.ChunkedArray) -> np.ndarray:
    width, height = schema.halves(sizes)
    area: np.ndarray = width.astype(np.float64) * height
    return area


def by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent first; of equally frequent ones the first of the alphabet, however they came."""
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))

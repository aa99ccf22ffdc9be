"""Numbers about tables that people follow over time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema


def lengths(captions: pa.Table) -> np.ndarray:
    """Characters of each caption."""
    found: np.ndarray = pc.utf8_length(pc.list_flatten(captions["captions"])).to_numpy()
    return found


def crop_loss(buckets: pa.Table) -> float:
    """Mean share of an image that its crop leaves out, 0 to 1."""
    if not len(buckets):
        return 0.0
    resized, target = (_area(buckets[name]) for name in ("resized_size", "target_size"))
    return float(np.mean(1 - target / np.maximum(resized, 1)))


def upscaled_share(buckets: pa.Table) -> float:
    """Share of the images that are enlarged, 0 to 1."""
    if not len(buckets):
        return 0.0
    before, after = (_area(buckets[name]) for name in ("original_size", "resized_size"))
    return float(np.mean(after > before))


def duplicates_share(hashes: pa.ChunkedArray) -> float:
    """Share of the samples whose media an earlier one has already, 0 to 1."""
    return 1 - pc.count_distinct(hashes).as_py() / len(hashes) if len(hashes) else 0.0


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


def choose(drawn: np.ndarray, count: int) -> np.ndarray:
    """Positions of the rows with the smallest numbers, smallest first."""
    found = np.argpartition(drawn, count)[:count] if len(drawn) > count else np.arange(len(drawn))
    ordered: np.ndarray = found[np.argsort(drawn[found], kind="stable")]
    return ordered


def _area(sizes: pa.ChunkedArray) -> np.ndarray:
    width, height = schema.halves(sizes)
    area: np.ndarray = width.astype(np.float64) * height
    return area

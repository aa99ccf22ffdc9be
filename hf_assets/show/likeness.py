"""Which pictures look alike, and which samples are unlike the others: pure numbers."""

from collections.abc import Iterator

import numpy as np

# Perceptual hashes of pictures that look alike differ in at most so many of their 64 bits.
MOST_BITS = 5
# Hashes that differ in at most five bits are equal in one of these six parts of them.
BANDS = ((0, 11), (11, 22), (22, 33), (33, 44), (44, 54), (54, 64))
# So many hashes are compared with so many at a time.
AT_A_TIME = 2048
# A sample is an outlier where it lies so many times the middle half's width outside of that half (Tukey's far out
# values), but not where more than this share of the samples do: then it is one of several kinds.
FAR, MOST_OUTLIERS = 3.0, 0.05


def clusters(hashes: np.ndarray) -> np.ndarray:
    """Groups of pictures that look alike: each looks like another one of its group.

    Args:
        hashes: (N,) uint64, perceptual.

    Returns:
        (N,) int32, the group of each, 0 for none; numbered by size, the largest is 1.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    distinct, which = np.unique(hashes, return_inverse=True)
    labels = np.arange(len(distinct))
    for one, other in _pairs(distinct):
        links = coo_array((np.ones(len(one), bool), (labels[one], labels[other])), (len(distinct), len(distinct)))
        _, joined = connected_components(links, directed=False)
        labels = joined[labels]
    found = labels[which]
    _, group, counts = np.unique(found, return_inverse=True, return_counts=True)
    numbers = np.zeros(len(counts), np.int32)
    large = np.flatnonzero(counts > 1)
    numbers[large[np.argsort(-counts[large], kind="stable")]] = np.arange(1, len(large) + 1)
    return numbers[group]


def _pairs(distinct: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of hashes that differ in few bits, some at a time."""
    for start, stop in BANDS:
        band = (distinct >> np.uint64(start)) & np.uint64((1 << (stop - start)) - 1)
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order], prepend=band[order][:1] - 1, append=band[order][-1:] + 1))
        ones, others = [], []
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            members = order[begin:end]
            for low in range(0, len(members), AT_A_TIME):
                part = members[low : low + AT_A_TIME]
                for high in range(low, len(members), AT_A_TIME):
                    with_ = members[high : high + AT_A_TIME]
                    if len(members) == 1:
                        continue
                    differ = np.bitwise_count(distinct[part][:, None] ^ distinct[with_][None, :])
                    at = np.nonzero(differ <= MOST_BITS)
                    is_pair = part[at[0]] < with_[at[1]]
                    ones.append(part[at[0]][is_pair])
                    others.append(with_[at[1]][is_pair])
                    if sum(map(len, ones)) > AT_A_TIME**2:
                        yield np.concatenate(ones), np.concatenate(others)
                        ones, others = [], []
        if ones:
            yield np.concatenate(ones), np.concatenate(others)


def outliers(values: np.ndarray) -> np.ndarray:
    """Which values lie far outside of the others.

    Args:
        values: (N,) float; NaN where there is none.

    Returns:
        (N,) bool.
    """
    there = values[np.isfinite(values)]
    none = np.zeros(len(values), bool)
    if len(there) < 4:
        return none
    low, high = np.quantile(there, (0.25, 0.75))
    width = max(high - low, 1e-9)
    found = np.isfinite(values) & ((values < low - FAR * width) | (values > high + FAR * width))
    return found if found.sum() <= max(MOST_OUTLIERS * len(there), 1) else none

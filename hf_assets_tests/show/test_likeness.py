"""Which pictures look alike, and which samples are unlike the others."""

import numpy as np
import pytest

from hf_assets.show import likeness
from hf_assets.show.likeness import clusters, outliers


def hashes(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        (0, 0, True),
        (0, 0b11111, True),  # 5 bits
        (0, 0b111111, False),
        (0, 1 << 63 | 1 << 50 | 1 << 40 | 1 << 20 | 1 << 10, True),  # spread over all bands but one
        (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE, True),
    ],
)
def test_pictures_look_alike_where_few_bits_differ(one: int, other: int, is_alike: bool) -> None:
    assert clusters(hashes(one, other)).tolist() == ([1, 1] if is_alike else [0, 0])


def test_a_group_is_what_hangs_together_and_the_largest_is_the_first() -> None:
    far = 0xFFFF_0000_FFFF_0000
    # 0 and 0b1111111111 differ in ten bits, and each in five from what lies between
    assert clusters(hashes(far, 0, 0b11111, 0b1111111111, far, 0xF0F0_F0F0_0F0F_0F0F)).tolist() == [2, 1, 1, 1, 2, 0]
    assert clusters(hashes()).tolist() == []


def test_all_pairs_are_found_that_comparing_each_with_each_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "AT_A_TIME", 7)
    random = np.random.default_rng(0)
    some = random.integers(0, 2**64, 60, dtype=np.uint64)
    flips = np.uint64(1) << random.integers(0, 64, (60, 5)).astype(np.uint64)
    both = np.concatenate([some, np.bitwise_xor.reduce(flips, axis=1) ^ some])
    found = clusters(both)
    assert (found > 0).all()
    assert (found[:60] == found[60:]).all()
    assert len(np.unique(found)) == 60


def test_outliers_lie_far_outside_and_are_few() -> None:
    usual = np.linspace(0, 1, 100)
    assert np.flatnonzero(outliers(np.append(usual, [9.0, np.nan]))).tolist() == [100]
    assert not outliers(np.append(usual, np.full(20, 9.0))).any()  # another kind of sample
    assert not outliers(np.array([1.0, 2.0, 99.0])).any()

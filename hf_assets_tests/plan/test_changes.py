"""A plan's comparison of two training sets, on tables that fit a line."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hf_assets.plan import changes
from hf_assets.plan.changes import GONE, Changes, Samples

A, B, C = ("a.png", "A", ["a cat"], [64, 64]), ("b.png", "B", ["a dog", "big"], [64, 64]), (None, "C", ["c"], [64, 96])


def samples(*rows: tuple[str | None, str, list[str], list[int]]) -> Samples:
    found = Samples(["target_size"], has_paths=True)
    for number, (path, media, captions, size) in enumerate(rows):
        found.add(
            pa.table(
                {
                    "row": pa.array([number], pa.int64()),
                    "source_path": pa.array([path], pa.string()),
                    "media_hash": [media],
                    "captions": pa.array([captions], pa.list_(pa.large_string())),
                    "target_size": pa.array([size], pa.list_(pa.int32(), 2)),
                }
            )
        )
    return found


def said(found: Changes) -> dict[str, Any]:
    """What isn't zero."""
    numbers: dict[str, Any] = {name: rows.tolist() for name, rows in found.by_kind.items() if len(rows)}
    removed = {reason: rows.tolist() for reason, rows in found.removed.items()}
    return numbers | ({"removed": removed} if removed else {})


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((A, B, C), {}),
        ((C, A, B), {}),  # another order is the same set
        ((A, B), {"removed": {GONE: [2]}}),
        ((A, B, C, ("d.png", "D", ["d"], [64, 64])), {"added": [3]}),
        ((A, ("b.png", "B", ["a dog"], [64, 64]), C), {"recaptioned": [1]}),
        ((A, ("b.png", "B", ["big", "a dog"], [64, 64]), C), {"recaptioned": [1]}),
        ((A, B, (None, "C", ["c"], [96, 64])), {"recropped": [2]}),
        ((("a.png", "A2", ["a cat"], [64, 64]), B, C), {"media": [0]}),  # the file holds something else
        ((("x.png", "A", ["a cat"], [64, 64]), B, C), {"added": [0], "removed": {GONE: [0]}}),
        ((A, B, (None, "C2", ["c"], [64, 96])), {"added": [2], "removed": {GONE: [2]}}),
        ((A, B, C, C), {"added": [3]}),  # the second of one identity
        ((A, B, (None, "C", [], [64, 96])), {"removed": {"quarantined": [2]}}),
    ],
)
def test_each_difference_is_of_one_kind(after: Any, expected: dict[str, Any]) -> None:
    found = changes.compare(samples(A, B, C), samples(*after), {})
    assert said(found) == expected
    assert found.is_nothing == (not expected)
    assert (found.before, found.after) == (3, sum(bool(row[2]) for row in after))


def test_a_sample_that_goes_has_the_reason_for_which_it_is_left_out() -> None:
    too_small = changes.hashed(pa.array(["b.png", "nobody.png"]))
    found = changes.compare(samples(A, B, C), samples(A), {"too_small": too_small})
    assert said(found) == {"removed": {"too_small": [1], GONE: [2]}}


def test_a_file_whose_bytes_changed_is_not_gone_but_to_be_read() -> None:
    unread = (
        np.array([0, 3]),
        changes.hashed(pa.array(["a.png", "d.png"])),
    )  # the one before has other bytes, one is new
    found = changes.compare(samples(A, B, C), samples(B, C), {}, unread=unread)
    assert (said(found), found.unread.tolist(), found.is_nothing) == ({}, [0, 3], False)
    assert found.as_json()["unread"] == 2
    in_a_table = changes.compare(
        samples(A, B, C), samples(A, B), {}, otherwise=changes.MAYBE_GONE, unread=(np.array([2]), changes.NONE)
    )
    assert said(in_a_table) == {"removed": {changes.MAYBE_GONE: [2]}}


def test_what_is_known_to_fail_is_no_sample() -> None:
    before = samples(A, ("b.png", "B", ["a dog"], [64, 64]))  # the caption "big" failed, and C's latent
    big = changes.hash_texts(pa.table({"caption": pa.array(["big"], pa.large_string())}))
    assert changes.compare(before, samples(A, B, C), {}, np.array([2]), big).is_nothing
    assert said(changes.compare(before, samples(A, B, C), {})) == {"added": [2], "recaptioned": [1]}


def test_before_a_first_run_all_are_added() -> None:
    found = changes.compare(None, samples(A, B), {})
    assert (found.before, said(found), found.is_nothing) == (None, {"added": [0, 1]}, False)

"""Two training sets are compared where their rows are, and it comes to what comparing all their samples gives."""

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hf_assets.plan import changes
from hf_assets.plan.changes import FAILED, GONE, Changes, Samples
from hf_assets.plan.comparison import Comparison, equal
from hf_assets_tests.plan.test_changes import said

# Rows of the split that come at once.
STRETCH = 4


class Row(NamedTuple):
    path: str | None
    media: str
    captions: tuple[str, ...]
    size: tuple[int, int] | None = (64, 64)


# By their numbers; of some there is no sample.
Split = dict[int, Row]


def table(rows: Split) -> pa.Table:
    return pa.table(
        {
            "row": pa.array(list(rows), pa.int64()),
            "source_path": pa.array([row.path for row in rows.values()], pa.string()),
            "media_hash": pa.array([row.media for row in rows.values()], pa.string()),
            "captions": pa.array([row.captions for row in rows.values()], pa.list_(pa.large_string())),
            "target_size": pa.array([row.size for row in rows.values()], pa.list_(pa.int32(), 2)),
        }
    )


def compared(old: Split, new: Split, *, may_fail: bool = False, **what: Any) -> Changes:
    def last(columns: Sequence[str]) -> Iterator[pa.Table]:
        yield table(old).select([name for name in columns if name != "lyrics"])

    found = Comparison(["target_size"], has_paths=True, last=last if may_fail else None)
    for start in range(0, max([*old, *new, 0]) + 1, STRETCH):
        some = (
            table({row: one for row, one in rows.items() if row // STRETCH == start // STRETCH}) for rows in (old, new)
        )
        found.add(*some)
    return found.changes(**what)


def of_all(old: Split, new: Split, **what: Any) -> Changes:
    """The same of all samples by their hashes, wherever they are."""
    before, after = (Samples(["target_size"], has_paths=True) for _ in range(2))
    before.add(table(old))
    after.add(table(new))
    return changes.compare(before, after, what.pop("left_out", {}), **what)


def random_split(draw: random.Random, *, has_twins: bool) -> Split:
    """Samples with a path or without, some left out."""
    media = [str(draw.randrange(5) if has_twins else number) for number in range(12)]
    rows = [
        Row(draw.choice([None, f"{one}.png"]), one, tuple(draw.choices("ab", k=draw.randint(1, 2)))) for one in media
    ]
    return {number: row for number, row in enumerate(rows) if draw.random() < 0.8}


def edited(draw: random.Random, split: Split) -> Split:
    """After some of: captions, sizes, media changed; rows gone, come, exchanged, or shifted."""
    found = dict(split)
    for number, row in split.items():
        kind = draw.randrange(10)
        if kind == 0:
            found[number] = row._replace(captions=(*row.captions, "c"))
        elif kind == 1:
            found[number] = row._replace(size=draw.choice([(64, 96), (96, 64), None]))
        elif kind == 2:
            found[number] = row._replace(media=f"{row.media}'", size=draw.choice([row.size, (32, 32)]))
        elif kind == 3:
            del found[number]
    free = sorted(set(range(14)) - set(found))
    found |= {number: Row(None, f"new {number}", ("a",)) for number in draw.sample(free, draw.randint(0, 2))}
    if draw.random() < 0.3 and len(found) > 1:
        one, other = draw.sample(sorted(found), 2)
        found[one], found[other] = found[other], found[one]
    shift = draw.choice([0, 0, 0, 1, 5])
    return {number + shift: found[number] for number in sorted(found)}


@pytest.mark.parametrize("may_fail", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_it_is_what_comparing_all_samples_gives(seed: int, may_fail: bool) -> None:
    draw = random.Random(seed)
    old = random_split(draw, has_twins=False)
    new = edited(draw, old)
    what: dict[str, Any] = {}
    if may_fail:
        gone = sorted({identity(row) for row in old.values()} - {identity(row) for row in new.values()})
        left_out = {"too_small": changes.hashed(pa.array(gone[:2], pa.string()))}
        rows = np.array(draw.sample(sorted(new), len(new) // 4), np.int64)
        texts = changes.hash_texts(pa.table({"caption": pa.array(draw.sample("abc", draw.randint(0, 1)), pa.string())}))
        what = {"left_out": left_out, "failed_rows": rows, "failed_texts": texts}
    expected = of_all(old, new, **what)
    found = compared(old, new, may_fail=may_fail, **what)
    assert found.as_json() == expected.as_json()
    assert said(found) == in_order(said(expected))


def in_order(found: dict[str, Any]) -> dict[str, Any]:
    """With the rows of each kind ascending."""
    return {name: in_order(rows) if isinstance(rows, dict) else sorted(rows) for name, rows in found.items()}


@pytest.mark.parametrize("seed", range(25))
def test_of_twins_each_that_stays_is_compared_with_itself_and_the_others_in_order(seed: int) -> None:
    draw = random.Random(seed)
    old = random_split(draw, has_twins=True)
    new = edited(draw, old)
    pairs = {row: row for row, one in new.items() if row in old and identity(old[row]) == identity(one)}
    waiting: dict[str, list[int]] = {}
    for row in sorted(set(old) - set(pairs)):
        waiting.setdefault(identity(old[row]), []).append(row)
    for row in sorted(set(new) - set(pairs)):
        if others := waiting.get(identity(new[row])):
            pairs[row] = others.pop(0)
    expected = {
        "added": [row for row in new if row not in pairs],
        "media": [row for row, at in pairs.items() if new[row].media != old[at].media],
        "recaptioned": [row for row, at in pairs.items() if new[row].captions != old[at].captions],
        "recropped": [
            row for row, at in pairs.items() if new[row].media == old[at].media and new[row].size != old[at].size
        ],
        "removed": {GONE: [row for row in old if row not in pairs.values()]},
    }
    without_nothing = {name: rows for name, rows in expected.items() if rows not in ([], {GONE: []})}
    assert said(compared(old, new)) == in_order(without_nothing)


def identity(row: Row) -> str:
    return row.path or row.media


TWIN = Row(None, "A", ("a cat",))


def test_a_twin_that_goes_changes_nothing_of_the_one_that_stays() -> None:
    old = {0: TWIN, 5: TWIN._replace(captions=("a dog",))}
    new = {5: TWIN._replace(captions=("a dog",), size=(96, 96))}
    assert said(compared(old, new)) == {"recropped": [5], "removed": {GONE: [0]}}


def test_a_sample_that_stays_and_fails_is_gone_and_one_that_keeps_a_caption_has_others() -> None:
    rows = {0: TWIN, 1: Row("b.png", "B", ("a dog",)), 2: Row(None, "C", ("a dog", "big"))}
    dog = changes.hash_texts(pa.table({"caption": pa.array(["a dog"], pa.large_string())}))
    found = compared(rows, rows, may_fail=True, failed_rows=np.array([0]), failed_texts=dog)
    assert said(found) == {"recaptioned": [2], "removed": {FAILED: [0, 1]}}
    assert (found.before, found.after) == (3, 1)


def test_lyrics_are_part_of_captions() -> None:
    old, new = (table({0: TWIN, 1: TWIN}).append_column("lyrics", pa.array([None, text])) for text in ("la", "lala"))
    found = Comparison([], has_paths=True)
    found.add(old, new)
    assert said(found.changes()) == {"recaptioned": [1]}
    without = Comparison([], has_paths=True)
    without.add(old, table({0: TWIN, 1: TWIN}))
    assert said(without.changes()) == {"recaptioned": [0, 1]}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (pa.array([1, None, None, 2]), pa.array([1, None, 3, 4]), [True, True, False, False]),
        (pa.array([float("nan"), 1.0]), pa.array([float("nan"), float("nan")]), [True, False]),
        (pa.array(["a", "b"]), pa.array(["a", "c"], pa.large_string()), [True, False]),
        (pa.array([1, 2], pa.int32()), pa.array([1, 2**40]), [False, False]),  # not of one type
        (pa.array([["ab"], ["a", "b"], [], None]), pa.array([["ab"], ["ab"], None, None]), [True, False, False, True]),
        (pa.array([["a", "bc"]]), pa.array([["ab", "c"]]), [False]),
        *(
            (pa.array(one, pa.list_(pa.int32(), 2)), pa.array(other, pa.list_(pa.int32(), 2)), expected)
            for one, other, expected in [
                ([[1, 2], [3, 4]], [[1, 2], [4, 3]], [True, False]),
                ([[1, 2], None, None], [[1, 2], [0, 0], None], [True, False, True]),
            ]
        ),
    ],
)
def test_columns_are_compared_value_by_value(one: pa.Array, other: pa.Array, expected: list[bool]) -> None:
    columns = [pa.chunked_array([column.slice(0, 1), column.slice(1)]) for column in (one, other)]
    assert equal(*columns).tolist() == expected
    assert equal(*(column.filter(pc.is_valid(columns[0])) for column in columns)).tolist() == [
        same for same, value in zip(expected, one.to_pylist(), strict=True) if value is not None
    ]

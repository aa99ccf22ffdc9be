"""The last look at a row counts, unless that is a wish to look again."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from hf_assets.store.ledger import RETRY, Ledger

# A look: row in file, second, media hash, reason. A fact: row, media hash, first and last second.
Look = tuple[int, int, str | None, str | None]
Fact = tuple[int, str | None, int, int]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([[(1, 5, "b", None), (0, 4, "a", None)]], [(0, "a", 4, 4), (1, "b", 5, 5)]),
        ([[(0, 4, "a", None)], [(1, 5, None, "broken")]], [(0, "a", 4, 4), (1, None, 5, 5)]),
        ([[(0, 4, None, "broken")], [(0, 6, "a", None), (1, 5, "b", None)]], [(0, "a", 4, 6), (1, "b", 5, 5)]),
        ([[(0, 4, None, "broken"), (1, 4, "b", None)], [(0, 6, None, RETRY)]], [(1, "b", 4, 4)]),
        ([[(0, 4, None, RETRY), (1, 4, "b", None)]], [(1, "b", 4, 4)]),  # each row once, and one is to be looked at
        ([[(0, 4, None, "broken")], [(0, 5, None, RETRY)], [(0, 6, None, "broken")]], [(0, None, 4, 6)]),
    ],
)
def test_the_last_look_at_each_row_counts(tmp_path: Path, parts: list[list[Look]], expected: list[Fact]) -> None:
    book = Ledger(tmp_path, "image", 1, pa.schema([pa.field("width", pa.int32())]))
    for looks in parts:
        rows = [
            {"file_row": row, "seen_at": datetime.fromtimestamp(second, UTC), "media_hash": media, "reason": reason}
            for row, second, media, reason in looks
        ]
        book.add("f" * 32, pa.Table.from_pylist(rows, schema=book.looks))
    facts = book.facts(book.parts()["f" * 32])
    assert facts is not None
    assert facts.schema == book.known
    assert expected == sorted(
        (row["file_row"], row["media_hash"], *(int(row[name].timestamp()) for name in ("first_seen", "last_seen")))
        for row in facts.to_pylist()
    )

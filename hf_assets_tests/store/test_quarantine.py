"""Failures are settled until something changes or a person asks for another try."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from hf_assets.store import index
from hf_assets.store.index import INDEX
from hf_assets.store.ledger import Ledger
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.store.samples import FACTS, HEADER, filled, sample

NON_FINITE = ("non_finite", "no numbers")


def settled(store: TensorStore) -> str:
    """The keys that needn't be computed."""
    table = store.index()
    return "".join(sorted([*index.stored_keys(table).to_pylist(), *index.failures(table)["key"].to_pylist()]))


def failed(store: TensorStore) -> dict[str, str]:
    table = index.failures(store.index())
    return dict(zip(table["key"].to_pylist(), table["status"].to_pylist(), strict=True))


def test_a_failure_is_settled(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab")
    store.fail({"c": NON_FINITE})
    assert settled(store) == "abc"
    assert failed(store) == {"c": "non_finite"}


def test_a_retry_makes_it_missing_until_it_fails_again(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab")
    store.fail({"c": NON_FINITE, "d": NON_FINITE})
    assert store.retry(pa.array(["c", "a", "unknown"])) == 1
    assert settled(store) == "abd"
    assert store.retry(pa.array(["c"])) == 0  # it has no failure that counts
    store.fail({"c": ("out_of_range", "still no numbers")})
    assert settled(store) == "abcd"
    assert failed(store) == {"c": "out_of_range", "d": "non_finite"}


def test_a_sample_that_is_stored_after_all_has_not_failed(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    store.fail({"a": NON_FINITE})
    store.retry(pa.array(["a"]))
    store.write([sample("a")], HEADER)
    assert failed(store) == {}
    assert settled(store) == "a"


def test_first_and_last_seen_span_all_attempts(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    for _ in range(3):
        store.fail({"a": NON_FINITE})
        store.retry(pa.array(["a"]))
    store.fail({"a": NON_FINITE})
    times = [row["written_at"] for row in store.index().to_pylist() if row["status"] == "non_finite"]
    found = index.failures(store.index()).to_pylist()[0]
    assert (found["first_seen"], found["last_seen"]) == (min(times), max(times))
    assert len(set(times)) == 4


def test_a_retry_holds_though_the_failure_came_from_a_clock_that_is_ahead(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    rows = pa.Table.from_pylist([{"key": "a", "status": "non_finite", "written_at": tomorrow}], schema=INDEX)
    index.commit(store.index_blobs, rows)
    store.retry(pa.array(["a"]))
    assert settled(store) == ""


BAD = {"media_hash": "h", "reason": "undecodable", "message": "no picture"}
GOOD = {"media_hash": "h", "width": 3, "height": 4}


@pytest.mark.parametrize(
    ("looks", "known"),
    [
        ([BAD], "undecodable"),
        ([BAD, "retry"], None),
        ([BAD, "retry", BAD], "undecodable"),
        ([BAD, "retry", BAD, "retry"], None),
        ([BAD, "retry", GOOD], "ok"),
        ([GOOD, GOOD], "ok"),  # two runs at once
        (["retry"], None),
    ],
)
def test_the_ledger_knows_the_last_look_unless_another_is_asked_for(
    looks: list[object], known: str | None, tmp_path: Path
) -> None:
    book = Ledger(tmp_path, "image", 1, FACTS)
    for look in looks:
        if look == "retry":
            book.retry("file", [7])
        else:
            row = {"file_row": 7, "seen_at": datetime.now(UTC), **look}  # type: ignore[dict-item]
            book.add("file", pa.Table.from_pylist([row], schema=book.looks))
    rows = book.read({"file"})["file"].to_pylist()
    assert [row["reason"] or "ok" for row in rows] == ([] if known is None else [known])
    assert all(row["first_seen"] <= row["last_seen"] for row in rows)
    assert book.read({"other"}) == {}


def test_another_version_of_the_decoder_tries_what_failed_again(tmp_path):
    store = TensorStore(tmp_path)
    store.fail({"a": NON_FINITE}, "image 1")
    assert index.failures(store.index(), "image 1")["key"].to_pylist() == ["a"]
    assert not len(index.failures(store.index(), "image 2"))
    store.fail({"a": NON_FINITE}, "image 2")  # and finds that it can't do better
    assert index.failures(store.index(), "image 2")["key"].to_pylist() == ["a"]

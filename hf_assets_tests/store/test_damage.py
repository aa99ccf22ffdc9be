"""What is truncated, altered, emptied or deleted is noticed, and costs only its own samples."""

from pathlib import Path

import pyarrow as pa
import pytest

from hf_assets.errors import StoreError
from hf_assets.store.ledger import Ledger
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import TensorStore
from hf_assets.store.verifying import verify_store, verify_tables
from hf_assets_tests.store.damage import SEEN, UNSEEN, Damage
from hf_assets_tests.store.samples import (
    FACTS,
    HEADER,
    column,
    filled,
    keys_of,
    part_of,
    read,
    sample,
    shard_of,
    without_offsets,
)

seen = pytest.mark.parametrize("damage", SEEN.values(), ids=SEEN.keys())
unseen = pytest.mark.parametrize("damage", UNSEEN.values(), ids=UNSEEN.keys())
every = pytest.mark.parametrize("damage", (SEEN | UNSEEN).values(), ids=(SEEN | UNSEEN).keys())


def damaged_by(store: TensorStore) -> list[str]:
    return verify_store(store, lambda num_bytes: None).damaged


@seen
def test_keys_of_a_damaged_shard_count_as_missing(damage: Damage, tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cd")
    damage(shard_of(store, "a"))
    assert keys_of(store) == "cd"
    store.write([sample("a"), sample("b")], HEADER)
    assert keys_of(store) == "abcd"
    assert read(store, "abcd")


@every
def test_keys_of_a_damaged_part_of_the_index_count_as_missing(damage: Damage, tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cd")
    damage(part_of(store, "a"))
    assert keys_of(store) == "cd"
    store.write([sample("a"), sample("b")], HEADER)
    assert keys_of(store) == "abcd"
    assert read(store, "abcd")


@unseen
def test_the_reader_never_gives_what_was_altered_unseen(damage: Damage, tmp_path: Path) -> None:
    store = filled(tmp_path, "a")
    damage(shard_of(store, "a"))
    if damage == UNSEEN["a bit flipped unseen in the header"]:  # which says nothing that the index doesn't
        assert read(store, "a")
        without_offsets(store)
    with pytest.raises(StoreError, match="hf-assets verify"):
        TensorReader(tmp_path, column("a"))[0]


@every
def test_verify_finds_a_damaged_shard_and_makes_its_keys_missing(damage: Damage, tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cd")
    shard = shard_of(store, "a")
    damage(shard)
    assert [line.split(":")[0] for line in damaged_by(store)] == [shard.name]
    assert keys_of(store) == "cd"
    store.write([sample("a"), sample("b")], HEADER)
    assert keys_of(store) == "abcd"
    assert damaged_by(store) == []


@every
def test_verify_finds_a_damaged_part_of_the_index(damage: Damage, tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cd")
    part = part_of(store, "a")
    damage(part)
    # what was deleted leaves nothing to find
    assert [line.split(":")[0] for line in damaged_by(store)] == (
        [f"index/{part.name}"] if damage != SEEN["deleted"] else []
    )
    assert damaged_by(store) == []


def test_verify_counts_what_is_whole(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "cde")
    progress: list[int] = []
    found = verify_store(store, progress.append)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.safetensors")]
    assert (found.num_files, found.num_samples, found.num_bytes, found.damaged) == (2, 5, sum(sizes), [])
    assert sorted(progress) == sorted(sizes)


def test_a_damaged_shard_is_read_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, "ab", "cd")
    SEEN["a bit flipped in the data"](shard_of(store, "a"))
    assert keys_of(store) == "cd"
    monkeypatch.setattr(TensorStore, "is_whole", None)
    assert keys_of(store) == "cd"


@every
def test_a_damaged_part_of_the_ledger_is_forgotten_alone(damage: Damage, tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger", "image", 1, FACTS)
    for row in (0, 1):
        book.add("file", pa.Table.from_pylist([{"file_row": row, "media_hash": f"h{row}"}], schema=book.looks))
    damage(sorted((tmp_path / "ledger").iterdir())[0])
    assert len(book.read({"file"})["file"]) == 1
    gone = damage == SEEN["deleted"]
    assert len(verify_tables(tmp_path).damaged) == (0 if gone else 1)
    assert verify_tables(tmp_path).damaged == []
    assert len(book.read({"file"})["file"]) == 1

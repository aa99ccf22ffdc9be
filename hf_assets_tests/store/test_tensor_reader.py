"""Readers beside runs and garbage collection, and what reading costs in memory."""

import pickle
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from hf_assets.errors import StoreError
from hf_assets.store import gc
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests.store.samples import HEADER, column, filled, sample


def test_a_reader_has_a_place_for_each_key_also_repeated_ones(tmp_path: Path) -> None:
    filled(tmp_path, "ab", "c")
    reader = TensorReader(tmp_path, column("cabca"))
    assert len(reader) == 5
    for position, key in enumerate("cabca"):
        assert torch.equal(reader[position]["latents"], sample(key).tensors["latents"])


def test_keys_that_are_not_stored_are_counted(tmp_path: Path) -> None:
    filled(tmp_path, "ab")
    with pytest.raises(StoreError, match=r"2 of 3 tensors of .* missing or damaged: materialize"):
        TensorReader(tmp_path, column("axyx"))


def test_no_keys_need_no_store(tmp_path: Path) -> None:
    assert len(TensorReader(tmp_path / "none", column(""))) == 0


def test_a_key_that_two_runs_stored_is_read_from_one_shard(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    for other in "bc":  # shards differ, and so does what the two runs computed, in the last bit
        store.write(
            [Sample("a", {"x": torch.tensor([ord(other)]), "y": torch.tensor([ord(other)])}), sample(other)], HEADER
        )
    found = TensorReader(tmp_path, column("a"))[0]
    assert found["x"] == found["y"]


def test_what_is_read_may_be_written_to(tmp_path: Path) -> None:
    """safetensors hands out the memory map itself: a change there would be read as damage."""
    filled(tmp_path, "a")
    reader = TensorReader(tmp_path, column("a"))
    reader[0]["latents"].mul_(2)
    assert torch.equal(reader[0]["latents"], sample("a").tensors["latents"])


def test_a_reader_can_be_sent_to_another_process(tmp_path: Path) -> None:
    filled(tmp_path, "ab")
    reader = TensorReader(tmp_path, column("ab"))
    assert torch.equal(reader[0]["latents"], pickle.loads(pickle.dumps(reader))[0]["latents"])


def test_a_shard_that_was_replaced_since_is_found_again(tmp_path: Path) -> None:
    store = filled(tmp_path, "abcd")
    reader = TensorReader(tmp_path, column("ab"))
    gc.sweep(store, gc.survey(store, column("a"), timedelta(0)), timedelta(0))  # copies a into a new shard
    assert torch.equal(TensorReader(tmp_path, column("a"))[0]["latents"], sample("a").tensors["latents"])
    with pytest.raises(StoreError, match="1 of 2 tensors"):  # b is gone, and that is said
        reader[0]
    reader = TensorReader(tmp_path, column("a"))
    store.write([sample("a"), sample("x")], HEADER)
    reader.open_shards.clear()
    store.shard_path(reader.places.rows["shard"][0].as_py()).unlink()
    assert torch.equal(reader[0]["latents"], sample("a").tensors["latents"])


def test_a_reader_that_has_a_shard_open_keeps_it(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab")
    reader = TensorReader(tmp_path, column("ab"))
    reader[0]
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    assert torch.equal(reader[1]["latents"], sample("b").tensors["latents"])
    assert store.index().num_rows == 0


def test_more_shards_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_assets.store.tensor_reader.OPEN_SHARDS", 2)
    filled(tmp_path, *"abcdef")
    reader = TensorReader(tmp_path, column("abcdef"))
    for position, key in enumerate("abcdef" * 2):
        assert torch.equal(reader[position % 6]["latents"], sample(key).tensors["latents"])
        assert len(reader.open_shards) <= 2


def test_a_shard_is_mapped_not_loaded(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    store.write([sample(f"{number:03}", cells=1 << 16) for number in range(64)], HEADER)  # 64 MiB
    reader = TensorReader(tmp_path, column(["001", "062"]))
    before = _own_memory_kb()
    assert reader[0]["latents"].shape == reader[1]["latents"].shape == (4, 1 << 16)
    assert _own_memory_kb() - before < 32 << 10


def _own_memory_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))

"""Readers beside runs and garbage collection, and what reading costs in memory."""

import gc as garbage
import os
import pickle
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from hf_assets import fingerprint
from hf_assets.errors import StoreError
from hf_assets.store import gc, packing, shards
from hf_assets.store.local_shards import OPEN_FILES
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests.store.samples import HEADER, column, filled, sample, without_offsets


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
    filled(tmp_path, "a")
    reader = TensorReader(tmp_path, column("a"))
    reader[0]["latents"].mul_(2)
    assert torch.equal(reader[0]["latents"], sample("a").tensors["latents"])


def test_a_reader_can_be_sent_to_another_process(tmp_path: Path) -> None:
    filled(tmp_path, "ab")
    reader = TensorReader(tmp_path, column("ab"))
    assert torch.equal(reader[0]["latents"], pickle.loads(pickle.dumps(reader))[0]["latents"])


def test_no_header_is_read_where_the_index_says_what_a_shard_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, "abcd")
    gc.sweep(store, gc.survey(store, column("a"), timedelta(0)), timedelta(0))  # copies a into a new shard
    store.write([sample("b")], HEADER)
    monkeypatch.setattr(shards, "read_header", lambda *args: pytest.fail("a header was read"))
    reader = TensorReader(tmp_path, column("ab"))
    for position, key in enumerate("ab"):
        assert torch.equal(reader[position]["latents"], sample(key).tensors["latents"])


def test_a_shard_that_was_replaced_since_is_found_again(tmp_path: Path) -> None:
    store = filled(tmp_path, "abcd")
    reader = TensorReader(tmp_path, column("ab"))
    gc.sweep(store, gc.survey(store, column("a"), timedelta(0)), timedelta(0))  # copies a into a new shard
    assert torch.equal(TensorReader(tmp_path, column("a"))[0]["latents"], sample("a").tensors["latents"])
    with pytest.raises(StoreError, match="1 of 2 tensors"):  # b is gone, and that is said
        reader[0]
    reader = TensorReader(tmp_path, column("a"))
    store.write([sample("a"), sample("x")], HEADER)
    OPEN_FILES.close_below(tmp_path)
    store.shard_path(reader.places.shards[0]).unlink()
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
    monkeypatch.setattr("hf_assets.store.local_shards.OPEN_SHARDS", 2)
    filled(tmp_path, *"abcdef")
    reader = TensorReader(tmp_path, column("abcdef"))
    for position, key in enumerate("abcdef" * 2):
        assert torch.equal(reader[position % 6]["latents"], sample(key).tensors["latents"])
        assert len(OPEN_FILES) <= 2


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    store.write([sample(f"{number:03}", cells=1 << 16) for number in range(64)], HEADER)  # 64 MiB
    reader = TensorReader(tmp_path, column(["001", "062"]))
    before = _own_memory_kb()
    assert reader[0]["latents"].shape == reader[1]["latents"].shape == (4, 1 << 16)
    assert _own_memory_kb() - before < 32 << 10


@pytest.mark.parametrize("says_offsets", [True, False], ids=["an index of now", "of an earlier release"])
def test_a_batch_is_what_its_samples_are_one_by_one(says_offsets: bool, tmp_path: Path) -> None:
    """Of several shards, shapes and types, with padding and without, in any order and repeated."""
    store = TensorStore(tmp_path)
    padded = torch.zeros(600, 4).index_fill(0, torch.tensor([0, 1, 300]), 2.0)
    written = {
        "a": {"x": torch.arange(6.0).view(2, 3), "mask": torch.ones((), dtype=torch.bool)},
        "b": {"x": torch.arange(6.0).view(2, 3) + 1},
        "c": {"x": torch.arange(4, dtype=torch.bfloat16), "y": padded},
        "d": {"x": torch.arange(4, dtype=torch.bfloat16) + 1, "y": padded.flip(0)},
        "e": {"x": torch.arange(4, dtype=torch.bfloat16) + 1, "y": torch.ones(600, 4)},
    }
    for keys in ("ab", "cde"):
        store.write([Sample(key, packing.pack(written[key]).tensors) for key in keys], HEADER)
    if not says_offsets:
        without_offsets(store)
    reader = TensorReader(tmp_path, column("abcde"))
    assert reader.places.are_known == says_offsets
    for keys in ("abcde", "badab", "ab", "ced", "a"):
        samples, wholes = reader.read(["abcde".index(key) for key in keys])
        for key, found in zip(keys, samples, strict=True):
            assert found.keys() == written[key].keys()
            assert all(torch.equal(found[name], tensor) for name, tensor in written[key].items())
        for name, whole in wholes.items():
            assert torch.equal(whole, torch.stack([written[key][name] for key in keys]))
            assert [one[name].data_ptr() for one in samples] == [one.data_ptr() for one in whole]
        assert {"ab": {"x"}, "ced": {"x", "y"}}.get(keys, wholes.keys()) == wholes.keys()
    assert reader.read([]) == ([], {})


def test_a_scaled_batch_is_what_its_samples_are_one_by_one(tmp_path: Path) -> None:
    embeds = [torch.randn(64, 32, generator=torch.Generator().manual_seed(seed)).bfloat16() * 300 for seed in range(3)]
    packed = [packing.pack({"x": one}, dtype=torch.float8_e4m3fn).tensors for one in embeds]
    TensorStore(tmp_path).write([Sample(key, one) for key, one in zip("abc", packed, strict=True)], HEADER)
    whole = TensorReader(tmp_path, column("abc")).read([2, 0, 1]).wholes["x"]
    assert torch.equal(whole, torch.stack([packing.unpack(packed[number])["x"] for number in (2, 0, 1)]))


def test_a_tensor_is_checked_when_it_is_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, "abc")
    reader = TensorReader(tmp_path, column("abc"))
    checked: list[int] = []
    checksum = fingerprint.checksum
    monkeypatch.setattr(fingerprint, "checksum", lambda data: checked.append(len(data)) or checksum(data))
    for positions, num_new in (([0], 1), ([0, 1], 1), ([1, 0], 0), ([2, 2], 2), ([0, 1, 2], 0)):
        checked.clear()
        reader.read(positions)
        assert len(checked) == num_new


def test_a_batch_is_read_from_each_shard_in_the_order_in_which_it_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, "acegi", "bdfh")
    reader = TensorReader(tmp_path, column("abcdefghi"))
    reader.read(range(9))
    read: list[tuple[int, int]] = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, views, at: read.append((file, at)) or preadv(file, views, at))
    reader.read([8, 3, 0, 7, 5, 4, 1, 6, 2])
    files = [file for file, _ in read]
    assert [files.count(file) for file in dict.fromkeys(files)] in ([5, 4], [4, 5])
    assert read == sorted(read, key=lambda one: (files.index(one[0]), one[1]))


def test_no_python_object_is_held_for_a_sample(tmp_path: Path) -> None:
    keys = [f"{number:032x}" for number in range(3000)]
    TensorStore(tmp_path).write([Sample(key, {"x": torch.zeros(1)}) for key in keys], HEADER)

    def held(num_keys: int) -> int:
        reader = TensorReader(tmp_path, column(keys[:num_keys]))
        garbage.collect()
        before = sys.getallocatedblocks()
        reader.read(range(num_keys))
        garbage.collect()
        return sys.getallocatedblocks() - before

    held(10)
    assert held(3000) - held(300) < 2700 / 2  # a header as JSON would be ten each


def _own_memory_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))

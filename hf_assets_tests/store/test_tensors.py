"""The store's format, which other programs may read, and what it takes for data."""

import multiprocessing
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from hf_assets import files, fingerprint
from hf_assets.store import index
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests.store.samples import HEADER, column, filled, keys_of, read, sample


def test_a_shard_is_read_with_safetensors_alone(tmp_path: Path) -> None:
    shard = TensorStore(tmp_path).write([sample("a"), sample("b")], HEADER)
    with safe_open(tmp_path / f"{shard}.safetensors", framework="pt") as file:
        assert sorted(file.keys()) == ["a.latents", "b.latents"]
        assert file.metadata() == HEADER
        assert torch.equal(file.get_tensor("b.latents"), sample("b").tensors["latents"])


def test_the_index_is_read_with_pyarrow_alone(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab", "c")
    store.fail({"d": ("non_finite", "no numbers")})
    rows = pq.read_table(tmp_path / "index").sort_by("key").to_pylist()
    assert [(row["key"], row["tensor"], row["shape"], row["dtype"], row["status"]) for row in rows] == [
        ("a", "latents", [4, 16], "float32", "ok"),
        ("b", "latents", [4, 16], "float32", "ok"),
        ("c", "latents", [4, 16], "float32", "ok"),
        ("d", None, None, None, "non_finite"),
    ]
    assert {row["num_bytes"] for row in rows} == {4 * 16 * 4, None}


def test_files_are_named_by_their_content(tmp_path: Path) -> None:
    filled(tmp_path, "ab", "c")
    named = [*tmp_path.glob("*.safetensors"), *(tmp_path / "index").glob("*.parquet")]
    assert len(named) == 4
    assert [fingerprint.of_file(path) for path in named] == [path.stem for path in named]


def test_the_same_samples_make_the_same_shard_and_others_another(tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    first = store.write([sample("a")], HEADER)
    assert store.write([sample("a")], HEADER) == first
    assert store.write([sample("b")], HEADER) != first
    assert store.write([sample("a")], {**HEADER, "encoder": "other"}) != first


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 5),
        torch.randn(3, 5).bfloat16(),
        torch.randn(3, 5).half(),
        torch.randn(3, 5).double(),
        torch.tensor([2**62, -1]),
        torch.tensor([[True, False]]),
        torch.tensor(1.5),  # no axis
        torch.zeros(0, 4),  # no element
        torch.randn(6, 4)[::2].T,  # not contiguous
    ],
    ids=lambda tensor: f"{tensor.dtype} {tuple(tensor.shape)}",
)
def test_every_kind_of_tensor_comes_back_as_it_was(tensor: torch.Tensor, tmp_path: Path) -> None:
    TensorStore(tmp_path).write([Sample("a", {"x": tensor})], HEADER)
    found = TensorReader(tmp_path, column("a"))[0]["x"]
    assert found.dtype == tensor.dtype
    assert torch.equal(found, tensor)


def test_a_sample_may_have_several_tensors_that_share_memory(tmp_path: Path) -> None:
    batch = torch.randn(2, 3)
    tensors = {"prompt_embeds": batch[0], "pooled_prompt_embeds": batch[1], "dotted.name": batch[1]}
    TensorStore(tmp_path).write([Sample("a", tensors), sample("b")], HEADER)
    found = TensorReader(tmp_path, column("a"))[0]
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_temporary_files_are_no_data(tmp_path: Path) -> None:
    store = filled(tmp_path, "a")
    for path in [*tmp_path.glob("*.safetensors"), *store.index_folder.glob("[!.]*.parquet")]:
        shutil.copy(path, path.with_name(f"{files.TEMPORARY_PREFIX}{path.name}"))
    assert keys_of(store) == "a"
    assert store.present().keys() == set(store.index()["shard"].to_pylist())
    assert len(index.part_names(store.index_blobs)) == 1


def test_a_shard_without_a_part_of_the_index_is_no_data(tmp_path: Path) -> None:
    store = filled(tmp_path, "ab")
    store.place(b"a shard whose writer was killed before it committed")
    assert keys_of(store) == "ab"


def _write(folder: Path, keys: str) -> None:
    store = TensorStore(folder)
    for _ in range(10):
        store.write([sample(key) for key in keys], HEADER)
        store.index()


def test_two_writers_of_the_same_keys_are_harmless(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, keys)) for keys in ("abc", "abc", "bcd")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert keys_of(TensorStore(tmp_path)) == "abcd"
    assert read(TensorStore(tmp_path), "abcd")


def test_a_moved_store_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "old", "ab", "c")
    shutil.copytree(tmp_path / "old", tmp_path / "new", copy_function=shutil.copyfile)  # times are new
    hashed: list[str] = []
    whole = TensorStore.is_whole
    monkeypatch.setattr(TensorStore, "is_whole", lambda self, shard: hashed.append(shard) or whole(self, shard))
    assert keys_of(TensorStore(tmp_path / "new")) == "abc"
    assert len(hashed) == 2
    assert keys_of(TensorStore(tmp_path / "new")) == "abc"
    assert len(hashed) == 2

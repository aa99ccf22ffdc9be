"""A few stored tensors are read without torch, and what is wrong with one is reported."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from hf_assets.store import spot_checks
from hf_assets.store.tensors import Sample, TensorStore

HEADER = {"stage": "vae_latents"}


def filled(folder: Path, **tensors: torch.Tensor) -> TensorStore:
    store = TensorStore(folder)
    store.write([Sample(key, {"latents": tensor}) for key, tensor in tensors.items()], HEADER)
    return store


def sampled(store: TensorStore, *keys: str) -> list[spot_checks.Tensor]:
    return list(spot_checks.sample(store, pa.array(keys)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values_are_those_that_were_stored(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    (one,) = sampled(filled(tmp_path, a=tensor), "a")
    assert one.values is not None
    assert np.array_equal(one.values, tensor.float().numpy())
    assert (one.is_finite, one.wrong) == (True, None)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.0])
def test_infinite_and_undefined_values_are_seen(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    tensor = torch.tensor([0.0, value]).to(dtype)
    (one,) = sampled(filled(tmp_path, a=tensor), "a")
    assert one.is_finite == bool(torch.isfinite(tensor.float()).all())


def test_a_mask_of_whole_numbers_is_finite(tmp_path: Path) -> None:
    (one,) = sampled(filled(tmp_path, a=torch.tensor([-1, 255])), "a")
    assert (one.values, one.is_finite, one.wrong) == (None, True, None)


def test_bytes_that_were_altered_under_the_store_are_noticed(tmp_path: Path) -> None:
    store = filled(tmp_path, a=torch.zeros(8))
    (path,) = tmp_path.glob("*.safetensors")
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that the index takes it for untouched
    (one,) = sampled(store, "a")
    assert one.wrong is not None
    assert "isn't what was written" in one.wrong


def test_only_a_few_are_read_always_the_same(tmp_path: Path) -> None:
    keys = [f"{n:04x}" for n in range(100)]
    store = filled(tmp_path, **{key: torch.zeros(1) for key in keys})
    assert [one.key for one in sampled(store, *keys[::-1])] == keys[: spot_checks.MAX_SAMPLES]


def test_large_tensors_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, **{key: torch.zeros(100) for key in "abc"})
    monkeypatch.setattr(spot_checks, "MAX_BYTES", 900)
    assert [one.key for one in sampled(store, "a", "b", "c")] == ["a", "b"]
    monkeypatch.setattr(spot_checks, "MAX_BYTES", 1)
    assert [one.key for one in sampled(store, "a", "b", "c")] == ["a"]


@pytest.mark.parametrize("start", [b"\xff" * 8, b"million " * 2, (2**40).to_bytes(8, "little")])
def test_a_header_of_an_absurd_length_is_damage_and_no_lack_of_memory(tmp_path: Path, start: bytes) -> None:
    store = filled(tmp_path, a=torch.zeros(4, 3, 2))
    (shard,) = tmp_path.glob("*.safetensors")
    before = shard.stat()
    shard.write_bytes(start + shard.read_bytes()[len(start) :])
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))  # nothing shows that it was touched
    (one,) = sampled(store, "a")
    assert one.values is None
    assert one.wrong


@pytest.mark.parametrize("num_rows", [1, 7, 1000])
def test_the_first_keys_are_found_however_rows_come_in_tables(num_rows: int) -> None:
    keys = [f"{37 * number % 100:03}" for number in range(250)]  # each twice or more
    tables = [pa.table({"key": keys[start : start + num_rows]}) for start in range(0, len(keys), num_rows)]
    found = spot_checks.first_of(tables, "key")
    assert sorted(found.to_pylist()) == [f"{number:03}" for number in range(spot_checks.MAX_SAMPLES)]

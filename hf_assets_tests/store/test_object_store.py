"""A store in a bucket, killed before each of its requests: whole at every moment, and nothing is written in vain."""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch

from hf_assets.blobs import ObjectPath, object_client
from hf_assets.errors import StoreError
from hf_assets.store import gc
from hf_assets.store.range_cache import RangeCache
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.s3_server import S3Server
from hf_assets_tests.store.samples import HEADER, column, keys_of, sample

WRITES = {"put", "put_if", "delete", "rename"}


def killed_before_request(number: int, work: Callable[[], object]) -> bool:
    """Do some work in a fork, with SIGKILL before its `number`-th request that writes.

    Returns:
        Whether it came to that.
    """
    child = os.fork()
    if child == 0:
        left, call = number, object_client.call

        def watched(address: Any, verb: str, *arguments: Any) -> Any:
            nonlocal left
            left -= verb in WRITES
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(address, verb, *arguments)

        object_client.call = watched
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return os.WIFSIGNALED(status)


def test_a_writer_killed_before_any_request_leaves_a_whole_store(address: str) -> None:
    folder = ObjectPath(address) / "store"
    TensorStore(folder).write([sample("a")], HEADER)
    number = 1
    while killed_before_request(number, lambda: TensorStore(folder).write([sample("b"), sample("c")], HEADER)):
        assert keys_of(TensorStore(folder)) == "a"
        number += 1
    assert number == 3  # a shard, then a part of the index
    assert keys_of(TensorStore(folder)) == "abc"


def test_what_a_killed_writer_left_is_garbage_when_it_is_old(address: str) -> None:
    folder = ObjectPath(address) / "store"
    store = TensorStore(folder)
    store.write([sample("a")], HEADER)
    assert killed_before_request(2, lambda: TensorStore(folder).write([sample("b")], HEADER))
    assert gc.survey(store, column("a"), timedelta(hours=1)).strays == []
    with store.alone():
        garbage = gc.survey(store, column("a"), timedelta(0))
        assert len(garbage.strays) == 1
        gc.sweep(store, garbage, timedelta(0))
    assert len(store.present()) == 1
    assert keys_of(store) == "a"


def test_a_reader_goes_on_when_garbage_collection_replaces_its_shard(
    address: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    monkeypatch.setenv("HF_ASSETS_READ_CACHE_BYTES", "0")
    folder = ObjectPath(address) / "store"
    store = TensorStore(folder)
    store.write([sample(key) for key in "abcd"], HEADER)
    reader = TensorReader(folder, column("a"))
    before = reader[0]["latents"]
    with store.alone():
        gc.sweep(store, gc.survey(store, column("a"), timedelta(0)), timedelta(0))
    assert (reader[0]["latents"] == before).all()


def test_what_was_read_once_is_read_from_this_machine_within_the_bound(
    address: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    folder = ObjectPath(address) / "store"
    TensorStore(folder).write([sample(key, cells=1000) for key in "abcd"], HEADER)  # 16 kB each
    reader = TensorReader(folder, column("abcd"))
    for position in range(4):
        reader[position]
    s3.fail()
    assert all(len(reader[position]["latents"]) == 4 for position in range(4))
    assert s3.requests == []
    for path in tmp_path.rglob("*"):  # a disk that lies is asked once
        if path.is_file() and not path.name.endswith(".header"):
            path.write_bytes(b"damaged")
    assert len(reader[0]["latents"]) == 4
    assert len(s3.requests) == 1
    RangeCache(bound_bytes=40_000).shrink()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 40_000


def test_a_batch_of_neighbours_is_one_request(
    address: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    folder = ObjectPath(address) / "store"
    TensorStore(folder).write([sample(key, cells=1000) for key in "abcdef"], HEADER)
    reader = TensorReader(folder, column("abcdef"))
    reader[0]
    s3.fail()
    batch = reader.read([4, 1, 3, 0, 2])
    assert len(s3.requests) == 1
    assert all(
        torch.equal(found["latents"], sample("abcdef"[at], cells=1000).tensors["latents"])
        for at, found in zip([4, 1, 3, 0, 2], batch.samples, strict=True)
    )


def test_a_bound_that_is_no_number_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ASSETS_READ_CACHE_BYTES", "16 GB")
    with pytest.raises(StoreError, match=r'^HF_ASSETS_READ_CACHE_BYTES is "16 GB": write a number of bytes'):
        RangeCache()

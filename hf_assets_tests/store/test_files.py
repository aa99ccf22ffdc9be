"""Files are wholly there or not at all; tables show when one bit of them is wrong; a full disk is reported as such."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hf_assets import files, fingerprint
from hf_assets.errors import StoreError
from hf_assets.store.spilling import SpilledRows
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests.store.samples import HEADER, filled, keys_of, read

TABLE = pa.table({"numbers": [1, 2, 3], "texts": pa.array(["a", "b", None])}).replace_schema_metadata({"k": "v"})


def test_any_reader_reads_a_table(tmp_path: Path) -> None:
    files.write_table(tmp_path / "a.parquet", TABLE)
    assert pq.read_table(tmp_path / "a.parquet", page_checksum_verification=True).equals(TABLE, check_metadata=True)
    assert files.read_table(tmp_path / "a.parquet").equals(TABLE, check_metadata=True)  # type: ignore[union-attr]


def test_every_flipped_bit_of_a_table_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    files.write_table(path, TABLE)
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not files.is_whole_table(memoryview(damaged)), f"bit {bit}"


def test_a_table_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    files.write_table(path, TABLE)
    data = path.read_bytes()
    assert not any(files.is_whole_table(memoryview(data[:length])) for length in range(len(data)))


def test_a_missing_table_is_none(tmp_path: Path) -> None:
    assert files.read_table(tmp_path / "a.parquet") is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    files.write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(5, "the disk is broken")))
    with pytest.raises(OSError, match="broken"):
        files.write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"old")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_reported_and_the_store_stays_whole(small_disk: Path) -> None:
    store = filled(small_disk, "abc")
    large = {"latents": torch.zeros(1 << 18)}  # 1 MiB
    with pytest.raises(StoreError, match=r"disk of .* is full: free space, then run again; nothing that was stored"):
        store.write([Sample("d", large)], HEADER)
    assert keys_of(store) == "abc"
    assert read(store, "abc")
    assert not list(small_disk.glob(f"{files.TEMPORARY_PREFIX}*"))
    store.write([Sample("d", {"latents": torch.zeros(16)})], HEADER)  # there is room again
    assert keys_of(store) == "abcd"


def test_a_disk_that_fills_up_at_any_moment_leaves_a_whole_store(small_disk: Path) -> None:
    store = filled(small_disk, "a")
    number = 0
    with contextlib.suppress(StoreError):
        while True:
            store.write([Sample(f"{number:04}", {"latents": torch.full((4000,), float(number))})], HEADER)
            number += 1
    assert number > 10
    index = TensorStore(small_disk).index()
    assert index["key"].to_pylist().count("a") == 1
    assert len(index) == number + 1


def test_a_full_disk_for_temporary_files_is_reported(small_disk: Path) -> None:
    spilled = SpilledRows(small_disk / "rows", pa.schema([pa.field("key", fingerprint.PACKED)]), "key")
    keys = fingerprint.pack(pa.array([fingerprint.of_bytes(str(number).encode()) for number in range(100_000)]))
    with pytest.raises(StoreError, match=r"disk of .* is full: free space, then run again"):
        spilled.add(pa.table({"key": keys}))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(
        StoreError, match="may not be written by this user: change its rights, or name another cache_dir"
    ):
        files.write_atomically(tmp_path / "file", b"data")


def test_two_that_update_a_table_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    files.write_table(path, pa.table({"numbers": [0]}))

    def add(number: int) -> None:
        files.update_table(path, lambda table: pa.concat_tables([table, pa.table({"numbers": [number]})]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(1, 9)))
    assert sorted(files.read_table(path)["numbers"].to_pylist()) == list(range(9))  # type: ignore[index]

"""A training set that was opened before is mapped, not read: it is the same, and what changed since is seen."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from hf_assets import files
from hf_assets.errors import StoreError
from hf_assets.store import verifying
from hf_assets.training import TrainingSet
from hf_assets_tests.training import sets

CAPTIONS = [["zero"], ["one", "uno", "eins"], ["two", "zero"]]
SHAPES = [[4, 8, 8], [4, 8, 16], [4, 8, 8]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The metadata folder of a dataset of three rows, which was opened once."""
    made = sets.write(tmp_path / "cache", "photos", CAPTIONS, SHAPES)
    TrainingSet.open(made)
    return made


def items(training: TrainingSet) -> list[dict[str, Any]]:
    return [
        {name: one.tolist() if isinstance(one, torch.Tensor) else one for name, one in training.read(at, draw).items()}
        for at in range(len(training))
        for draw in range(3)
    ]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tables that are read from now on."""
    paths: list[Path] = []
    real = files.read_table
    monkeypatch.setattr(files, "read_table", lambda path, *more: paths.append(path) or real(path, *more))
    return paths


def test_it_is_the_same_and_nothing_is_read(folder: Path, reads: list[Path]) -> None:
    mapped = TrainingSet.open(folder)
    assert reads == []
    assert mapped.buckets == {(4, 8, 8): [0, 2], (4, 8, 16): [1]}
    shutil.rmtree(folder / "opened")  # who has it open keeps it
    read = TrainingSet.open(folder)
    assert len(reads) == 1
    assert items(mapped) == items(read)
    assert mapped.table.schema.equals(read.table.schema, check_metadata=True)


def test_a_worker_is_given_a_path_and_not_the_rows(folder: Path) -> None:
    mapped = TrainingSet.open(folder)
    mapped.epoch = 3
    data = pickle.dumps(mapped._opened.path)
    assert len(data) < 500
    loader = DataLoader(mapped, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [item["row"] for item in loader] == [0, 10, 20]


def touched(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "the table": lambda folder: touched(folder / "training_set.parquet"),
    "a shard": lambda folder: touched(next((folder / "../../vae/photos").resolve().glob("*.safetensors"))),
    "the index": lambda folder: touched(next((folder / "../../text/index").resolve().glob("*.parquet"))),
    "a mapped file": lambda folder: next((folder / "opened").glob("*/table.arrow")).write_bytes(b""),
    "the memo": lambda folder: (folder / "memo" / "opened.json").write_text("{}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changed_is_looked_at_anew(change: Callable[[Path], object], folder: Path, reads: list[Path]) -> None:
    before = items(TrainingSet.open(folder))
    change(folder)
    assert items(TrainingSet.open(folder)) == before
    assert len(reads) == 1
    TrainingSet.open(folder)
    assert len(reads) == 1


def test_a_shard_that_is_gone_is_named(folder: Path) -> None:
    next((folder / "../../vae/photos").resolve().glob("*.safetensors")).unlink()
    with pytest.raises(StoreError, match="are missing or damaged"):
        TrainingSet.open(folder)


def test_all_of_it_can_be_moved_together(folder: Path, tmp_path: Path, reads: list[Path]) -> None:
    before = items(TrainingSet.open(folder))
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    assert items(TrainingSet.open(tmp_path / "elsewhere/huggingface_metadata/photos")) == before
    assert reads == []


def test_damage_that_nothing_shows_is_found_by_verify(folder: Path, reads: list[Path]) -> None:
    before = items(TrainingSet.open(folder))
    path = next((folder / "opened").glob("*/table.arrow"))
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [line.endswith("table.arrow: altered") for line in verifying.verify_tables(folder).damaged] == [True]
    assert items(TrainingSet.open(folder)) == before
    assert verifying.verify_tables(folder).damaged == []

"""A training set that was opened before is mapped, not read: it is the same, and what changed since is seen."""

import gc
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from hf_assets import files, fingerprint
from hf_assets import folder as folder_of
from hf_assets.errors import StoreError
from hf_assets.store import verifying
from hf_assets.training import TrainingSet
from hf_assets.upkeep import maintenance
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
    real = files.read_tables
    monkeypatch.setattr(files, "read_tables", lambda path, *more: paths.append(path) or real(path, *more))
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


@pytest.mark.parametrize("num_rows", [1, 2])
def test_a_table_that_comes_in_pieces_is_the_same(
    num_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, pieced = (sets.write(tmp_path / name, "photos", CAPTIONS, SHAPES, has_empty=True) for name in "ab")
    expected = TrainingSet.open(whole)
    monkeypatch.setattr(files, "READ_ROWS", num_rows)
    opened = TrainingSet.open(pieced)
    assert opened.table["row"].num_chunks > 1
    assert items(opened) == items(expected)
    assert opened.table.equals(expected.table)
    assert opened.shapes == expected.shapes
    assert opened.first_embed.tolist() == [0, 1, 4]
    for at in range(3):
        assert torch.equal(opened.empty_caption(at)["prompt_embeds"], sets.embeds_of("")["prompt_embeds"])
    assert opened.has_empty_caption
    assert opened.content == fingerprint.of_table(expected.table, ["latent_key"])  # as states of samplers have it


def spoiled(folder: Path) -> None:
    """A file where a folder is wanted: root may write everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "opened").write_text("")


def test_where_nothing_may_be_written_it_is_kept_in_the_cache_of_the_user(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))
    made = sets.write(tmp_path / "cache", "photos", CAPTIONS, SHAPES)
    spoiled(made)
    before = items(TrainingSet.open(made))
    reads.clear()
    assert items(TrainingSet.open(made)) == before
    assert reads == []
    assert not (made / "memo").exists()


def test_what_is_kept_nowhere_is_there_for_workers_and_gone_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = sets.write(tmp_path / "cache", "photos", CAPTIONS, SHAPES)
    for place in (made, folder_of.cached_memory(made)):
        spoiled(place)
    opened = TrainingSet.open(made)
    other = pickle.loads(pickle.dumps(opened))
    assert items(other) == items(opened)
    assert [path.parent for path in (opened._opened.path, other._opened.path)] == [tmp_path] * 2
    del opened
    gc.collect()
    assert [path.name for path in tmp_path.glob("hf-assets-*")] == []
    assert len(items(other)) == 9  # what is mapped stays


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


def test_garbage_collection_finds_what_is_opened_no_more(folder: Path) -> None:
    first = next((folder / "opened").iterdir()).name
    touched(folder / "training_set.parquet")
    second = TrainingSet.open(folder)._opened.path.name
    (folder / "opened" / "making-killed").mkdir()
    left = folder / "opened" / "making-killed" / "table.arrow"
    left.touch()
    later = datetime.now(UTC) + timedelta(hours=1)
    assert {Path(name).parts[1] for name in maintenance._closed(folder, later)} == {first}
    os.utime(left, (0, 0))
    assert {Path(name).parts[1] for name in maintenance._closed(folder, later)} == {first, "making-killed"}
    assert first != second

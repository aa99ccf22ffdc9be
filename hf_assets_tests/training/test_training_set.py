"""What a trainer gets: samples as they were stored, in any process, whatever goes on beside it."""

import multiprocessing
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hf_assets import files
from hf_assets.errors import StoreError
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets.training import TrainingSet
from hf_assets_tests.training import sets

# Captions per row; latents of rows 0 and 2 have one shape, row 1 another.
CAPTIONS = [["zero"], ["one", "uno", "eins"], ["two", "zero"]]
SHAPES = [[4, 8, 8], [4, 8, 16], [4, 8, 8]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The metadata folder of a dataset of three rows."""
    return sets.write(tmp_path / "cache", "photos", CAPTIONS, SHAPES)


def check(item: dict[str, Any], row: int) -> None:
    assert item["row"] == row * 10
    assert item["caption"] in CAPTIONS[row]
    assert torch.equal(item["latents"], sets.latents_of(row, SHAPES[row]))
    for name, tensor in sets.embeds_of(item["caption"]).items():
        assert torch.equal(item[name], tensor)


def test_a_sample_has_all_that_a_trainer_needs(folder: Path) -> None:
    training = TrainingSet.open(folder)
    assert len(training) == 3
    for row in range(3):
        check(training[row], row)
    tensors = {"latents", "prompt_embeds", "pooled_prompt_embeds"}
    facts = {"caption", "file", "source_path", "row", "original_size", "target_size", "crop_top_left"}
    assert training[0].keys() == tensors | facts
    assert [training[0][name] for name in ("file", "original_size", "target_size", "crop_top_left")] == [
        "0.jpg",
        [100, 80],
        [64, 64],
        [0, 8],
    ]


def test_indices_are_those_of_a_list(folder: Path) -> None:
    training = TrainingSet.open(str(folder))
    check(training[-1], 2)
    check(training[-3], 0)
    check(training[np.int64(1)], 1)  # type: ignore[index]
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"sample {index} of 3"):
            training[index]


def test_buckets_hold_every_sample_once_by_the_shape_of_its_latents(folder: Path) -> None:
    assert TrainingSet.open(folder).buckets == {(4, 8, 8): [0, 2], (4, 8, 16): [1]}


def test_captions_are_drawn_by_epoch(folder: Path) -> None:
    training = TrainingSet.open(folder)
    drawn = []
    for epoch in range(40):
        training.epoch = epoch
        for row in range(3):
            check(training[row], row)  # the embeds are the drawn caption's
        drawn.append([training[row]["caption"] for row in range(3)])
        assert drawn[-1] == [training[row]["caption"] for row in range(3)]
    again = TrainingSet.open(folder)
    again.epoch = 7
    assert [again[row]["caption"] for row in range(3)] == drawn[7]
    counts = [Counter(column) for column in zip(*drawn, strict=True)]
    assert [set(count) for count in counts] == [set(captions) for captions in CAPTIONS]
    assert min(counts[1].values()) >= 4  # of 40 draws of one in three


def test_the_empty_caption_takes_the_place_of_others_as_often_as_asked_and_always_of_the_same(tmp_path: Path) -> None:
    training = TrainingSet.open(sets.write(tmp_path / "cache", "photos", CAPTIONS, SHAPES, has_empty=True))
    assert training.has_empty_caption
    for name, tensor in sets.embeds_of("").items():
        assert torch.equal(training.empty_caption(2)[name], tensor)
    left_out = []
    for draw in range(200):
        for row in range(3):
            item = training.read(row, draw, 0.25)
            assert torch.equal(item["latents"], sets.latents_of(row, SHAPES[row]))
            for name, tensor in sets.embeds_of(item["caption"]).items():
                assert torch.equal(item[name], tensor)
            left_out.append((row, draw, item["caption"] == ""))
    again = TrainingSet.open(tmp_path / "cache/huggingface_metadata/photos")  # mapped now
    assert left_out == [(row, draw, again.read(row, draw, 0.25)["caption"] == "") for row, draw, _ in left_out]
    for row in range(3):
        assert 30 <= sum(out for at, _, out in left_out if at == row) <= 70  # of 200, of which 50 are due
    assert all(training.read(row, 7, 1.0)["caption"] == "" for row in range(3))
    assert all(training[row]["caption"] for row in range(3))


def test_without_an_embed_of_the_empty_caption_there_is_none(folder: Path) -> None:
    training = TrainingSet.open(folder)
    assert not training.has_empty_caption
    with pytest.raises(StoreError, match="the empty caption has no embed"):
        training.empty_caption()
    with pytest.raises(StoreError, match="materialize text_embeds and training_set again"):
        training.read(0, 0, 1.0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_data_loader_read_the_same(method: str, folder: Path) -> None:
    training = TrainingSet.open(folder)
    training[0]  # maps a shard in this process
    loader = DataLoader(
        training, batch_size=None, num_workers=2, multiprocessing_context=method, persistent_workers=True
    )
    captions = []
    for epoch in range(2):
        training.epoch = epoch
        items = list(loader)
        for row, item in enumerate(items):
            check(item, row)
        captions.append([item["caption"] for item in items])
        assert captions[-1] == [training[row]["caption"] for row in range(3)]
    training.epoch = next(
        epoch for epoch in range(2, 50) if _captions(training, epoch) != captions[0]
    )  # workers that live on see a new epoch
    assert [item["caption"] for item in loader] == _captions(training, training.epoch) != captions[0]


def _captions(training: TrainingSet, epoch: int) -> list[str]:
    training.epoch = epoch
    return [training[row]["caption"] for row in range(3)]


def test_a_moved_cache_is_read_where_it_lies(folder: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "cache", tmp_path / "elsewhere")
    training = TrainingSet.open(tmp_path / "elsewhere/huggingface_metadata/photos")
    for row in range(3):
        check(training[row], row)


def test_a_relative_folder_may_be_opened_and_left(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = TrainingSet.open("cache/huggingface_metadata/photos")
    monkeypatch.chdir("/")
    check(training[1], 1)


def test_it_stays_as_it_was_opened_while_a_run_writes(folder: Path, tmp_path: Path) -> None:
    training = TrainingSet.open(folder)
    table = files.read_table(folder / "training_set.parquet")
    assert table is not None
    files.write_table(folder / "training_set.parquet", table.slice(0, 1))
    TensorStore(tmp_path / "cache/vae/photos").write([Sample("photos0", {"latents": torch.zeros(1)})], {})
    for row in range(3):
        check(training[row], row)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("huggingface_metadata/photos/training_set.parquet", "materialize the training_set"),
        ("vae/photos", "3 of 3 tensors of .*vae.photos are missing or damaged: materialize"),
        ("text", "5 of 5 tensors of .*text are missing or damaged: materialize"),
    ],
)
def test_what_is_missing_is_named(lost: str, message: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / lost).rename(tmp_path / "lost")
    with pytest.raises(StoreError, match=message):
        TrainingSet.open(folder)


def test_reading_needs_no_dagster_and_no_encoders(folder: Path) -> None:
    script = (
        "import sys; from hf_assets.training import TrainingSet; TrainingSet.open(sys.argv[1])[0]; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'dagster', 'diffusers', 'transformers', "
        "'datasets', 'huggingface_hub', 'pydantic', 'PIL'}))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reader_works_in_a_folder_that_it_may_not_write_to(folder: Path, tmp_path: Path) -> None:
    """Moved shards are hashed, and that can't be remembered there."""
    shutil.copytree(tmp_path / "cache", tmp_path / "copy", copy_function=shutil.copyfile)
    context = multiprocessing.get_context("fork")
    index = tmp_path / "copy/vae/photos/index"
    reader = context.Process(target=_read_without_right_to, args=(index, tmp_path / "copy/huggingface_metadata/photos"))
    reader.start()
    reader.join()
    assert reader.exitcode == 0
    assert not (index / ".verified.json").exists()


def _read_without_right_to(folder: Path, metadata: Path) -> None:
    import tempfile

    make = tempfile.mkstemp

    def refuse(**arguments: Any) -> Any:
        if Path(arguments["dir"]) == folder:
            raise PermissionError(13, "Permission denied")
        return make(**arguments)

    tempfile.mkstemp = refuse  # type: ignore[assignment]  # root may write anywhere
    check(TrainingSet.open(metadata)[0], 0)

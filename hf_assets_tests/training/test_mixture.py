"""Mixtures as a trainer has them: opened from a config, read through a plain `DataLoader`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from hf_assets.config.training_part import Part
from hf_assets.errors import ConfigError, StoreError
from hf_assets.training import Batch, Mixture, TrainingSet, collate
from hf_assets_tests.training import sets

TALL, WIDE = [4, 16, 8], [4, 8, 16]
PHOTOS = [["zero"], ["one", "uno", "eins"], ["two", "zero"], ["three"], ["four"], ["five"], ["six"]]
DRAWINGS = [["a house", "a hut"], ["a tree"], ["a boat"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config file and the training sets that its datasets made: 7 photos in two buckets, and 3 drawings."""
    sets.write(tmp_path / "cache/photos", "photos", PHOTOS, [TALL, WIDE, TALL, TALL, WIDE, TALL, TALL])
    sets.write(tmp_path / "cache/drawings", "drawings", DRAWINGS, [WIDE] * 3)
    return write_config(tmp_path)


def write_config(folder: Path, **drawings: Any) -> Path:
    entries = [
        {"id": name, "type": "huggingface", "dataset_name": f"user/{name}", "train_batch_size": 2}
        for name in ("photos", "drawings")
    ]
    entries[1].update(drawings)
    file = folder / "datasets.json"
    file.write_text(json.dumps({"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": entries}))
    return file


def check(sample: dict[str, Any], mixture: Mixture) -> None:
    """It is a row of its dataset, and all of it is this row's."""
    captions = {"photos": PHOTOS, "drawings": DRAWINGS}[sample["dataset"]][sample["row"] // 10]
    assert sample["caption"] in captions
    assert torch.all(sample["latents"] == sample["row"] // 10)
    assert torch.equal(sample["prompt_embeds"], sets.embeds_of(sample["caption"])["prompt_embeds"])


def rows_of(batch: dict[str, Any]) -> list[tuple[str, int]]:
    return list(zip(batch["dataset"], batch["row"], strict=True))


def test_a_mixture_is_its_sets_one_after_the_other(config: Path) -> None:
    mixture = Mixture.from_config(config)
    assert len(mixture) == 10
    for index in range(10):
        check(mixture[index], mixture)
    assert [mixture.locate(index) for index in (0, 6, 7, 9, -1)] == [
        ("photos", 0),
        ("photos", 6),
        ("drawings", 0),
        ("drawings", 2),
        ("drawings", 2),
    ]
    for index in (10, -11):
        with pytest.raises(IndexError, match=f"sample {index} of 10"):
            mixture[index]


def test_a_changed_value_for_the_trainer_is_seen_without_a_run(config: Path) -> None:
    assert Mixture.from_config(config).parts["drawings"] == Part(train_batch_size=2)
    write_config(config.parent, probability=0.25, repeats=3, is_regularisation_data="true", slider_strength=0.5)
    mixture = Mixture.from_config(str(config))
    part = mixture.parts["drawings"]
    assert (part.probability, part.repeats, part.is_regularisation_data) == (0.25, 3, True)
    assert part.others == {"slider_strength": 0.5}
    assert [mixture[index]["is_regularisation_data"] for index in (0, 9)] == [False, True]


def with_empty_caption(folder: Path) -> Path:
    """The config, with training sets in which the empty caption has an embed."""
    sets.write(folder / "again/photos", "photos", PHOTOS, [TALL, WIDE, TALL, TALL, WIDE, TALL, TALL], has_empty=True)
    sets.write(folder / "again/drawings", "drawings", DRAWINGS, [WIDE] * 3, has_empty=True)
    return folder / "again"


def dropped(mixture: Mixture, epochs: int) -> dict[str, list[tuple[int, int, int]]]:
    """Of each dataset, the (epoch, step, row) of samples with the empty caption."""
    found: dict[str, list[tuple[int, int, int]]] = {name: [] for name in mixture.sets}
    batches = mixture.batches(batch_size=2)
    loader = DataLoader(mixture, batch_sampler=batches, collate_fn=collate)
    for _ in range(epochs):
        for batch in loader:
            for at, caption in enumerate(batch["caption"]):
                expected = sets.embeds_of(caption)["prompt_embeds"]
                assert torch.equal(batch["prompt_embeds"][at], expected)
                if not caption:
                    found[batch["dataset"][at]].append((batch["epoch"][at], batch["step"][at], batch["row"][at]))
    return found


def test_captions_are_left_out_with_the_probability_of_each_dataset(tmp_path: Path) -> None:
    folder = with_empty_caption(tmp_path)
    one = {name: TrainingSet.open(folder / name / "huggingface_metadata" / name) for name in ("photos", "drawings")}
    parts = {"photos": Part(caption_dropout_probability=0.25)}
    mixture = Mixture(one, parts)
    assert mixture.caption_dropout == {"photos": 0.25, "drawings": 0.0}
    found = dropped(mixture, 60)
    assert found["drawings"] == []
    assert 70 <= len(found["photos"]) <= 140  # of 420, of which 105 are due
    assert len({row for _, _, row in found["photos"]}) == 7
    assert dropped(Mixture(one, parts), 60) == found
    assert {name: len(rows) for name, rows in dropped(Mixture(one, parts, caption_dropout=1), 2).items()} == {
        "photos": 14,
        "drawings": 6,
    }
    assert dropped(Mixture(one, parts, caption_dropout=0), 2) == {"photos": [], "drawings": []}
    with pytest.raises(ConfigError, match=r"caption_dropout is 1.5; write 0 to 1"):
        Mixture(one, caption_dropout=1.5)


def test_captions_are_left_out_as_the_config_says(config: Path) -> None:
    write_config(config.parent, caption_dropout_probability="0.5")
    with pytest.raises(StoreError, match=r"^drawings: the empty caption has no embed"):
        Mixture.from_config(config)
    assert Mixture.from_config(config, caption_dropout=0).parts["drawings"].caption_dropout_probability == 0.5
    write_config(config.parent, caption_dropout_probability=1.5)
    with pytest.raises(ConfigError, match=r"caption_dropout_probability: is 1.5; write 1 or less"):
        Mixture.from_config(config)


def test_a_saved_state_is_the_same_whatever_captions_are_left_out(tmp_path: Path) -> None:
    folder = with_empty_caption(tmp_path)
    one = {"photos": TrainingSet.open(folder / "photos/huggingface_metadata/photos")}
    state = Mixture(one).batches().state_dict()
    Mixture(one, caption_dropout=0.5).batches().load_state_dict(state)
    Mixture(one, {"photos": Part(caption_dropout_probability=0.5)}).batches().load_state_dict(state)


def test_the_config_is_found_as_elsewhere(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ASSETS_CONFIG", str(config))
    assert len(Mixture.from_config()) == 10


def test_what_takes_no_part_needs_no_training_set(config: Path) -> None:
    for edit in ({"probability": 0}, {"disabled": True}):
        write_config(config.parent, id="not-made-yet", **edit)
        assert list(Mixture.from_config(config).sets) == ["photos"]
    write_config(config.parent, id="not-made-yet")
    with pytest.raises(StoreError, match=r"not-made-yet.training_set\.parquet is missing"):
        Mixture.from_config(config)


def test_an_empty_training_set_is_refused(config: Path, tmp_path: Path) -> None:
    empty = TrainingSet.open(sets.write(tmp_path / "empty", "empty", [], []))
    with pytest.raises(StoreError, match="the training set of drawings is empty"):
        Mixture({"drawings": empty})


def test_a_part_of_no_set_is_refused(config: Path) -> None:
    photos = Mixture.from_config(config).sets["photos"]
    with pytest.raises(ConfigError, match="no training set fotos: known are photos"):
        Mixture({"photos": photos}, {"fotos": Part()})


WORKERS = [
    pytest.param({"num_workers": 0}, id="none"),
    *(
        pytest.param(
            {"num_workers": 2, "multiprocessing_context": method, "persistent_workers": persistent},
            id=f"{method}{'-persistent' * persistent}",
        )
        for method, persistent in (("fork", False), ("fork", True), ("spawn", True))
    ),
]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_plain_data_loader_reads_whole_epochs(workers: dict[str, Any], config: Path) -> None:
    mixture = Mixture.from_config(write_config(config.parent, repeats=1))
    loader = DataLoader(mixture, batch_sampler=mixture.batches(seed=1), collate_fn=collate, **workers)
    expected = mixture.batches(seed=1)
    drawn = []
    for epoch in range(4):
        batches = list(loader)
        assert len(batches) == len(loader) == 4 + 2 * 2
        assert [rows_of(batch) for batch in batches] == [
            [(name, position * 10) for name, position in map(mixture.locate, batch)] for batch in expected
        ]
        for step, batch in enumerate(batches):
            assert batch["step"] == [step] * len(batch["row"])
            assert set(batch["epoch"]) == {epoch}
            assert len(set(batch["dataset"])) == 1
            for number in range(len(batch["row"])):
                check({name: values[number] for name, values in batch.items()}, mixture)
        drawn += [text for batch in batches for text in batch["caption"] if text in DRAWINGS[0]]
    assert len(drawn) == 8
    assert set(drawn) == set(DRAWINGS[0])  # also those that live on draw anew


def test_captions_are_drawn_anew_at_each_pass(config: Path) -> None:
    mixture = Mixture.from_config(write_config(config.parent, repeats=99))
    drawn = Counter(
        item["caption"]
        for batch in mixture.batches()
        for item in mixture.__getitems__(batch)
        if item["dataset"] == "drawings" and item["row"] == 0
    )
    assert sum(drawn.values()) == 100
    assert min(drawn["a house"], drawn["a hut"]) > 30


def test_a_batch_of_plain_indices_is_read_too(config: Path) -> None:
    mixture = Mixture.from_config(config)
    (batch,) = DataLoader(mixture, batch_sampler=[[7, 9]], collate_fn=collate)
    assert rows_of(batch) == [("drawings", 0), ("drawings", 20)]
    assert "step" not in batch


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_goes_on_after_the_last_batch_that_was_trained_on(num_workers: int, config: Path) -> None:
    mixture = Mixture.from_config(config)

    def loader_of(sampler: Any) -> Any:
        return DataLoader(
            mixture,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers else None,
        )

    whole = [rows_of(batch) for batch in loader_of(mixture.batches(seed=2))]
    sampler = mixture.batches(seed=2)
    for number, batch in enumerate(loader_of(sampler)):
        if number == 2:
            state = sampler.state_dict(after=batch)  # workers have asked for more than these three
            break
    resumed = mixture.batches(seed=2)
    resumed.load_state_dict(state)
    assert [rows_of(batch) for batch in loader_of(resumed)] == whole[3:]
    assert resumed.epoch == 1


def test_a_changed_training_set_is_noticed(config: Path, tmp_path: Path) -> None:
    state = Mixture.from_config(config).batches().state_dict()
    sets.write(tmp_path / "cache/drawings", "drawings", DRAWINGS[:2], [WIDE] * 2)
    with pytest.raises(ConfigError, match="another dataset drawings"):
        Mixture.from_config(config).batches().load_state_dict(state)


def test_a_batch_keeps_its_place_on_the_way_to_a_worker() -> None:
    import pickle

    batch = Batch([1, 2])
    batch.dataset, batch.draw, batch.epoch, batch.step = "photos", 3, 1, 5
    again = pickle.loads(pickle.dumps(batch))
    assert (list(again), vars(again)) == ([1, 2], vars(batch))


def test_a_worker_reads_into_memory_that_the_trainer_shares(config: Path) -> None:
    mixture = Mixture.from_config(config)
    for batch in DataLoader(mixture, batch_sampler=mixture.batches(), collate_fn=_collate_noting, num_workers=1):
        assert batch["was_shared"] is (len(batch["row"]) > 1)


def _collate_noting(samples: list[dict[str, Any]]) -> dict[str, Any]:
    batch = collate(samples)
    read = [value for value in batch.values() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    return {**batch, "was_shared": all(tensor.is_shared() for tensor in read)}

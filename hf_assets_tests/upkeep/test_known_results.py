"""What came of checks is said again where nothing of it can have changed, and else looked at."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from hf_assets import files, schema
from hf_assets import folder as places
from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.store.memo import Memo, save, state_of
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets.upkeep import check_results
from hf_assets.upkeep.check_results import CheckResult
from hf_assets.upkeep.known_results import LOOKED_AT, known_or_new

KEYS = ["0" * 32, "1" * 32]


@pytest.fixture
def made(tmp_path: Path) -> Recipe:
    """A training set of two samples, of which one's latent isn't stored."""
    entry = {"id": "photos", "type": "huggingface", "dataset_name": "user/photos", "cache_dir": str(tmp_path / "cache")}
    entry["error_budget"] = 0.1
    file = tmp_path / "datasets.json"
    file.write_text(json.dumps({"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [entry]}))
    (recipe,) = loading.load(file).recipes
    columns = {
        "latent_key": KEYS,
        "embed_keys": [[KEYS[0]]] * 2,
        "empty_caption_key": [KEYS[0]] * 2,
        "media_hash": KEYS,
    }
    table = places.table(recipe.folders.metadata, "training_set")
    table.parent.mkdir(parents=True)
    files.write_table(table, pa.table(columns))
    for name in LOOKED_AT["training_set"]:
        save(recipe.folders.metadata, name, Memo(name, {}, "", {}, (), {}))
    _store(recipe.folders.embeds, KEYS[0])
    _store(recipe.folders.latents, KEYS[0])
    return recipe


def _store(folder: Path, key: str) -> None:
    TensorStore(folder).write([Sample(key, {"values": torch.ones(2)})], {})


def _fail(recipe: Recipe, stage: str, row: int) -> None:
    """Note that a sample failed."""
    said = {"row": row, "address": "a#7", "stage": stage, "reason": "broken", "message": "it is broken"}
    failed = pa.Table.from_pylist([said], schema=schema.QUARANTINE)
    files.write_table(places.quarantined(recipe.folders.metadata, stage), failed)


@pytest.fixture
def looked(made: Recipe) -> Callable[..., tuple[list[CheckResult], bool]]:
    """What is said of the training set, and whether it was looked at for it."""

    def known(settings: object = "settings") -> tuple[list[CheckResult], bool]:
        looks: list[None] = []

        def look() -> list[CheckResult]:
            looks.append(None)
            return check_results.training_set(made)

        return known_or_new(made, "training_set", settings, look), bool(looks)

    return known


def test_a_failure_whose_files_are_as_they_were_is_said_again_without_a_look(looked, made):
    first, was_looked = looked()
    assert was_looked
    assert {one.name: one.passed for one in first} == {"coverage": False, "duplicates": True, "error_budget": True}
    assert looked() == (first, False)
    assert looked("other limits") == (first, True)


def test_a_failure_is_looked_at_again_once_a_store_or_a_table_changes(looked, made):
    looked()
    _fail(made, "vae_latents", row=7)
    after, was_looked = looked()
    assert (was_looked, {one.name for one in after if not one.passed}) == (True, {"coverage", "error_budget"})
    assert looked() == (after, False)
    _store(made.folders.latents, KEYS[1])  # as another dataset's run may do
    after, was_looked = looked()
    assert (was_looked, {one.name for one in after if not one.passed}) == (True, {"error_budget"})
    assert looked() == (after, False)


def test_what_passes_does_not_depend_on_other_datasets_shards(looked, made):
    _store(made.folders.latents, KEYS[1])
    first, _ = looked()
    _store(made.folders.embeds, "2" * 32)
    assert looked() == (first, False)


def test_rows_that_could_not_be_read_count_once_they_are_noted(looked, made):
    _store(made.folders.latents, KEYS[1])
    looked()
    _fail(made, "raw_dataset", row=-1)
    after, was_looked = looked()
    assert (was_looked, {one.name for one in after if not one.passed}) == (True, {"error_budget"})


def test_a_damaged_index_is_looked_at_each_time_since_mended_it_may_have_its_time(looked, made):
    _store(made.folders.latents, KEYS[1])
    part = sorted((made.folders.latents / "index").glob("*.parquet"))[0]
    whole, status = part.read_bytes(), part.stat()

    def write(data: bytes) -> None:
        part.write_bytes(data)
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))

    write(whole[:-1] + bytes([whole[-1] ^ 1]))
    state = state_of(part)
    assert not {one.name: one.passed for one in looked()[0]}["coverage"]
    write(whole)
    assert state_of(part) == state
    after, was_looked = looked()
    assert (was_looked, {one.name: one.passed for one in after}["coverage"]) == (True, True)

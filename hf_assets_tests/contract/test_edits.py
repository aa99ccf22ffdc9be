"""The contract: what each edit may cost, and that the training set is then the one that a build from scratch makes."""

import copy
import os
from collections.abc import Callable

import pytest

from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import (
    EDITS,
    Edit,
    change_caption_column,
    change_dtype,
    change_resolution,
    crop_to_square,
    other_vae_repository,
    tighten_filter,
)
from hf_assets_tests.contract.media import MEDIA
from hf_assets_tests.contract.world import World

# `make soak` tries every edit for every kind of media.
TRIES_ALL = os.environ.get("HF_ASSETS_ALL_EDITS") == "1"

TRIED = [
    pytest.param(kind, edit, id=f"{kind} {edit.number} {edit.name}")
    for kind, medium in MEDIA.items()
    for edit in EDITS
    if kind in edit.kinds and (TRIES_ALL or medium.edits is None or edit.number in medium.edits)
]


@pytest.mark.parametrize(("first", "edit"), TRIED, indirect=["first"])
def test_an_edit_costs_exactly_what_changed(
    edit: Edit, world: World, models: Models, scratch: Callable[[World], World]
) -> None:
    edit.apply(world, models.of(world.medium.family))
    counts = world.materialize()
    assert counts.encoded == edit.cost(world)
    world.check()
    assert world.contents() == scratch(world).contents()
    if not edit.reads_media:
        assert counts.metadata["buckets"]["bytes_read"] == counts.metadata["vae_latents"]["bytes_read"] == 0


UNDOABLE = [
    edit
    for edit in EDITS
    if edit.apply
    in (tighten_filter, change_caption_column, change_resolution, crop_to_square, other_vae_repository, change_dtype)
]


@pytest.mark.parametrize("edit", UNDOABLE, ids=lambda edit: f"{edit.number} {edit.name}")
def test_21_an_edit_undone_costs_nothing(edit: Edit, world: World, models: Models) -> None:
    before = world.contents()
    rows, config, vae_folder = world.rows, world.config, world.vae_folder
    world.config = copy.deepcopy(config)
    edit.apply(world, models)
    world.materialize()
    world.rows, world.config, world.vae_folder = rows, config, vae_folder
    assert world.materialize().encoded == (0, 0)
    assert world.contents() == before
    world.check()


@pytest.mark.parametrize(
    "gpu", [{"batch_size": 1}, {"batch_size": 7, "decode_threads": 5, "unit_samples": 1}, {"device": "cpu"}]
)
def test_20_device_batch_size_and_workers_cost_nothing(gpu: dict[str, object], world: World) -> None:
    assert world.materialize(run_config={"resources": {"gpu": {"config": gpu}}}).encoded == (0, 0)

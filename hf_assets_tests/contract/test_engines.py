"""Which engine ran is visible nowhere in the result: Ray actors make what one process makes, at the same cost."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_assets import folder
from hf_assets_tests.contract.conftest import ALL_EMBEDS, ALL_LATENTS, Models
from hf_assets_tests.contract.edits import EDITS, Edit
from hf_assets_tests.contract.image_rows import Row
from hf_assets_tests.contract.world import World
from hf_assets_tests.ray_session import local_ray

TRIES_ALL = os.environ.get("HF_ASSETS_ALL_EDITS") == "1"
ON_RAY: dict[str, Any] = {
    "resources": {"gpu": {"config": {"batch_size": 2, "engine": {"ray": {"workers": 2, "cpus": 1}}}}}
}
# `make soak` tries every edit.
WALK = [edit for edit in EDITS if "image" in edit.kinds and (TRIES_ALL or edit.number in ("3", "8", "9"))]


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with local_ray(num_cpus=2):
        yield


def test_ray_makes_what_this_process_makes_and_each_finds_nothing_to_do_after_the_other(
    world: World, tmp_path: Path
) -> None:
    fresh = World(tmp_path / "ray", world.hub, world.dataset, world.config, list(world.rows), world.medium)
    fresh.pipeline_folder, fresh.vae_folder = world.pipeline_folder, world.vae_folder
    counts = fresh.materialize(run_config=ON_RAY)
    assert counts.encoded == (ALL_LATENTS, ALL_EMBEDS)
    assert counts.metadata["vae_latents"]["bytes_read"] > 0
    fresh.check()
    assert fresh.contents() == world.contents()
    drawn = [{path.name for path in folder.decoded(one.metadata_folder).iterdir()} for one in (fresh, world)]
    assert drawn[0] == drawn[1]
    assert fresh.materialize().encoded == world.materialize(run_config=ON_RAY).encoded == (0, 0)


@pytest.mark.parametrize("edit", WALK, ids=lambda edit: edit.name)
def test_an_edit_costs_the_same_on_ray(edit: Edit, world: World, models: Models) -> None:
    edit.apply(world, models)
    assert world.materialize(run_config=ON_RAY).encoded == edit.cost(world)
    world.check()
    assert world.materialize().encoded == (0, 0)


def test_a_sample_that_fails_is_quarantined_on_ray_too(world: World) -> None:
    cut = world.medium.another(301)[:-900]
    world.push([*world.rows, Row(cut, "cut", world.rows[0].columns)])
    counts = world.materialize(run_config=ON_RAY)
    assert counts.metadata["vae_latents"]["quarantined"] == 1
    assert len(world.training_set()) == len(world.rows) - 1
    world.check()

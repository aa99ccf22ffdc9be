"""Engine and store are visible nowhere in the result: what Ray actors make in a bucket is what one process makes on a
disk, at the same cost.

`test_edits` tries every edit in this process on a disk. Here each is tried on Ray in a bucket, so that every edit meets
every engine and every store; `make soak` tries the whole product.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_assets import folder
from hf_assets_tests import s3_server
from hf_assets_tests.contract.conftest import ALL_EMBEDS, ALL_LATENTS, Models
from hf_assets_tests.contract.edits import EDITS, Edit
from hf_assets_tests.contract.image_rows import Row
from hf_assets_tests.contract.test_upkeep import command
from hf_assets_tests.contract.world import World
from hf_assets_tests.ray_session import local_ray
from hf_assets_tests.s3_server import S3Server

TRIES_ALL = os.environ.get("HF_ASSETS_ALL_EDITS") == "1"
RUN_CONFIGS: dict[str, dict[str, Any]] = {
    "process": {},
    "ray": {"resources": {"gpu": {"config": {"batch_size": 2, "engine": {"ray": {"workers": 2, "cpus": 1}}}}}},
}
STORES = ("disk", "s3")
PAIRS = [("ray", "s3")] if not TRIES_ALL else [("process", "s3"), ("ray", "disk"), ("ray", "s3")]
WALK = [
    pytest.param(engine, store, edit, id=f"{engine} {store} {edit.number} {edit.name}")
    for engine, store in PAIRS
    for edit in EDITS
    if "image" in edit.kinds
]


@pytest.fixture(scope="module", autouse=True)
def _ray(s3_process: S3Server) -> Iterator[None]:
    """Actors have the environment that Ray was started in."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment(s3_process).items():
            patch.setenv(name, value)
        with local_ray(num_cpus=2):
            yield


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str | None:
    """Where a cache lies: an address, or None for the disk."""
    address: str | None = request.getfixturevalue("address") if request.param == "s3" else None
    return address


@pytest.fixture
def placed(world: World, store: str | None) -> World:
    """A copy of the materialized dataset, in this store."""
    return world.move_to(store) if store else world


def planned(world: World) -> tuple[int, int]:
    """What the plan says that would be encoded."""
    content = command(world, "plan", "--json").json["photos"]
    latents, embeds = (sum(content[stage]["compute"].values()) for stage in ("vae_latents", "text_embeds"))
    return latents, embeds


@pytest.mark.parametrize("store", STORES, indirect=True)
def test_ray_makes_what_this_process_makes_and_each_finds_nothing_to_do_after_the_other(
    store: str | None, world: World, tmp_path: Path
) -> None:
    fresh = World(tmp_path / "ray", world.hub, world.dataset, world.config, list(world.rows), world.medium)
    fresh.pipeline_folder, fresh.vae_folder = world.pipeline_folder, world.vae_folder
    if store:
        fresh.move_to(store)
    counts = fresh.materialize(run_config=RUN_CONFIGS["ray"])
    assert counts.encoded == (ALL_LATENTS, ALL_EMBEDS)
    assert counts.metadata["vae_latents"]["bytes_read"] > 0
    fresh.check()
    assert fresh.contents() == world.contents()
    if store is None:
        drawn = [{path.name for path in folder.decoded(one.metadata_folder).iterdir()} for one in (fresh, world)]
        assert drawn[0] == drawn[1]
    assert fresh.materialize().encoded == world.materialize(run_config=RUN_CONFIGS["ray"]).encoded == (0, 0)


def test_actors_that_decode_for_others_change_nothing(world: World, tmp_path: Path) -> None:
    fresh = World(tmp_path / "ray", world.hub, world.dataset, world.config, list(world.rows), world.medium)
    fresh.pipeline_folder, fresh.vae_folder = world.pipeline_folder, world.vae_folder
    ray = {"workers": 1, "cpus": 1, "decoders": 1, "decoder_cpus": 1}
    counts = fresh.materialize(run_config={"resources": {"gpu": {"config": {"engine": {"ray": ray}}}}})
    assert counts.encoded == (ALL_LATENTS, ALL_EMBEDS)
    fresh.check()
    assert fresh.contents() == world.contents()


@pytest.mark.parametrize(("engine", "store", "edit"), WALK, indirect=["store"])
def test_an_edit_costs_the_same_with_every_engine_in_every_store(
    engine: str, edit: Edit, placed: World, models: Models
) -> None:
    edit.apply(placed, models)
    placed.definitions()  # writes the config
    foretold = planned(placed)
    counts = placed.materialize(run_config=RUN_CONFIGS[engine])
    assert counts.encoded == edit.cost(placed)
    assert foretold[1] == counts.encoded[1]
    assert foretold[0] >= counts.encoded[0]  # media that no run has read count as to be encoded
    placed.check()


@pytest.mark.parametrize("store", STORES, indirect=True)
def test_a_sample_that_fails_is_quarantined_on_ray_too_and_tried_again_when_asked(placed: World) -> None:
    world = placed
    cut = world.medium.another(301)[:-900]
    world.push([*world.rows, Row(cut, "cut", world.rows[0].columns)])
    counts = world.materialize(run_config=RUN_CONFIGS["ray"])
    assert counts.metadata["vae_latents"]["quarantined"] == 1
    assert len(world.training_set()) == len(world.rows) - 1
    world.check()
    assert command(world, "quarantine", "--retry").code == 0
    assert planned(world) == (1, 0)
    counts = world.materialize(run_config=RUN_CONFIGS["ray"])
    assert (counts.encoded, counts.metadata["vae_latents"]["quarantined"]) == ((0, 0), 1)

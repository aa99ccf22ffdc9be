"""Engines and stores together: whichever of each is taken, an edit costs the same and makes the same.

Here one walk through edits with both others than the usual; `make soak` takes every edit with each engine and store.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_assets_tests import s3_server
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import EDITS, Edit, append_file, change_media, loosen_filter
from hf_assets_tests.contract.test_engines import ON_RAY
from hf_assets_tests.contract.test_plan import planned
from hf_assets_tests.contract.world import World
from hf_assets_tests.ray_session import local_ray
from hf_assets_tests.s3_server import S3Server

PRODUCT = [
    pytest.param(engine, store, edit, id=f"{engine} {store} {edit.number} {edit.name}")
    for engine in ("process", "ray")
    for store in ("disk", "s3")
    for edit in EDITS
    if "image" in edit.kinds and os.environ.get("HF_ASSETS_ALL_EDITS") == "1"
]


@pytest.fixture(scope="module", autouse=True)
def _ray(s3_process: S3Server) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment(s3_process).items():
            patch.setenv(name, value)  # what Ray's processes find
        with local_ray(num_cpus=2):
            yield


@pytest.fixture(autouse=True)
def _a_cache_of_this_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))


def sums(world: World) -> tuple[int, int]:
    plan = planned(world)
    latents, embeds = (sum(plan[side]["compute"].values()) for side in ("vae_latents", "text_embeds"))
    return latents, embeds


def test_a_walk_through_edits_on_ray_in_a_bucket_is_the_one_in_this_process_on_a_disk(
    world: World, models: Models, address: str, tmp_path: Path
) -> None:
    twin = world.copy(tmp_path / "twin")
    walked = world.move_to(address)
    walked.run_config = ON_RAY
    for edit in (append_file, change_media, loosen_filter):
        edit(walked, models)
        most = sums(walked)
        encoded = walked.materialize().encoded
        assert all(
            made <= planned for made, planned in zip(encoded, most, strict=True)
        )  # of media that no run has read, a plan gives the most
        assert sums(walked) == (0, 0)
    twin.rows = walked.rows
    twin.entry["filter_func"] = walked.entry["filter_func"]
    twin.materialize()
    assert walked.contents() == twin.contents()
    walked.check()
    assert walked.materialize(run_config={}).encoded == (0, 0)


@pytest.mark.parametrize(("engine", "store", "edit"), PRODUCT)
def test_every_edit_costs_the_same_on_each_engine_in_each_store(
    engine: str,
    store: str,
    edit: Edit,
    world: World,
    models: Models,
    request: pytest.FixtureRequest,
    scratch: Callable[[World], World],
) -> None:
    if store == "s3":
        world.move_to(request.getfixturevalue("address"))
    world.run_config = ON_RAY if engine == "ray" else {}
    edit.apply(world, models)
    assert world.materialize().encoded == edit.cost(world)
    assert world.contents() == scratch(world).contents()
    world.check()

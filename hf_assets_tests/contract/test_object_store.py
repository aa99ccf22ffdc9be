"""The contract with everything that is kept in an object store: same bytes, same plan, nothing lost."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from hf_assets import blobs as places
from hf_assets.blobs import ObjectPath, object_client
from hf_assets.errors import StoreError
from hf_assets.store.tensors import TensorStore, shard_name
from hf_assets_tests.contract.conftest import ALL_EMBEDS, ALL_LATENTS, Models
from hf_assets_tests.contract.edits import change_caption_column, crop_to_square, tighten_filter
from hf_assets_tests.contract.image_rows import files_of
from hf_assets_tests.contract.test_upkeep import ALL, command
from hf_assets_tests.contract.world import World
from hf_assets_tests.s3_server import S3Server


@pytest.fixture(autouse=True)
def _a_cache_of_this_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))


@pytest.fixture
def stored(world: World, address: str) -> World:
    """A copy of the materialized dataset, with its cache moved into a bucket."""
    return world.move_to(address)


def latents_of(world: World) -> ObjectPath:
    return ObjectPath(world.entry["cache_dir"]) / "vae" / "photos"


def plan(world: World) -> dict[str, Any]:
    content: dict[str, Any] = command(world, "plan", "--json").json["photos"]
    return content


def test_a_cache_that_moved_into_a_bucket_costs_nothing(stored: World) -> None:
    before = stored.runs[-1].versions if stored.runs else {}
    expected = {
        stage: {"reuse": number, "compute": {}, "quarantined": 0}
        for stage, number in (("vae_latents", ALL_LATENTS), ("text_embeds", ALL_EMBEDS))
    }
    assert {stage: plan(stored)[stage] for stage in expected} == expected
    counts = stored.materialize()
    assert counts.encoded == (0, 0)
    assert counts.metadata["vae_latents"]["bytes_read"] == 0
    assert not before or counts.versions == before
    assert command(stored, "quarantine").out.startswith("photos: ")


def test_a_build_from_scratch_in_a_bucket_is_the_one_on_a_disk(first: World, address: str, tmp_path: Path) -> None:
    fresh = World(tmp_path / "fresh", first.hub, first.dataset, first.config, list(first.rows), first.medium)
    fresh.pipeline_folder, fresh.vae_folder = first.pipeline_folder, first.vae_folder
    counts = fresh.move_to(address).materialize()
    assert counts.encoded == (ALL_LATENTS, ALL_EMBEDS)
    assert fresh.contents() == first.contents()
    fresh.check()
    assert not (fresh.folder / "cache").exists()  # nothing but what saves time lies on this machine
    assert not list((tmp_path / "machine").rglob("*.safetensors"))


def test_edits_garbage_and_damage_cost_in_a_bucket_what_they_cost_on_a_disk(
    world: World, models: Models, address: str, tmp_path: Path
) -> None:
    twin = world.copy(tmp_path / "twin")
    stored = world.move_to(address)
    for edit in (change_caption_column, tighten_filter, crop_to_square):
        edit(stored, models)
        twin.config["datasets"][0] |= {key: stored.entry[key] for key in stored.entry if key != "cache_dir"}
        twin.rows = stored.rows
        planned = plan(stored)
        counts = stored.materialize()
        assert counts.encoded == twin.materialize().encoded
        assert counts.encoded == tuple(
            sum(planned[side]["compute"].values()) for side in ("vae_latents", "text_embeds")
        )
        assert stored.contents() == twin.contents()
    store = TensorStore(latents_of(stored))
    with store.in_use(stored.metadata_folder):
        refused = command(stored, "gc", *ALL, "--json")
    assert (refused.code, refused.errors) == (1, f"a run is using {store.folder}: try again when it is done\n")
    done = command(stored, "gc", *ALL, "--json")
    assert done.code == 0
    assert sum(folder["freed_bytes"] for folder in done.json.values()) > 0
    shard = max(store.present())
    num_samples = len({row["key"] for row in store.index().to_pylist() if row["shard"] == shard})
    data = bytearray(store.blobs.get(shard_name(shard)))
    data[-1] ^= 1
    store.blobs.put(shard_name(shard), bytes(data))
    verified = command(stored, "verify")
    assert verified.code == 1
    assert f"{shard_name(shard)}: altered" in verified.out
    assert stored.materialize().encoded == (num_samples, 0)
    stored.check()


def test_a_data_loader_with_workers_reads_from_a_bucket_and_the_second_time_from_this_machine(
    stored: World, s3: S3Server
) -> None:
    training = stored.training_set()
    alone = [training[index]["latents"] for index in range(len(training))]
    s3.fail()
    loader = DataLoader(stored.training_set(), batch_size=None, num_workers=2, multiprocessing_context="fork")
    together = [item["latents"] for item in loader]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not [request for request in s3.requests if request.endswith(".safetensors")]


def test_a_bucket_that_is_full_stops_a_run_with_one_line_and_nothing_is_lost(
    stored: World, models: Models, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "RETRIES", 1)
    object_client.open_bucket.cache_clear()
    change_caption_column(stored, models)
    planned = plan(stored)["text_embeds"]
    s3.fail(status=507, code="InsufficientStorage", methods=["PUT"], key="/text/")
    with pytest.raises(Exception, match=r"can't be written: .*; nothing that was stored is lost"):
        stored.materialize()
    s3.fail()
    object_client.open_bucket.cache_clear()
    assert plan(stored)["text_embeds"] == planned
    assert stored.materialize().encoded == (0, sum(planned["compute"].values()))


def test_a_wrong_address_is_a_mistake_of_the_config(world: World) -> None:
    world.entry["cache_dir"] = "s3a://bucket/cache"
    world.folder.joinpath("datasets.json").write_text(json.dumps(world.config))
    with pytest.raises(Exception, match=r'"s3a://bucket/cache" is no address .*; write s3://bucket/folder'):
        world.definitions()


def test_a_bucket_that_is_not_there_is_one_line(stored: World, s3: S3Server) -> None:
    stored.entry["cache_dir"] = "s3://nowhere/cache"
    with pytest.raises(Exception, match="there is no such bucket: create it, or name another one"):
        stored.materialize()
    with pytest.raises(StoreError, match="there is no such bucket"):
        stored.training_set()


def test_a_dataset_that_moved_into_a_bucket_costs_no_sample_and_a_changed_image_one(
    world: World, address: str, s3: S3Server
) -> None:
    bucket = places.at(ObjectPath(address))
    for path, data in files_of(world.rows[:5], world.rows[5:]).items():
        bucket.put(path, data)
    world.entry["dataset_name"] = address
    assert world.materialize().encoded == (0, 0)
    s3.fail()
    assert world.materialize().bytes_read == 0
    assert not [request for request in s3.requests if request.endswith(".parquet")]
    world.rows[0] = world.rows[0].but(image=world.medium.another(200))
    for path, data in files_of(world.rows[:5], world.rows[5:]).items():
        bucket.put(path, data)
    assert world.materialize().encoded == (1, 0)
    world.check()

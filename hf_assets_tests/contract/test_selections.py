"""Materializing only some assets, and runs that get in each other's way: rows of different revisions never meet."""

import shutil
from collections.abc import Callable
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hf_assets.resources.gpu import GpuResource
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.conftest import ALL_LATENTS, Models
from hf_assets_tests.contract.edits import insert_in_front
from hf_assets_tests.contract.world import World

ALL = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")


def materialize_only(world: World, *names: str) -> None:
    for name in names:
        world.materialize(selection=f'key:"photos/{name}"')


@pytest.mark.parametrize(
    "chosen",
    [
        ("raw_dataset", "filtered", "captions", "text_embeds", "training_set"),
        ("raw_dataset", "buckets"),
        ("raw_dataset", "filtered", "captions", "vae_latents"),
        ("raw_dataset", "filtered", "captions", "buckets", "training_set"),
    ],
)
def test_tables_of_two_revisions_are_not_joined(world: World, chosen: tuple[str, ...]) -> None:
    insert_in_front(world, None)  # type: ignore[arg-type]
    before = world.contents()
    with pytest.raises(
        dg.Failure, match=r"was made from an earlier photos/.* than the one that is there: materialize photos/"
    ):
        materialize_only(world, *chosen)
    assert world.contents() == before
    assert world.materialize().encoded[0] == 2
    world.check()


def test_one_asset_after_the_other_is_as_good_as_all_at_once(world: World, scratch: Callable[[World], World]) -> None:
    insert_in_front(world, None)  # type: ignore[arg-type]
    materialize_only(world, *ALL)
    world.check()
    assert world.contents() == scratch(world).contents()


def test_an_asset_whose_inputs_kept_their_content_need_not_be_made_again(world: World) -> None:
    """Early cutoff: other files, the same rows, so `captions` is not stale and what is below takes it as it is."""
    world.push(world.rows[:3], world.rows[3:])
    materialize_only(world, "raw_dataset", "filtered", "buckets", "vae_latents", "training_set")
    world.check()


def test_a_run_that_another_one_overtook_does_not_overwrite_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run has read its tables and waits for the device; a second one makes a newer training set."""
    real, overtaken = GpuResource.hold_device, []

    @contextmanager
    def overtaking(self: GpuResource, say: Callable[[str], None]) -> Any:
        if not overtaken:
            overtaken.append(True)
            world.push(world.rows[::-1])
            assert world.materialize().encoded == (1, 1)
        with real(self, say) as compute:
            yield compute

    insert = world.rows[0].but(image=world.medium.another(301), caption="a new one")
    world.push([insert, *world.rows])
    monkeypatch.setattr(GpuResource, "hold_device", overtaking)
    with pytest.raises(dg.Failure, match=r"another run changed photos/.* run again"):
        world.materialize()
    world.check()
    assert world.materialize().encoded == (0, 0)
    world.check()


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_a_model_folder_that_changes_while_a_run_waits_stops_the_run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    tiny_pipelines.build("sd15", own, seed=5)
    tiny_pipelines.build("sd15", other, seed=6)
    shutil.copytree(own / part, tmp_path / "kept")
    world.model["pretrained_model_name_or_path"] = str(own)
    real, turns = GpuResource.hold_device, count(1)

    @contextmanager
    def meanwhile(self: GpuResource, say: Callable[[str], None]) -> Any:
        if next(turns) == {"text_encoder": 1, "vae": 2}[part]:  # captions are encoded first
            shutil.copytree(other / part, own / part, dirs_exist_ok=True)
        with real(self, say) as compute:
            yield compute

    with monkeypatch.context() as patch:
        patch.setattr(GpuResource, "hold_device", meanwhile)
        with pytest.raises(dg.Failure, match="changed while this run was going on: run again"):
            world.materialize()
    shutil.copytree(tmp_path / "kept", own / part, dirs_exist_ok=True)
    world.materialize()
    world.vae_folder, world.pipeline_folder = str(own / "vae"), str(own)
    world.check()


def test_a_model_branch_that_moves_during_a_run_does_not_split_it(
    world: World, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captions are encoded first; then the branch moves; the latents still come from the commit of the embeds."""
    models.push("models/moving", models.folder / "one")
    world.model["pretrained_model_name_or_path"] = "models/moving"
    real, turns = GpuResource.hold_device, count(1)

    @contextmanager
    def moving(self: GpuResource, say: Callable[[str], None]) -> Any:
        if next(turns) == 1:
            models.push("models/moving", models.folder / "two")
        with real(self, say) as compute:
            yield compute

    world.entry["resolution"] = 96
    world.entry["caption_column"] = "alternative"
    world.rows = [row.but(caption=row.columns["alternative"]) for row in world.rows]
    with monkeypatch.context() as patch:
        patch.setattr(GpuResource, "hold_device", moving)
        counts = world.materialize()
    assert next(turns) == 3
    assert counts.metadata["vae_latents"]["model_revision"] == counts.metadata["text_embeds"]["model_revision"]
    world.check()
    assert world.materialize().encoded == (ALL_LATENTS, 11)  # the next run takes the new commit
    world.vae_folder, world.pipeline_folder = str(models.folder / "two" / "vae"), str(models.folder / "two")
    world.check()

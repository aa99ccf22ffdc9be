"""What of the VAE's distribution is stored: its mean, its mean and deviation, or a draw that stays the same."""

from pathlib import Path

import pytest
import torch

from hf_assets_tests.contract import oracle
from hf_assets_tests.contract.test_plan import Reasons, planned, reasons
from hf_assets_tests.contract.world import World

pytestmark = pytest.mark.parametrize("first", ["image"], indirect=True)


def test_moments_and_draws_are_other_latents_and_cost_no_embeds(world: World, tmp_path: Path) -> None:
    means = [world.training_set()[index]["latents"] for index in range(3)]
    world.model["latents"] = "moments"
    assert world.materialize().encoded == (9, 0)
    moments = [world.training_set()[index] for index in range(3)]
    vae, buckets = oracle.vae_of(world.vae_folder), world.table("buckets").to_pylist()
    for index, sample in enumerate(moments):
        torch.testing.assert_close(sample["latents"], means[index], rtol=0, atol=1e-5)
        image = world.rows[index].image
        assert image is not None
        deviation = oracle.deviation(image, buckets[index], vae)
        torch.testing.assert_close(sample["latents_std"], deviation, rtol=0, atol=1e-5)

    world.model["latents"] = "sample"
    assert world.materialize().encoded == (9, 0)
    draws = [world.training_set()[index] for index in range(3)]
    pairs = zip(draws, moments, strict=True)
    noise = [(draw["latents"] - moment["latents"]) / moment["latents_std"] for draw, moment in pairs]
    assert all(0.5 < one.std() < 1.5 for one in noise)
    assert not torch.allclose(noise[0].flatten()[:16], noise[1].flatten()[:16])  # each sample has its own
    assert "latents_std" not in draws[0]

    fresh = World(tmp_path / "scratch", world.hub, world.dataset, world.config, list(world.rows), world.medium)
    fresh.materialize(run_config={"resources": {"gpu": {"config": {"batch_size": 1}}}})
    for index, draw in enumerate(draws):
        torch.testing.assert_close(fresh.training_set()[index]["latents"], draw["latents"], rtol=0, atol=1e-5)

    world.model["latents"] = "mode"
    assert world.materialize().encoded == (0, 0)
    assert torch.equal(world.training_set()[0]["latents"], means[0])


def test_tiles_are_other_latents(world: World) -> None:
    world.model["vae_tiling"] = True
    assert reasons(planned(world)) == Reasons({"settings": 9})
    assert world.materialize().encoded == (9, 0)
    del world.model["vae_tiling"]
    assert world.materialize().encoded == (0, 0)

"""Latents that aren't finite: one retry in float32, then quarantine; never a zero in their place."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from hf_assets_tests.contract import oracle
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.world import World

WEIGHTS = "vae/diffusion_pytorch_model.safetensors"


def changed_vae(models: Models, name: str, **factors: float) -> Path:
    """The first pipeline with some tensors of its VAE multiplied."""
    folder = models.folder / name
    shutil.copytree(models.folder / "one", folder)
    weights = load_file(folder / WEIGHTS)
    for tensor, factor in factors.items():
        weights[tensor.replace("__", ".")] *= factor
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    models.push(f"models/{name}", folder)
    return folder


def test_what_overflows_in_half_precision_is_encoded_in_float32(world: World, models: Models) -> None:
    # float16 ends at 65,504: the first layer overflows, and a later normalisation makes its scale irrelevant
    folder = changed_vae(models, "overflows", encoder__conv_in__weight=1e5)
    world.model.update(pretrained_model_name_or_path="models/overflows", dtype="float16")
    counts = world.materialize()
    assert counts.metadata["vae_latents"]["quarantined"] == 0
    sample, row = world.training_set()[1], world.table("buckets").to_pylist()[1]
    image = world.rows[1].image
    assert image is not None
    fresh = oracle.latent(image, row, oracle.vae_of(str(folder / "vae")))
    assert sample["latents"].dtype == torch.float16
    assert torch.allclose(sample["latents"].float(), fresh, atol=1e-2)


def test_what_is_not_finite_in_float32_either_is_quarantined_once(world: World, models: Models) -> None:
    changed_vae(models, "undefined", encoder__conv_out__weight=float("nan"))
    world.model.update(pretrained_model_name_or_path="models/undefined")
    first = world.materialize()
    assert (first.encoded, first.metadata["vae_latents"]["quarantined"]) == ((0, 0), 10)
    assert set(world.table("vae_latents_quarantined")["reason"].to_pylist()) == {"non_finite"}
    assert len(world.training_set()) == 0
    again = world.materialize()
    assert (again.bytes_read, again.metadata["vae_latents"]["quarantined"]) == (0, 10)

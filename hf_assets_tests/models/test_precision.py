"""Norms in float32 and weights in 8 bits: how far latents move, and that nothing else does."""

import pytest
import torch

from hf_assets.errors import ModelError
from hf_assets.models import precision
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.vae import load_vae
from hf_assets_tests.models.conftest import resolved


def encoded(folder, dtype=torch.bfloat16, **settings):
    pixels = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(resolved(folder), "cpu", dtype, LatentSettings(**settings)) as vae:
        return vae.encode(pixels), vae.model


def relative(one, other):
    return float((one.float() - other.float()).norm() / other.float().norm())


@pytest.mark.parametrize("family", ["sdxl", "wan"])
def test_norms_in_float32_move_latents_by_no_more_than_bfloat16_loses(built, family):
    whole, _ = encoded(built(family), torch.float32)
    plain, _ = encoded(built(family))
    better, model = encoded(built(family), norms="float32")
    assert better.dtype == torch.bfloat16
    assert relative(better, plain) < 2 * relative(plain, whole)
    assert relative(better, whole) < 2 * relative(plain, whole)
    own = [(type(layer).__name__, layer.parameters(recurse=False)) for layer in model.modules()]
    kinds = {("norm" in name.lower(), weight.dtype) for name, weights in own for weight in weights}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


class RootNorm(torch.nn.Module):
    """It keeps the type that it computed in."""

    computed_in = None

    def forward(self, x):
        self.computed_in = x.dtype
        return x / x.square().mean().sqrt()


def test_a_norm_that_is_no_class_of_torch_is_computed_in_float32_and_gives_what_it_was_given():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), RootNorm()).to(torch.bfloat16)
    assert precision.norms_in_float32(model) == 1
    assert model(torch.ones(1, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert model[1].computed_in == torch.float32


@pytest.mark.parametrize("family", ["sdxl", "wan"])
def test_weights_in_float8_take_a_byte_each_and_latents_stay_near(built, family):
    whole, before = encoded(built(family), torch.float32)
    near, model = encoded(built(family), torch.float32, weights="float8")
    assert 0 < relative(near, whole) < 0.15
    kinds = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    kept = {layer.parametrizations.weight.original0.dtype for layer in layers}
    assert kept == {torch.float8_e4m3fn}
    exact = dict(before.named_modules())
    for name, layer in model.named_modules():
        if layer in layers:  # e4m3 has three bits behind the first
            torch.testing.assert_close(
                layer.weight, exact[name].weight, rtol=2**-4, atol=float(layer.weight.abs().max()) / 2**9
            )


def test_both_go_together_and_a_sample_that_overflows_is_tried_with_whole_weights(built):
    folder = built("sdxl")
    both, _ = encoded(folder, norms="float32", weights="float8")
    assert both.isfinite().all()
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with load_vae(resolved(folder), "cpu", torch.float32) as vae:
        whole = vae.encode(pixels)
    with load_vae(resolved(folder), "cpu", torch.bfloat16, LatentSettings(weights="float8")) as vae:
        assert torch.equal(vae.encode(pixels, in_float32=True), whole.to(torch.bfloat16))


def test_a_model_without_such_layers_says_what_to_remove():
    with pytest.raises(ModelError, match="Linear has no layer that normalises: remove vae_norms"):
        precision.norms_in_float32(torch.nn.Linear(1, 1))
    with pytest.raises(ModelError, match="GroupNorm has no weights to keep in float8: remove vae_weights"):
        precision.weights_in_float8(torch.nn.GroupNorm(1, 1))

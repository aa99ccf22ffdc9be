"""What may be faster on a GPU gives the same, as far as a CPU can tell."""

from types import SimpleNamespace

import pytest
import torch

from hf_assets.encode.latent_stage import LatentStage
from hf_assets.engines.compute import Compute
from hf_assets.errors import ModelError
from hf_assets.models import acceleration
from hf_assets.models.vae import load_vae
from hf_assets_tests.models.conftest import resolved


def pixels():
    return torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("family", ["sdxl", "wan"])
def test_channels_last_gives_the_same(built, family):
    with load_vae(resolved(built(family)), "cpu", torch.float32) as vae:
        plain = vae.encode(pixels())
        vae.accelerate(channels_last=True)
        weights = [one for one in vae.model.parameters() if one.ndim == (4 if family == "sdxl" else 5)]
        last = torch.channels_last if family == "sdxl" else torch.channels_last_3d
        assert weights
        assert all(one.is_contiguous(memory_format=last) for one in weights)
        torch.testing.assert_close(vae.encode(pixels()), plain, rtol=0, atol=1e-5)


def test_the_encoder_itself_is_compiled_for_each_shape(built):
    """By the backend that computes as without; what inductor makes of it takes minutes here."""
    with load_vae(resolved(built("wan")), "cpu", torch.float32) as vae:
        plain = vae.encode(pixels())
        kind, encode = type(vae.model.encoder), vae.model.encode
        acceleration.compile_encoder(vae.model, backend="eager")
        assert type(vae.model.encoder) is kind  # no wrapper, so that names of weights stay
        assert vae.model.encode == encode
        torch.testing.assert_close(vae.encode(pixels()), plain, rtol=0, atol=1e-5)
        assert vae.encode(pixels()[:1, :, :, :64]).shape[-1] == 8
    torch.compiler.reset()


class Recording:
    """In place of a VAE: what it is asked for before anything is encoded."""

    def __init__(self):
        self.asked = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def accelerate(self, **asked):
        self.asked = asked
        raise InterruptedError


@pytest.mark.parametrize(
    ("compute", "asked"),
    [
        (Compute(channels_last=True), {"channels_last": True, "compiled": False}),
        (Compute(compile=True), {"channels_last": False, "compiled": True}),
    ],
)
def test_a_worker_asks_for_what_the_resource_sets(compute, asked):
    opened = Recording()
    stage = SimpleNamespace(
        recipe=SimpleNamespace(model=SimpleNamespace(dtype="float32", latents=None)),
        encoder=SimpleNamespace(pipeline=None),
        open_vae=lambda *_: opened,
    )
    with pytest.raises(InterruptedError), LatentStage._open_model(stage, compute):
        pass
    assert opened.asked == asked


def test_an_autoencoder_without_an_encoder_says_so():
    with pytest.raises(ModelError, match="Linear has no encoder to compile: unset compile"):
        acceleration.compile_encoder(torch.nn.Linear(1, 1))

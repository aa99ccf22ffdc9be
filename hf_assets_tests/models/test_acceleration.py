"""What may be faster on a GPU gives the same, as far as a CPU can tell."""

from types import SimpleNamespace

import pytest
import torch

from hf_assets.encode.latent_stage import LatentStage
from hf_assets.engines.compute import Compute, ComputeSettings
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
        (Compute(channels_last=True), {"channels_last": True, "compiled": False, "recorded": False}),
        (Compute(compile=True), {"channels_last": False, "compiled": True, "recorded": False}),
        (Compute(cuda_graphs=True), {"channels_last": False, "compiled": False, "recorded": True}),
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


class Replaying:
    """In place of CUDA graphs: what is recorded reads one piece of memory and writes one, as theirs does."""

    def __init__(self):
        self.recorded = []

    def __call__(self, compute, media):
        self.recorded.append(tuple(media.shape))
        held = media.clone()
        results = compute(held)

        def replay(media):
            held.copy_(media)
            for result, now in zip(results, compute(held), strict=True):
                if result is not None:
                    result.copy_(now)
            return tuple(None if one is None else one.clone() for one in results)

        return replay


@pytest.mark.parametrize("family", ["sdxl", "wan"])
def test_shapes_that_come_often_are_recorded_and_replayed_to_the_same(built, family, monkeypatch):
    recorder = Replaying()
    monkeypatch.setattr(acceleration, "CudaGraphs", lambda: recorder)
    with load_vae(resolved(built(family)), "cpu", torch.float32) as vae:
        batches = [pixels() + number for number in range(4)]
        plain = [vae.encode(batch) for batch in batches]
        vae.accelerate(recorded=True)
        replayed = [vae.encode(batch) for batch in batches]  # all before the first is looked at
        for one, other in zip(replayed, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
        vae.encode(batches[0][:1])  # a shape that comes once
        assert [len(shape) for shape in recorder.recorded] == [4 if family == "sdxl" else 5]
        assert recorder.recorded[0][0] == 2


def test_no_more_shapes_are_recorded_than_memory_is_kept_for(monkeypatch):
    monkeypatch.setattr(acceleration, "MOST_GRAPHS", 1)
    recorder = Replaying()
    recorded = acceleration.Recorded(lambda media: (media + 1, None), recorder)
    for size in (2, 3):
        for _ in range(acceleration.HOT + 1):
            result, nothing = recorded(torch.zeros(size))
            assert (result.tolist(), nothing) == ([1.0] * size, None)
    assert recorder.recorded == [(2,)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_there_are_no_graphs(built):
    with load_vae(resolved(built("sdxl")), "cpu", torch.float32) as vae, pytest.raises(ModelError, match="needs a GPU"):
        vae.accelerate(recorded=True)
    with pytest.raises(ModelError, match=r"needs a GPU.*unset it \(HF_ASSETS_CUDA_GRAPHS\)"):
        ComputeSettings(device="cpu", cuda_graphs=True).resolve()

"""Text encoders in 8 and 4 bits, by bitsandbytes on the CPU. `make quantized` installs it beside the environment."""

import importlib.util

import pytest
import torch

from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets_tests.encode.test_embeds import CAPTIONS, Work
from hf_assets_tests.tiny_pipelines import text_encoders, tokenizers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="needs bitsandbytes, which slows all imports: make quantized",
)

# Which layers, and what they may lose: weights at random lose more than those of a trained model.
KINDS = {"8bit": ("Linear8bitLt", 0.005, 0.05), "4bit": ("Linear4bit", 0.05, 0.4)}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Flux with encoders of sizes that 4 bits come in: multiples of 64. Some of CLIP's activations are large."""
    made = Work(tmp_path_factory.mktemp("quantized"), "flux")
    torch.manual_seed(0)
    clip = text_encoders.clip(tokenizers.clip(), width=64, inner=128)
    with torch.no_grad():
        for layer in clip.encoder.layers:
            layer.layer_norm1.weight[3:9] *= 3
    clip.save_pretrained(made.folder / "model" / "text_encoder")
    t5 = text_encoders.t5(tokenizers.t5(), width=64, inner=128)
    t5.save_pretrained(made.folder / "model" / "text_encoder_2")
    return made


def lost(found: dict[str, torch.Tensor], exact: dict[str, torch.Tensor], name: str) -> float:
    """The share of a tensor that another lacks."""
    return float((found[name].float() - exact[name].float()).norm() / exact[name].float().norm())


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_gets_little_else_and_the_same_alone_and_among_others(work: Work, kind: str) -> None:
    pipeline = resolve_pipeline(PipelineSource(repository=str(work.folder / "model")))
    with load_text(pipeline, "cpu", torch.float32) as encoder:
        exact = encoder.encode(CAPTIONS)
    layer, least, most = KINDS[kind]
    with load_text(pipeline, "cpu", torch.float32, quantization=kind) as encoder:  # type: ignore[arg-type]
        for part in (encoder.pipeline.text_encoder, encoder.pipeline.text_encoder_2):
            assert layer in {type(module).__name__ for module in part.modules()}
        together = encoder.encode(CAPTIONS)
        alone = [encoder.encode([caption])[0] for caption in CAPTIONS]
    for one, other, whole in zip(alone, together, exact, strict=True):
        for name in ("prompt_embeds", "pooled_prompt_embeds"):
            assert least < lost(one, whole, name) < most
            torch.testing.assert_close(other[name], one[name], rtol=0, atol=1e-5)


def test_bits_are_part_of_the_key_and_what_is_made_in_them_is_kept(work: Work) -> None:
    keys = set()
    for kind in (None, *KINDS):
        assert work.run(text_quantization=kind)[0] == 4  # with the empty caption
        keys |= {*work.table["embed_key"].to_pylist()}
    assert len(keys) == 3 * 4
    in_4_bits = work.read()
    assert {tensors["prompt_embeds"].dtype for tensors in in_4_bits} == {torch.float32}
    for kind in (None, *KINDS):
        assert work.run(text_quantization=kind)[0] == 0
    for again, first in zip(work.read(), in_4_bits, strict=True):
        assert all(torch.equal(again[name], first[name]) for name in first)

"""Each family's text side against the pipeline's own `encode_prompt`, from the Hub through the store."""

import inspect
from typing import Any, NamedTuple

import diffusers
import pytest
import torch

from hf_assets.models import families, model_loading
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets.store import packing
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.models.conftest import resolved
from hf_assets_tests.store.samples import HEADER, column

CAPTION = 'a photo of a "red" cat'  # HunyuanImage and HunyuanVideo 1.5 read what is quoted once more
OTHERS = ["", "um gato preto dorme na janela, oil painting, soft light, " * 4]


class Own(NamedTuple):
    """How the pipeline is called, written out from its `__call__`.

    Attributes:
        returns: names of what comes back, in order; `-` for what is for a negative prompt, or nothing.
        arguments: beside prompt and device.
        again: the arguments of a second call, whose outputs end in `_2`.
    """

    returns: str
    arguments: dict[str, Any]
    again: dict[str, Any] | None = None


ALONE = {"do_classifier_free_guidance": False}
PLAIN = Own("prompt_embeds -", ALONE)
MASKED = Own("prompt_embeds prompt_attention_mask - -", ALONE)
FAMILIES = {
    "acestep": Own(
        "text_hidden_states text_attention_mask lyric_hidden_states lyric_attention_mask",
        {"lyrics": "", "audio_duration": 60.0},
    ),
    "auraflow": MASKED,
    "chroma": Own("prompt_embeds text_ids prompt_attention_mask - - -", ALONE),
    "cogvideox": Own("prompt_embeds -", {**ALONE, "max_sequence_length": 226}),
    "cogview4": Own("prompt_embeds -", {**ALONE, "max_sequence_length": 1024}),
    "flux": Own("prompt_embeds pooled_prompt_embeds text_ids", {"prompt_2": None, "max_sequence_length": 512}),
    "flux2": Own("prompt_embeds text_ids", {"text_encoder_out_layers": (10, 20, 30), "max_sequence_length": 512}),
    "flux2_klein": Own("prompt_embeds text_ids", {"text_encoder_out_layers": (9, 18, 27), "max_sequence_length": 512}),
    "hidream": Own("prompt_embeds_t5 - prompt_embeds_llama3 - pooled_prompt_embeds -", ALONE),
    "hunyuandit": Own(
        "prompt_embeds - prompt_attention_mask -",
        {**ALONE, "max_sequence_length": 77, "text_encoder_index": 0},
        {**ALONE, "max_sequence_length": 256, "text_encoder_index": 1},
    ),
    "hunyuanimage": Own("prompt_embeds prompt_embeds_mask prompt_embeds_2 prompt_embeds_mask_2", {}),
    "hunyuanvideo": Own("prompt_embeds pooled_prompt_embeds prompt_attention_mask", {"max_sequence_length": 256}),
    "hunyuanvideo15": Own("prompt_embeds prompt_embeds_mask prompt_embeds_2 prompt_embeds_mask_2", {}),
    "kandinsky3": Own("prompt_embeds - attention_mask -", {**ALONE, "_cut_context": True}),
    "kolors": Own("prompt_embeds - pooled_prompt_embeds -", {**ALONE, "max_sequence_length": 256}),
    "krea2": Own("prompt_embeds prompt_embeds_mask", {"max_sequence_length": 512}),
    "ltx": Own("prompt_embeds prompt_attention_mask - -", {**ALONE, "max_sequence_length": 128}),
    "ltx2": Own("prompt_embeds prompt_attention_mask - -", {**ALONE, "max_sequence_length": 1024}),
    "lumina2": Own("prompt_embeds prompt_attention_mask - -", {**ALONE, "max_sequence_length": 256}),
    "mochi": Own("prompt_embeds prompt_attention_mask - -", {**ALONE, "max_sequence_length": 256}),
    "ovis": Own("prompt_embeds - text_ids -", ALONE),
    "pixart": Own("prompt_embeds prompt_attention_mask - -", {**ALONE, "clean_caption": True}),
    "qwenimage": Own("prompt_embeds -", {"max_sequence_length": 512}),
    "sana": Own("prompt_embeds prompt_attention_mask - -", {**ALONE, "max_sequence_length": 300}),
    "sd15": Own("prompt_embeds -", {**ALONE, "num_images_per_prompt": 1}),
    "sd3": Own("prompt_embeds - pooled_prompt_embeds -", {**ALONE, "prompt_2": None, "prompt_3": None}),
    "sdxl": Own("prompt_embeds - pooled_prompt_embeds -", ALONE),
    "stableaudio": Own("prompt_embeds", ALONE),
    "wan": Own("prompt_embeds -", {**ALONE, "max_sequence_length": 512}),
    "zimage": Own("prompt_embeds -", ALONE),
}


def of_the_pipeline(folder, own, caption):
    """What the pipeline, loaded by diffusers, makes of one caption."""
    index = diffusers.DiffusionPipeline.load_config(folder)
    absent = {name: None for name in ("transformer", "unet", "vae", "movq") if name in index}
    if index["_class_name"] in ("StableAudioPipeline", "HunyuanVideo15Pipeline"):
        del absent["transformer" if index["_class_name"] == "StableAudioPipeline" else "vae"]
    with model_loading.quiet(), torch.inference_mode():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, **absent)
        arguments = dict(own.arguments)
        if index["_class_name"] == "SanaPipeline":
            parameters = inspect.signature(pipeline.__call__).parameters
            arguments["complex_human_instruction"] = parameters["complex_human_instruction"].default
        found = {}
        for suffix, given in (("", arguments), ("_2", own.again)):
            if given is not None:
                returned = pipeline.encode_prompt(prompt=[caption], device=torch.device("cpu"), **given)
                returned = returned if isinstance(returned, tuple) else (returned,)
                for name, value in zip(own.returns.split(), returned, strict=False):
                    if name != "-":
                        found[name + suffix] = value
    return found


def test_every_tiny_family_is_here_and_in_the_table(built):
    assert FAMILIES.keys() == tiny_pipelines.FAMILIES.keys()
    known = {name for name, family in families.FAMILIES.items() if family.text.outputs}
    assert {resolved(built(family)).class_name for family in FAMILIES} == known


@pytest.mark.parametrize("family", FAMILIES)
def test_embeds_come_from_the_hub_through_the_store_as_the_pipeline_makes_them(built, hub, tmp_path, family):
    own, folder, repository = FAMILIES[family], built(family), f"text/{family}"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hub.commit(repository, files, repo_type="model")
    pipeline = resolve_pipeline(PipelineSource(repository=repository))
    with load_text(pipeline, "cpu", torch.float32) as text:
        (embeds,) = text.encode([CAPTION])
        together = text.encode(OTHERS) if text.batches else []
        text.batches = False
        alone = text.encode(OTHERS) if together else []
        masks = text.ignored
    store = TensorStore(tmp_path)
    store.write([Sample("key", packing.pack(embeds, masks=masks).tensors)], HEADER)
    stored = TensorReader(tmp_path, column(["key"]))[0]

    expected = of_the_pipeline(folder, own, CAPTION)
    assert list(embeds) == list(expected)
    agrees_with_the_table(pipeline.class_name, embeds)
    for name, value in expected.items():
        theirs = value[0] if isinstance(value, list) else value.view(stored[name].shape)  # of one caption: no batch
        if name in masks:
            kept = expected[masks[name]][0].bool()
            assert not stored[name][~kept].any()
            theirs = torch.where(kept.view(-1, *[1] * (theirs.ndim - 1)), theirs, 0.0)
        torch.testing.assert_close(stored[name], theirs.to(stored[name].dtype), rtol=0, atol=1e-6)
        assert stored[name].isfinite().all()

    for batched, by_itself in zip(together, alone, strict=True):
        for name in by_itself:
            torch.testing.assert_close(batched[name], by_itself[name], rtol=0, atol=1e-5)

    weights = {file.partition("/")[0] for file in hub.files_sent(repository) if file.endswith(".safetensors")}
    assert weights
    assert all(name.startswith(("text_encoder", "projection_model")) for name in weights)
    for name in ("transformer", "unet", "vae"):
        assert hub.bytes_sent(repository, f"{name}/diffusion") == 0


def agrees_with_the_table(class_name: str, embeds: dict[str, torch.Tensor]) -> None:
    """What the table says of padding: positions of zeros, values that a mask excludes, or values that are read."""
    for name, output in families.of(class_name).text.outputs.items():
        assert embeds[name].ndim == len(output.shape), name
        if embeds[name].ndim == 1:
            continue
        others = [axis for axis in range(embeds[name].ndim) if axis != embeds[name].ndim - 2]
        has_zeros = not (embeds[name] != 0).any(dim=others).all()
        assert has_zeros == (output.padding == "zeros"), name
        assert output.padding != "ignored" or output.mask in embeds
        if output.padding == "read":
            assert embeds[name].shape[-2] == output.shape[-2]

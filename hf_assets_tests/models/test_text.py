import importlib.util

import pytest
import torch
from diffusers import DiffusionPipeline

from hf_assets.encode import revisions
from hf_assets.errors import ModelError
from hf_assets.models import families, prompt
from hf_assets.models.components import text_components, text_fingerprint, vae_fingerprint
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline
from hf_assets.models.text import TextEncoder, load_text
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.models.conftest import resolved

FAMILIES = sorted(tiny_pipelines.COMPLETE)
CAPTIONS = ["a cat", "", "portrait of a woman, oil painting", "um gato preto " * 400]

# What each pipeline returns for one caption: 77 tokens of CLIP, 256 (SD3) or 512 (Flux) of T5.
SHAPES = {
    "flux": {"prompt_embeds": (512, 32), "pooled_prompt_embeds": (32,), "text_ids": (512, 3)},
    "sd15": {"prompt_embeds": (77, 32)},
    "sd3": {"prompt_embeds": (77 + 256, 96), "pooled_prompt_embeds": (32 + 40,)},
    "sdxl": {"prompt_embeds": (77, 32 + 40), "pooled_prompt_embeds": (40,)},
}


def of_the_pipeline(folder, caption):
    """What the whole pipeline makes of one caption, with the arguments written out."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    with torch.inference_mode():
        match type(pipeline).__name__:
            case "StableDiffusionPipeline":
                embeds, _ = pipeline.encode_prompt(caption, "cpu", 1, False)
                return {"prompt_embeds": embeds[0]}
            case "StableDiffusionXLPipeline":
                embeds, _, pooled, _ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
                return {"prompt_embeds": embeds[0], "pooled_prompt_embeds": pooled[0]}
            case "StableDiffusion3Pipeline":
                embeds, _, pooled, _ = pipeline.encode_prompt(caption, None, None, do_classifier_free_guidance=False)
                return {"prompt_embeds": embeds[0], "pooled_prompt_embeds": pooled[0]}
            case "FluxPipeline":
                embeds, pooled, text_ids = pipeline.encode_prompt(caption, None, max_sequence_length=512)
                return {"prompt_embeds": embeds[0], "pooled_prompt_embeds": pooled[0], "text_ids": text_ids}


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_those_of_the_whole_pipeline(built, family):
    with load_text(resolved(built(family)), "cpu", torch.float32) as encoder:
        (embeds,) = encoder.encode(["a cat on a red sofa"])
    expected = of_the_pipeline(built(family), "a cat on a red sofa")
    assert {name: tuple(tensor.shape) for name, tensor in embeds.items()} == SHAPES[family]
    assert embeds.keys() == expected.keys()
    for name in embeds:
        torch.testing.assert_close(embeds[name], expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_caption_in_a_batch_gets_what_it_gets_alone(built, family):
    with load_text(resolved(built(family)), "cpu", torch.float32) as encoder:
        assert encoder.batches
        together = encoder.encode(CAPTIONS)
        alone = [embeds for caption in CAPTIONS for embeds in encoder.encode([caption])]
    for in_batch, by_itself in zip(together, alone, strict=True):
        for name in by_itself:
            torch.testing.assert_close(in_batch[name], by_itself[name], rtol=0, atol=1e-5)
    assert not torch.equal(together[0]["prompt_embeds"], together[2]["prompt_embeds"])


def test_a_tensor_keeps_only_its_own_memory(built):
    with load_text(resolved(built("sdxl")), "cpu", torch.float32) as encoder:
        embeds = encoder.encode(CAPTIONS)[1]["prompt_embeds"]
    assert embeds.untyped_storage().nbytes() == embeds.nbytes
    assert not embeds.is_inference()


def test_floats_are_of_the_asked_dtype(built):
    with load_text(resolved(built("flux")), "cpu", torch.bfloat16) as encoder:
        (embeds,) = encoder.encode(["a cat"])
    assert {tensor.dtype for tensor in embeds.values()} == {torch.bfloat16}


def test_a_caption_has_as_many_tokens_as_the_user_wants_at_most(built):
    source = PipelineSource(repository=str(built("flux")), tokenizer_max_length=128)
    with load_text(resolve_pipeline(source), "cpu", torch.float32) as encoder:
        (embeds,) = encoder.encode(["a cat on a red sofa"])
    whole = DiffusionPipeline.from_pretrained(built("flux"))
    with torch.inference_mode():
        expected = whole.encode_prompt("a cat on a red sofa", None, max_sequence_length=128)
    assert embeds["prompt_embeds"].shape == (128, 32)
    torch.testing.assert_close(embeds["prompt_embeds"], expected[0][0], rtol=0, atol=0)
    assert text_fingerprint(resolve_pipeline(source)) != text_fingerprint(resolved(built("flux")))
    assert vae_fingerprint(resolve_pipeline(source)) == vae_fingerprint(resolved(built("flux")))


@pytest.mark.parametrize("at", [None, "text_encoder_2", "root"])
def test_another_t5_stands_in_for_the_pipeline_s_own(built, copied, at):
    other = tiny_pipelines.build("flux", copied("flux").with_name("other"), seed=7)
    source = ComponentSource(repository=str(other / "text_encoder_2" if at == "root" else other), subfolder=at)
    if at == "root":
        source = source.model_copy(update={"subfolder": None})
    replaced = resolve_pipeline(PipelineSource(repository=str(built("flux")), t5=source))
    with load_text(replaced, "cpu", torch.float32) as encoder:
        (embeds,) = encoder.encode(["a cat"])
    whole = DiffusionPipeline.from_pretrained(
        built("flux"), text_encoder_2=DiffusionPipeline.from_pretrained(other).text_encoder_2
    )
    with torch.inference_mode():
        expected, pooled, _ = whole.encode_prompt("a cat", None)
    torch.testing.assert_close(embeds["prompt_embeds"], expected[0], rtol=0, atol=0)
    torch.testing.assert_close(embeds["pooled_prompt_embeds"], pooled[0], rtol=0, atol=0)
    own = resolved(built("flux"))
    assert text_fingerprint(replaced) != text_fingerprint(own)
    assert vae_fingerprint(replaced) == vae_fingerprint(own)
    assert revisions.of_side(replaced, revisions.TEXT) != revisions.of_side(own, revisions.TEXT)
    assert revisions.of_side(replaced, revisions.VAE) == revisions.of_side(own, revisions.VAE)


@pytest.mark.parametrize(
    ("family", "folder", "message"),
    [
        ("sdxl", "text_encoder_2", "has no T5 text encoder to replace"),
        ("flux", "vae", "no config.json of a T5 encoder"),
    ],
)
def test_a_t5_that_is_none_or_has_no_place_is_refused(built, family, folder, message):
    source = ComponentSource(repository=str(built("flux") / folder))
    with pytest.raises(ModelError, match=message):
        text_components(resolve_pipeline(PipelineSource(repository=str(built(family)), t5=source)))


def test_a_pipeline_that_takes_no_number_of_tokens_says_so(built):
    source = PipelineSource(repository=str(built("sdxl")), tokenizer_max_length=128)
    with pytest.raises(ModelError, match="StableDiffusionXLPipeline takes no max_sequence_length, so that tokenizer_"):
        load_text(resolve_pipeline(source), "cpu", torch.float32)


def test_a_list_given_to_encode_is_left_as_it_was(built):
    captions = ["a cat", "a dog"]
    with load_text(resolved(built("sd15")), "cpu", torch.float32) as encoder:
        encoder.encode(captions)
        assert encoder.encode([]) == []
    assert captions == ["a cat", "a dog"]


def test_a_cut_caption_says_nothing(built, capfd):
    with load_text(resolved(built("sd15")), "cpu", torch.float32) as encoder:
        encoder.encode(["um gato preto " * 400])
    assert capfd.readouterr() == ("", "")


def test_sd3_without_t5_gets_zeros_as_wide_as_its_transformer_reads(copied):
    folder = copied("sd3")
    whole = DiffusionPipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)
    whole.save_pretrained(folder.with_name("without_t5"))
    with load_text(resolved(folder.with_name("without_t5")), "cpu", torch.float32) as encoder:
        (embeds,) = encoder.encode(["a cat"])
    assert embeds["prompt_embeds"].shape == (77 + 256, 96)
    assert not embeds["prompt_embeds"][77:].any()


def test_missing_weights_are_an_error_not_random_numbers(copied):
    from safetensors.torch import load_file, save_file

    weights = copied("sd15") / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    tensors.popitem()
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(ModelError, match=r"text_encoder lacks 1 weights of CLIPTextModel .*choose another revision"):
        load_text(resolved(weights.parents[1]), "cpu", torch.float32)


class Videos:
    """Like WanPipeline, whose encode_prompt has another default than its `__call__`."""

    def encode_prompt(self, prompt, negative_prompt=None, do_classifier_free_guidance=True, num_videos_per_prompt=1,
                      max_sequence_length=226, device=None, dtype=None, **more):  # fmt: skip
        if prompt is None:
            return None
        prompt_embeds = negative_prompt_embeds = mask = prompt
        return prompt_embeds, negative_prompt_embeds, mask.to(device)

    def __call__(self, prompt=None, negative_prompt=None, max_sequence_length=512):
        return lambda: None


def test_arguments_are_those_of_generation():
    assert prompt.arguments(Videos) == {
        "negative_prompt": None,
        "do_classifier_free_guidance": False,
        "num_videos_per_prompt": 1,
        "max_sequence_length": 512,
    }


def test_outputs_are_named_as_the_last_return_names_them():
    assert prompt.returned_names(Videos) == ("prompt_embeds", "negative_prompt_embeds", "mask")


class NeedsImage:
    def encode_prompt(self, image, prompt): ...

    def __call__(self, image, prompt): ...


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NeedsImage, "encode_prompt needs image beside the caption"),
        (object, "has no encode_prompt"),
    ],
)
def test_a_pipeline_that_needs_more_than_captions_is_refused(kind, message):
    with pytest.raises(ModelError, match=message):
        prompt.arguments(kind)


# Traps: what encode_prompt of one pipeline or another does.


class Trap:
    """A pipeline with as little as it takes."""

    def __call__(self, prompt=None):
        self.encode_prompt(prompt)


def lengths(prompt):
    return torch.tensor([[float(len(text))] for text in prompt])


class RewritesTheList(Trap):  # Z-Image
    def encode_prompt(self, prompt):
        for index, text in enumerate(prompt):
            prompt[index] = f"<{text}>"
        prompt_embeds = list(lengths(prompt))
        return prompt_embeds  # noqa: RET504


class LayersFirst(Trap):  # HiDream
    def encode_prompt(self, prompt):
        prompt_embeds = torch.stack([lengths(prompt)] * 4)
        return prompt_embeds, None


class PackedSample(Trap):  # Kandinsky 5: no batch axis, and one that grows with the tokens
    def encode_prompt(self, prompt):
        prompt_embeds = torch.cat([torch.full((len(text), 1), 1.0) for text in prompt])
        return prompt_embeds  # noqa: RET504


class TakesOne(Trap):  # HunyuanImage, where batch_size isn't given
    def encode_prompt(self, prompt):
        (text,) = prompt
        prompt_embeds = torch.full((2, 1, 1), float(len(text)))
        return prompt_embeds  # noqa: RET504


class CountsForItself(Trap):
    def encode_prompt(self, prompt, batch_size=1):
        prompt_embeds = lengths(prompt).view(batch_size, 1)
        return prompt_embeds  # noqa: RET504


class ListOfLayers(Trap):  # Bria FIBO
    def encode_prompt(self, prompt):
        prompt_layers = [lengths(prompt), lengths(prompt) * 2]
        return prompt_layers  # noqa: RET504


class NamesParts(Trap):
    def encode_prompt(self, prompt):
        embeds = {"text": lengths(prompt), "num_tokens": 7}
        return embeds  # noqa: RET504


class MaskOnlyWhereNeeded(Trap):  # Qwen-Image
    def encode_prompt(self, prompt):
        prompt_embeds = lengths(prompt)
        mask = None if len(set(map(len, prompt))) == 1 else torch.ones(len(prompt), 1)
        return prompt_embeds, mask


class HasNegatives(Trap):
    def encode_prompt(self, prompt, do_classifier_free_guidance=True):
        assert do_classifier_free_guidance is False
        prompt_embeds = negative_prompt_embeds = uncond_hidden_states = lengths(prompt)
        return prompt_embeds, negative_prompt_embeds, uncond_hidden_states


@pytest.mark.parametrize(
    ("kind", "expected"),  # of the captions "cat" and "a cat"
    [
        (RewritesTheList, [{"prompt_embeds": [5.0]}, {"prompt_embeds": [7.0]}]),
        (LayersFirst, [{"prompt_embeds": [[3.0]] * 4}, {"prompt_embeds": [[5.0]] * 4}]),
        (PackedSample, [{"prompt_embeds": [[1.0]] * 3}, {"prompt_embeds": [[1.0]] * 5}]),
        (TakesOne, [{"prompt_embeds": [[3.0]] * 2}, {"prompt_embeds": [[5.0]] * 2}]),
        (CountsForItself, [{"prompt_embeds": [3.0]}, {"prompt_embeds": [5.0]}]),
        (
            ListOfLayers,
            [
                {"prompt_layers_0": [3.0], "prompt_layers_1": [6.0]},
                {"prompt_layers_0": [5.0], "prompt_layers_1": [10.0]},
            ],
        ),
        (NamesParts, [{"embeds_text": [3.0], "embeds_num_tokens": 7}, {"embeds_text": [5.0], "embeds_num_tokens": 7}]),
        (MaskOnlyWhereNeeded, [{"prompt_embeds": [3.0]}, {"prompt_embeds": [5.0]}]),
        (HasNegatives, [{"prompt_embeds": [3.0]}, {"prompt_embeds": [5.0]}]),
    ],
)
def test_a_caption_gets_its_own(kind, expected):
    encoder = TextEncoder(kind(), prompt.usage(kind), "cpu", torch.float32)
    found = encoder.encode(["cat", "a cat"])
    assert [{name: tensor.tolist() for name, tensor in embeds.items()} for embeds in found] == expected


class Calls(Trap):
    """As HunyuanDiT: a call for each text encoder, with constants that are written in `__call__`."""

    def __call__(self, prompt=None, negative_prompt=None):
        self.encode_prompt(prompt=prompt, max_sequence_length=77, text_encoder_index=0)
        self.encode_prompt(prompt=prompt, max_sequence_length=256, text_encoder_index=1)
        self.encode_prompt(prompt=negative_prompt, max_sequence_length=1)

    def encode_prompt(self, prompt, max_sequence_length=None, text_encoder_index=0):
        prompt_embeds = lengths(prompt) + max_sequence_length + 1000 * text_encoder_index
        return prompt_embeds  # noqa: RET504


def test_a_pipeline_is_called_as_often_as_it_calls_itself():
    encoder = TextEncoder(Calls(), prompt.usage(Calls), "cpu", torch.float32)
    assert encoder.encode(["cat"]) == [
        {"prompt_embeds": torch.tensor([80.0]), "prompt_embeds_2": torch.tensor([1259.0])}
    ]


class Sings(Trap):
    """As ACE-Step, whose text also says the duration."""

    def __call__(self, prompt=None, lyrics="", audio_duration=60.0):
        self.encode_prompt(prompt, lyrics=lyrics, audio_duration=audio_duration)

    def encode_prompt(self, prompt, lyrics, audio_duration=10.0):
        lyrics = [lyrics] if isinstance(lyrics, str) else lyrics
        text, lyric = lengths(prompt) + audio_duration, lengths(lyrics)
        return text, lyric


def test_lyrics_and_durations_belong_to_their_caption():
    encoder = TextEncoder(Sings(), prompt.usage(Sings), "cpu", torch.float32)
    assert (encoder.takes_lyrics, encoder.takes_duration) == (True, True)
    pairs = [(float(one["text"]), float(one["lyric"])) for one in encoder.encode(["cat", "a cat"])]
    assert pairs == [(63.0, 0.0), (65.0, 0.0)]
    sung = encoder.encode(["cat", "a cat"], lyrics=["la", "la la"], durations_s=[1.0, 2.0])
    assert [(float(one["text"]), float(one["lyric"])) for one in sung] == [(4.0, 2.0), (7.0, 5.0)]


def test_components_are_those_that_encode_prompt_reads_itself_or_through_its_methods(built):
    found = {
        family: [component.name for component in text_components(resolved(built(family)))]
        for family in ("stableaudio", "acestep", "ltx2", "kolors")
    }
    assert found == {
        "stableaudio": ["projection_model", "text_encoder", "tokenizer"],
        "acestep": ["text_encoder", "tokenizer"],  # and no condition_encoder
        "ltx2": ["text_encoder", "tokenizer"],  # and no connectors, no vocoder
        "kolors": ["text_encoder", "tokenizer"],
    }


# Pipelines that the table doesn't know


@pytest.mark.parametrize("family", ["sdxl", "stableaudio", "hunyuanvideo15"])  # two read settings of what isn't loaded
def test_without_a_row_captions_are_the_same_and_encoded_alone(built, family, monkeypatch):
    pipeline = resolved(built(family))
    with load_text(pipeline, "cpu", torch.float32) as encoder:
        (expected,) = encoder.encode(["a cat"])
    monkeypatch.delitem(families.FAMILIES, pipeline.class_name)
    with load_text(pipeline, "cpu", torch.float32) as encoder:
        assert not encoder.batches
        assert not encoder.ignored
        found = encoder.encode(["a cat", "a dog"])[0]
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-6)


def test_without_a_row_a_changed_denoiser_configuration_is_another_encoder(copied, monkeypatch):
    folder = copied("sdxl")

    def edit_changes():
        before = text_fingerprint(resolved(folder))
        config = folder / "unet" / "config.json"
        config.write_text(config.read_text().replace("{", "{ ", 1))
        return text_fingerprint(resolved(folder)) != before

    assert not edit_changes()
    monkeypatch.delitem(families.FAMILIES, "StableDiffusionXLPipeline")
    assert edit_changes()


# Memory


@pytest.mark.parametrize("family", ["flux", "kolors"])
def test_offloaded_encoders_give_the_same(built, family):
    with load_text(resolved(built(family)), "cpu", torch.float32) as encoder:
        (expected,) = encoder.encode(["a cat"])
    with load_text(resolved(built(family)), "cpu", torch.float32, offload=True) as encoder:
        assert {parameter.device.type for parameter in encoder.pipeline.text_encoder.parameters()} == {"meta"}
        (found,) = encoder.encode(["a cat"])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_quantization_names_the_extra_and_excludes_offload(built):
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(
            ModelError, match=r'text_quantization "4bit" needs bitsandbytes: pip install .*\[quantize\]'
        ):
            load_text(resolved(built("sd15")), "cpu", torch.float32, quantization="4bit")
    with pytest.raises(ModelError, match="exclude each other"):
        load_text(resolved(built("sd15")), "cpu", torch.float32, quantization="8bit", offload=True)

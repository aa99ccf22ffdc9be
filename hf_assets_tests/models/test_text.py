import pytest
import torch
from diffusers import DiffusionPipeline

from hf_assets.errors import ModelError
from hf_assets.models import families, prompt
from hf_assets.models.text import load_text
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


def test_every_batched_class_is_proved_above(built):
    batched = {name for name, family in families.FAMILIES.items() if family.text.batches}
    assert {resolved(built(family)).class_name for family in FAMILIES} <= batched


def test_a_tensor_keeps_only_its_own_memory(built):
    with load_text(resolved(built("sdxl")), "cpu", torch.float32) as encoder:
        embeds = encoder.encode(CAPTIONS)[1]["prompt_embeds"]
    assert embeds.untyped_storage().nbytes() == embeds.nbytes
    assert not embeds.is_inference()


def test_floats_are_of_the_asked_dtype(built):
    with load_text(resolved(built("flux")), "cpu", torch.bfloat16) as encoder:
        (embeds,) = encoder.encode(["a cat"])
    assert {tensor.dtype for tensor in embeds.values()} == {torch.bfloat16}


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

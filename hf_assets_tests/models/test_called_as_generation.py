"""What `__call__` does before `encode_prompt` sees a caption is followed, or refused: against the pipelines."""

import json
import shutil
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import diffusers
import pytest
import torch

from hf_assets.encode.embed_stage import EmbedModel
from hf_assets.errors import MediaError, ModelError
from hf_assets.models import model_loading, normalisation, prompt
from hf_assets.models.components import text_components, text_fingerprint, vae_component, vae_fingerprint
from hf_assets.models.inputs import input_of
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.models.text import Outputs, Unused, load_text
from hf_assets.models.vae import load_vae
from hf_assets_tests.models.conftest import resolved
from hf_assets_tests.tiny_pipelines import others, text_encoders, tokenizers

CAPTION = 'A photo of  a "Red" Cat'
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """name -> the folder of its tiny pipeline, built once."""
    root, built = tmp_path_factory.mktemp("others"), {}
    return lambda name: built.get(name) or built.setdefault(name, others.build(name, root / name))


class Own(NamedTuple):
    """How the pipeline calls itself, written out from its `__call__`.

    Attributes:
        returns: names of what comes back, in order; `-` for what is for a negative prompt.
        arguments: beside the device.
    """

    returns: str
    arguments: dict[str, Any]


ALONE = {"do_classifier_free_guidance": False}
ONE = {"batch_size": 1, "num_images_per_prompt": 1, **ALONE}
LISTED = {"prompt": [CAPTION]}
FAMILIES = {
    "bria_fibo2": Own("prompt_embeds prompt_embeds_mask", LISTED),
    "cascade_decoder": Own("prompt_embeds prompt_embeds_pooled - -", {**LISTED, **ONE}),
    "cascade_prior": Own("prompt_embeds prompt_embeds_pooled - -", {**LISTED, **ONE}),
    "cosmos2": Own("prompt_embeds -", {**LISTED, **ALONE, "max_sequence_length": 512}),
    "dreamlite": Own(
        "prompt_embeds prompt_embeds_mask",
        {"mode": "generate", "prompts": [f"[Generate]: {CAPTION}"], "dtype": torch.float32, "max_sequence_length": 200},
    ),
    "dreamlite_mobile": Own(
        "prompt_embeds prompt_embeds_mask",
        {"mode": "generate", "prompts": [f"[Generate]: {CAPTION}"], "dtype": torch.float32, "max_sequence_length": 200},
    ),
    "ernie": Own("text_hiddens", LISTED),
    "helios_pyramid": Own("prompt_embeds -", {**LISTED, **ALONE, "max_sequence_length": 512}),
    "hunyuan_refiner": Own("prompt_embeds prompt_embeds_mask", LISTED),
    "kandinsky6": Own("prompt_embeds pooled_prompt_embeds prompt_attention_mask - - -", {**LISTED, **ALONE}),
    "longcat_audio": Own("prompt_embeds lengths", {"prompt": ["a photo of a red cat"]}),
    "lucy": Own("prompt_embeds -", {**LISTED, **ALONE, "max_sequence_length": 512}),
    "nucleus": Own("prompt_embeds prompt_embeds_mask", {**LISTED, "max_sequence_length": 1024}),
    "sana_wm": Own(
        "prompt_embeds prompt_attention_mask - -",
        {
            "prompt": CAPTION,
            "max_sequence_length": 300,
            "chi_prompt": diffusers.pipelines.sana_wm.pipeline_sana_wm.DEFAULT_CHI_PROMPT,
        },
    ),
}


def of_the_pipeline(folder, own):
    """What the pipeline, loaded by diffusers, makes of the caption."""
    index = diffusers.DiffusionPipeline.load_config(folder)
    absent = {name: None for name, entry in index.items() if entry == [None, None] or name in ("vae", "vqgan")}
    if folder.name == "longcat_audio":  # its constructor reads settings of the others
        absent = {}
    if folder.name == "cosmos2":
        absent["safety_checker"] = Unused()
    with model_loading.quiet(), torch.inference_mode():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, **absent)
        returned = pipeline.encode_prompt(device=CPU, **own.arguments)
    returned = returned if isinstance(returned, tuple) else (returned,)
    return {name: value for name, value in zip(own.returns.split(), returned, strict=False) if name != "-"}


@pytest.mark.parametrize("family", FAMILIES)
def test_captions_are_encoded_as_the_pipeline_calls_itself(other, family):
    with load_text(resolved(other(family)), "cpu", torch.float32) as text:
        (found,) = text.encode([CAPTION])
    expected = of_the_pipeline(other(family), FAMILIES[family])
    assert found.keys() == {name for name, value in expected.items() if value is not None}
    for name, value in found.items():
        theirs = expected[name][0] if isinstance(expected[name], list) else expected[name].view(value.shape)
        torch.testing.assert_close(value, theirs, rtol=0, atol=1e-6)


def test_audio_ldm_2_reads_captions_with_all_its_encoders_and_has_no_latents_of_pictures(other):
    with load_text(resolved(other("audioldm2")), "cpu", torch.float32) as text:
        (found,) = text.encode(["a red cat"])
        whole = text.pipeline
        with torch.inference_mode():
            expected = whole.encode_prompt(["a red cat"], CPU, 1, False)
    for name, value in zip(("prompt_embeds", "attention_mask", "generated_prompt_embeds"), expected, strict=True):
        torch.testing.assert_close(found[name], value[0], rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match="encodes neither images nor videos nor waveforms"):
        input_of(resolved(other("audioldm2")))


# Captions that `__call__` changes


def test_a_changed_caption_is_followed_each_time(other):
    with load_text(resolved(other("longcat_audio")), "cpu", torch.float32) as text:
        shouted, spoken, another = text.encode(['  A "CAT" ', "a cat", "a sofa"])
    assert torch.equal(shouted["prompt_embeds"], spoken["prompt_embeds"])
    assert not torch.equal(spoken["prompt_embeds"], another["prompt_embeds"])


def test_captions_of_json_are_written_as_the_pipeline_was_trained():
    kind = diffusers.BriaFibo2Pipeline
    assert prompt.rewritten(kind, "A cat,  asleep") == "A cat,  asleep"
    assert prompt.rewritten(kind, '{"short":  "A cat", "style": null}') == '{"short":"A cat"}'
    with pytest.raises(MediaError, match="BriaFibo2Pipeline makes text_images of this caption"):
        prompt.rewritten(kind, '{"text_render": [{"text": "SALE"}]}')


def test_a_change_that_cannot_be_followed_is_refused_by_name():
    with pytest.raises(ModelError, match=r"LTXI2VLongMultiPromptPipeline changes captions .* can't be followed"):
        prompt.usage(diffusers.LTXI2VLongMultiPromptPipeline)


class Whole:
    """A pipeline with as little as it takes."""

    default_length = 7

    def __init__(self, tokenizer=None):
        self.style = "oil"
        self.length = tokenizer.length if tokenizer else 9

    def _instruction(self, task):
        if task == "draw":
            return f"Draw in {self.style}:"
        return "Say:"

    def encode_prompt(self, prompt, instruction=None, max_sequence_length=None):
        prompt_embeds = prompt
        return prompt_embeds  # noqa: RET504


class Derives(Whole):
    def __call__(self, prompt, instruction=None, max_sequence_length=None, task="draw"):
        if instruction is None:
            instruction = self._instruction(task)
        max_sequence_length = max_sequence_length or self.default_length
        self.encode_prompt(prompt, instruction=instruction, max_sequence_length=max_sequence_length)


class AsksTheTokenizer(Whole):
    def __call__(self, prompt):
        self.encode_prompt(prompt, max_sequence_length=self.length)


class Trims(Whole):
    def __call__(self, prompt):
        texts = [text.strip() for text in prompt]
        negative = [""] * len(prompt)
        self.encode_prompt(negative)
        self.encode_prompt(texts)


class AsksAModel(Whole):
    def __call__(self, prompt):
        texts = self.rewriter(prompt)
        self.encode_prompt(texts)


def test_derived_arguments_are_evaluated():
    (call,) = prompt.usage(Derives).calls
    assert call.arguments == {"instruction": "Draw in oil:", "max_sequence_length": 7}


def test_an_argument_that_a_component_decides_is_refused():
    with pytest.raises(ModelError, match=r"AsksTheTokenizer makes max_sequence_length .* can't be followed"):
        prompt.usage(AsksTheTokenizer)


def test_of_several_calls_the_caption_s_is_found():
    assert prompt.usage(Trims).rewrites
    assert prompt.rewritten(Trims, " a cat ") == "a cat"
    assert not prompt.usage(Derives).rewrites


def test_a_caption_that_a_model_would_write_is_refused():
    with pytest.raises(ModelError, match="AsksAModel changes captions"):
        prompt.usage(AsksAModel)


def test_ace_step_s_own_default_is_what_its_call_gives():
    """Its row says so, so that the argument stays out of keys."""
    kind = diffusers.AceStepPipeline
    assert prompt.usage(kind).calls[0].arguments["instruction"] is None
    given = prompt._of_captions(kind, "a song")[0].values["instruction"]
    bare = kind.__new__(kind)
    texts = {
        bare._format_prompt(prompt="a song", lyrics="", instruction=value, audio_duration=60.0)
        for value in (None, given)
    }
    assert len(texts) == 1


# What is needed, and what isn't


def test_a_guard_that_captions_do_not_pass_is_not_asked_for(other):
    """The constructor would make it of a library that isn't installed."""
    with load_text(resolved(other("cosmos2")), "cpu", torch.float32) as text:
        assert isinstance(text.pipeline.safety_checker, Unused)


def test_a_denoiser_of_a_module_is_no_text_encoder(other, tmp_path):
    folder = shutil.copytree(other("cascade_prior"), tmp_path / "prior")
    index = json.loads((folder / "model_index.json").read_text())
    index["prior"] = ["stable_cascade", "StableCascadeUNet"]
    (folder / "model_index.json").write_text(json.dumps(index))
    usage = prompt.usage(diffusers.StableCascadePriorPipeline)
    usage_reading_it = usage._replace(reads=(*usage.reads, "prior"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt, "remembered_usage", lambda *_: usage_reading_it)
        assert [one.name for one in text_components(resolved(folder))] == ["text_encoder", "tokenizer"]


def test_a_class_that_is_no_pipeline_has_no_latents(built, tmp_path):
    folder = shutil.copytree(built("sd15"), tmp_path / "vae_only")
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": "UNet2DConditionModel", "vae": ["diffusers", "AutoencoderKL"]})
    )
    with pytest.raises(ModelError, match="names UNet2DConditionModel, which is no pipeline"):
        input_of(resolved(folder))
    with pytest.raises(ModelError, match="names UNet2DConditionModel, which is no pipeline"):
        text_components(resolved(folder))


def test_latents_of_stable_cascade_are_scaled_as_its_decoder_reads_them(other):
    pixels = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(resolved(other("cascade_decoder")), "cpu", torch.float32) as vae:
        latents = vae.encode(pixels)
        with torch.inference_mode():
            z = vae.model.encode(pixels / 255 * 2 - 1).latents
        torch.testing.assert_close(latents * vae.model.config.scale_factor, z, rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="an EfficientNet makes them, which is no part of the pipeline"):
        vae_component(resolved(other("cascade_prior")))


def test_the_scale_of_a_vqgan_is_undone_whatever_the_pipeline(other, tmp_path):
    """Wuerstchen's decoder and the combined pipelines decode `scale_factor * latents`, too."""
    folder = shutil.copytree(other("cascade_decoder"), tmp_path / "wuerstchen")
    for name, value in (("model_index.json", ("_class_name", "WuerstchenDecoderPipeline")),
                        ("vqgan/config.json", ("scale_factor", 0.5))):  # fmt: skip
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, value[0]: value[1]}))
    assert normalisation.rule_of(resolved(folder)).family.factor == 2.0
    assert normalisation.rule_of(resolved(other("cascade_decoder"))).changed == {"factor": 1 / 0.3764}


def test_latents_of_hunyuan_image_s_refiner_are_scaled(other):
    """Its pipeline then lays a picture's frame twice into the channels, which its denoiser reads."""
    pixels = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(resolved(other("hunyuan_refiner")), "cpu", torch.float32) as vae:
        latents = vae.encode(pixels)
        with torch.inference_mode():
            z = vae.model.encode((pixels / 255 * 2 - 1).unsqueeze(2)).latent_dist.mode()
    assert z.shape == (1, 8, 1, 2, 3)
    torch.testing.assert_close(latents.view(z.shape), z * 1.03682, rtol=0, atol=1e-5)


def test_latents_of_kandinsky_6_are_its_pipeline_s(other):
    pixels = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(resolved(other("kandinsky6")), "cpu", torch.float32) as vae:
        latents = vae.encode(pixels)
        with torch.inference_mode():
            z = vae.model.encode((pixels / 255 * 2 - 1).unsqueeze(2)).latent_dist.mode()
    torch.testing.assert_close(latents.view(z.shape), z * 0.476986, rtol=0, atol=1e-5)


def test_a_vae_that_reads_other_pixels_is_refused():
    """Kandinsky 6's super resolution scales them by 127.5 / 128."""
    pipeline = SimpleNamespace(class_name="Kandinsky6SRPipeline")
    with pytest.raises(ModelError, match=r"its VAE is given pixels of -1 to 0\.9922"):
        vae_component(pipeline)


@pytest.mark.parametrize("family", ["dreamlite", "dreamlite_mobile"])
def test_latents_of_dreamlite_are_shifted_and_scaled(other, family):
    pixels = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(resolved(other(family)), "cpu", torch.float32) as vae:
        latents = vae.encode(pixels)
        with torch.inference_mode():
            z = vae.model.encode(pixels / 255 * 2 - 1).latents
    torch.testing.assert_close(latents, (z - 0.25) * 0.5, rtol=0, atol=1e-5)


def test_the_vq_factor_is_ignored_for_movq_whatever_the_pipeline(copied):
    """Kandinsky 2's pipelines and trainers never scale; the class has a factor by default."""
    folder = copied("kandinsky3")
    index = json.loads((folder / "model_index.json").read_text())
    before = vae_fingerprint(resolved(folder))
    index["_class_name"] = "KandinskyV22Pipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(resolved(folder), "cpu", torch.float32) as vae:
        assert vae.model.config.scaling_factor == 0.18215
        latents = vae.encode(pixels)
        with torch.inference_mode():
            z = vae.model.encode(pixels / 255 * 2 - 1).latents
    torch.testing.assert_close(latents, z, rtol=0, atol=1e-6)
    assert vae_fingerprint(resolved(folder)) != before  # Kandinsky 3 has a multiple of its own


# Captions without a token


def test_an_empty_caption_without_a_token_is_that_caption_s_failure(built):
    """Qwen's tokenizer adds nothing, and its model can't read nothing."""
    from hf_assets_tests.tiny_pipelines import tokenizers

    class Bare(diffusers.ErnieImagePipeline):
        def encode_prompt(self, prompt, device=None):
            ids = torch.tensor([tokenizers.qwen()(text)["input_ids"] for text in prompt], dtype=torch.long)
            embeds = ids.view(len(prompt), -1)[:, -1:].float()
            return embeds[:, 0]

        def __call__(self, prompt):
            self.encode_prompt(prompt)

    whole = Bare(None, None, None, tokenizers.qwen(), None)
    from hf_assets.models.text import TextEncoder

    text = TextEncoder(whole, prompt.usage(Bare), "cpu", torch.float32)
    assert text.problem("a cat") is None
    problem = text.problem("")
    assert problem is not None
    assert (problem.reason, "no token" in str(problem)) == ("no_tokens", True)


@pytest.mark.parametrize(
    ("family", "num_calls"),
    [
        ("sd15", 1),  # CLIP's tokenizer adds a beginning and an end: no caption is without a token
        ("zimage", 2),  # Qwen's adds nothing, so it is tried alone whether the pipeline adds something
        ("qwenimage", 2),  # the same, and captions are encoded alone anyway: what was tried counts
    ],
)
def test_the_empty_caption_is_encoded_once(built, family, num_calls):
    captions = ["a cat", ""]
    with load_text(resolved(built(family)), "cpu", torch.float32) as text:
        expected = text.encode(captions)
        calls, encode_prompt = [], text.pipeline.encode_prompt
        text.pipeline.encode_prompt = lambda *given, **named: calls.append(None) or encode_prompt(*given, **named)
        assert [text.problem(one) for one in captions] == [None, None]
        found = text.encode(captions)
        assert len(calls) == num_calls
        again = text.encode(captions)
    for one in (found, again):
        assert [{name: value.tolist() for name, value in each.items()} for each in one] == [
            {name: value.tolist() for name, value in each.items()} for each in expected
        ]


class Some:
    """In place of text encoders that can't read an empty caption."""

    ignored: ClassVar[dict[str, str]] = {}

    def problem(self, caption):
        return None if caption else MediaError("no_tokens", "nothing to read")

    def begin_tokenizing(self):
        """It has no tokenizer."""

    def compute(self, captions, **companions):
        return [Outputs(1, {"prompt_embeds": torch.full((2, 1), float(len(caption)))}) for caption in captions]

    def take_apart(self, outputs):
        return [outputs.values]


def test_a_batch_goes_on_without_the_caption_that_cannot_be_encoded():
    stage = SimpleNamespace(recipe=SimpleNamespace(model=SimpleNamespace(embeds_dtype=None)))
    model = EmbedModel(stage, Some())
    batch = SimpleNamespace(keys=["a", "b", "c"], content=[{"caption": "cat"}, {"caption": ""}, {"caption": "a dog"}])
    first, failed, last = model.collect(batch, model.encode(batch))
    assert (failed.key, failed.reason) == ("b", "no_tokens")
    assert [one.tensors["prompt_embeds"][0].item() for one in (first, last)] == [3.0, 5.0]
    nothing = SimpleNamespace(keys=["b"], content=[{"caption": ""}])
    assert [one.reason for one in model.collect(nothing, model.encode(nothing))] == ["no_tokens"]


# Arguments of the user's


def chosen(folder, **arguments):
    return resolve_pipeline(PipelineSource(repository=str(folder), encode_prompt=json.dumps(arguments)))


def test_arguments_of_the_user_s_stand_in_for_those_of_the_call(built):
    folder = built("sana")
    pipeline = chosen(folder, max_sequence_length=77, complex_human_instruction=None)
    with load_text(pipeline, "cpu", torch.float32) as text:
        (found,) = text.encode(["a red cat"])
    with model_loading.quiet(), torch.inference_mode():
        whole = diffusers.DiffusionPipeline.from_pretrained(folder, transformer=None, vae=None)
        expected = whole.encode_prompt(["a red cat"], False, max_sequence_length=77)  # no instruction, its own default
    assert found["prompt_embeds"].shape == (77, 32)
    torch.testing.assert_close(found["prompt_embeds"], expected[0][0], rtol=0, atol=1e-6)
    assert text_fingerprint(pipeline) != text_fingerprint(resolved(folder))
    assert vae_fingerprint(pipeline) == vae_fingerprint(resolved(folder))
    same = chosen(folder, max_sequence_length=300)  # as `__call__` has it
    assert text_fingerprint(same) == text_fingerprint(resolved(folder))


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("sana", {"max_length": 77}, "takes no max_length: remove it .* or set max_sequence_length"),
        (
            "sd15",
            {"max_sequence_length": 77},
            "takes no max_sequence_length: remove it .*, or set clip_skip",
        ),
        ("sd15", {"negative_prompt": "blurry"}, "negative_prompt of .* has no effect"),
        ("sana", {"prompt": "a"}, "prompt of SanaPipeline.encode_prompt comes with each caption"),
        ("sana", {"do_classifier_free_guidance": True}, "is the same for all pipelines"),
        (
            "sana",
            {"max_sequence_length": "77"},
            'max_sequence_length is "77", and SanaPipeline.encode_prompt takes int',
        ),
        ("sana", {"prompt_embeds": [1.0]}, "prompt_embeds is .*, and SanaPipeline.encode_prompt takes"),
        ("hunyuandit", {"max_sequence_length": 99}, "once for each text encoder, with its own max_sequence_length"),
        ("acestep", {"lyrics": "la"}, "comes with each caption"),
    ],
)
def test_arguments_that_encode_prompt_does_not_take_so_are_refused(built, family, arguments, message):
    with pytest.raises(ModelError, match=message):
        text_fingerprint(chosen(built(family), **arguments))


def test_one_setting_is_written_once(built):
    source = PipelineSource(
        repository=str(built("sana")), tokenizer_max_length=77, encode_prompt='{"max_sequence_length": 77}'
    )
    with pytest.raises(ModelError, match="are one setting: remove one of them"):
        text_fingerprint(resolve_pipeline(source))


def test_a_processor_of_videos_reads_text_without_torchvision(tmp_path):
    torch.manual_seed(0)
    tokenizer = tokenizers.qwen()
    encoder = text_encoders.qwen3_vl_for_text(tokenizer, layers=2)
    tokenizer.save_pretrained(tmp_path / "processor")
    encoder.save_pretrained(tmp_path / "text_encoder")
    index = {
        "_class_name": "QwenImage21Pipeline",
        "processor": ["transformers", "Qwen3VLProcessor"],
        "scheduler": [None, None],
        "text_encoder": ["transformers", "Qwen3VLForConditionalGeneration"],
        "transformer": [None, None],
        "vae": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with load_text(resolved(tmp_path), "cpu", torch.float32) as text:
        encoded = text.encode(["a cat"])[0]["prompt_embeds"]
        prompted = text.pipeline.prompt_template_t2i.format("a cat")
        dropped = text.pipeline._drop_idx
    ids = tokenizer([prompted], return_tensors="pt")["input_ids"]
    assert 0 < dropped < ids.shape[1]
    # as the pipeline has it: what the last layer gives, before its norm
    with encoder.model.language_model.norm.register_forward_hook(lambda module, given, made: given[0]):
        expected = encoder(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, dropped:]
    assert torch.allclose(encoded, expected, atol=1e-5)

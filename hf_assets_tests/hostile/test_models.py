"""Nothing that a model's repository brings is run, and nobody is asked whether it may."""

import io
import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hf_assets.errors import ModelError
from hf_assets.hub.model_repository import resolve
from hf_assets.models import chat_templates, model_loading, size_limits, text_growth
from hf_assets.models.components import text_components, vae_component
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets_tests import tiny_pipelines

RAN = "code of the repository ran"
CODE = f"raise SystemExit('{RAN}')\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.build("sd15", tmp_path_factory.mktemp("models") / "sd15")


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "sd15"))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def load(folder: Path) -> None:
    import torch

    load_text(resolve_pipeline(PipelineSource(repository=str(folder))), "cpu", torch.float32).release()


@pytest.mark.parametrize(
    "named",
    [
        ["transformers", "AutoTokenizer"],  # asked "[y/N]" for the code that the repository's auto_map names
        ["transformers", "AutoModel"],
        ["diffusers", "AutoModel"],
        ["diffusers", "AutoPipelineForText2Image"],
        ["transformers", "pipeline"],
        ["antigravity", "Anything"],  # importing a module is running it
        ["os", "system"],
        ["..loaders", "FromSingleFileMixin"],
        ["diffusers", "logging"],
        ["transformers", "TrainingArguments"],
    ],
)
def test_a_component_is_of_a_concrete_class_of_the_libraries(tmp_path: Path, named: list[str]) -> None:
    before = set(sys.modules)
    with pytest.raises(ModelError) as caught:
        model_loading.class_of(resolve(str(tmp_path)), *named)
    assert "\n" not in str(caught.value)
    assert not {"antigravity"} & (set(sys.modules) - before)


@pytest.mark.parametrize("component", ["tokenizer", "text_encoder", "scheduler"])
def test_every_component_that_is_loaded_is_looked_at(folder: Path, component: str) -> None:
    edit(folder / "model_index.json", **{component: ["transformers", "AutoTokenizer"]})
    with pytest.raises(ModelError, match="AutoTokenizer, which is no class of a component"):
        load(folder)


def test_an_auto_map_is_ignored_and_nobody_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt="": pytest.fail(f"asked: {prompt}"))
    for path, name in (("text_encoder/config.json", "AutoModel"), ("tokenizer/tokenizer_config.json", "AutoTokenizer")):
        edit(folder / path, auto_map={name: "stranger/third--code.Evil", "AutoConfig": "code.Evil"})
        (folder / path).with_name("code.py").write_text(CODE)
    load(folder)


def test_what_asks_for_code_deep_within_the_libraries_gets_no_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    monkeypatch.setattr("builtins.input", lambda prompt="": pytest.fail(f"asked: {prompt}"))
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "code.Evil"}}))
    (tmp_path / "code.py").write_text(CODE)
    with model_loading.quiet(), pytest.raises(ValueError, match="custom code"):
        transformers.AutoConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for a in range(9999) %}" * 3 + "{% endfor %}" * 3, "more than 2 s"),
        ("{{ 10 ** (10 ** 10) }}", "takes more than"),
        ("{{ 'a' * 10 ** 10 }}", "of memory"),
    ],
)
def test_a_chat_template_has_a_limit_of_time_and_memory(
    template: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_templates, "LIMIT_S", 2.0)
    with pytest.raises(ModelError, match=message):
        chat_templates.bound(Part(template), "tokenizer", "stranger/model")


def test_a_template_that_waits_for_a_caption_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_templates, "LIMIT_S", 1.0)
    part = Part("{{ messages[0].content }}")
    chat_templates.bound(part, "tokenizer", "stranger/model")
    assert part.apply_chat_template("a photo") == "a photo"
    with pytest.raises(ModelError, match="stranger/model: the chat template of tokenizer takes more than 1 s"):
        part.apply_chat_template("for ever")


class Part:
    def __init__(self, template: str) -> None:
        self.chat_template = template

    def apply_chat_template(self, caption: str) -> str:
        end = time.monotonic() + (10 if caption == "for ever" else 0)
        while time.monotonic() < end:
            pass
        return caption


@pytest.mark.parametrize("data", [b"[" * 300_000 + b"]" * 300_000, b'{"a":' * 300_000 + b"1" + b"}" * 300_000])
def test_json_that_is_nested_deep_is_a_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model_index.json").write_bytes(data)
    with pytest.raises(ModelError, match=r"model_index.json is not JSON") as caught:
        resolve_pipeline(PipelineSource(repository=str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_the_template_of_a_processors_tokenizer_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_templates, "LIMIT_S", 1.0)
    processor = Part("")
    processor.tokenizer = Part("{% for a in range(9999) %}" * 3 + "{% endfor %}" * 3)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=r"chat template of processor.tokenizer takes more than"):
        chat_templates.bound(processor, "processor", "stranger/model")


@pytest.mark.parametrize(
    ("file", "sizes", "message"),
    [
        ("text_encoder", {"num_hidden_layers": 10**9}, "has 1,000,000,000 for num_hidden_layers, more than any model"),
        ("text_encoder", {"intermediate_size": 10**9}, r"values, of which the [\d,]+ bytes of its weights can hold"),
        ("text_encoder", {"max_position_embeddings": 10**11}, r"values, of which the [\d,]+ bytes of its weights"),
        ("text_encoder", {"hidden_size": 10**30}, "can't be loaded as CLIPTextModel"),
        ("vae", {"layers_per_block": 10**7}, "has 10,000,000 for layers_per_block, more than any model"),
        ("vae", {"block_out_channels": [32] * 5000}, "has 5,000 for block_out_channels, more than any model"),
        ("vae", {"latent_channels": 10**8}, r"values, of which the [\d,]+ bytes of its weights can hold"),
    ],
)
def test_a_configuration_of_any_size_is_a_line_and_takes_no_memory(
    folder: Path, file: str, sizes: dict[str, Any], message: str
) -> None:
    import torch

    edit(folder / file / "config.json", **sizes)
    pipeline = resolve_pipeline(PipelineSource(repository=str(folder)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    component = vae_component(pipeline) if file == "vae" else text_components(pipeline)[0]
    assert component.folder == file
    with pytest.raises(ModelError, match=message) as caught:
        model_loading.load_model(component, "cpu", torch.float32)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


def test_a_tokenizer_that_would_pad_to_a_billion_tokens_is_a_line(folder: Path) -> None:
    edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=10**9)
    with pytest.raises(ModelError, match=r"captions of up to 1,000,000,000 tokens \(model_max_length\)"):
        load(folder)


@pytest.mark.parametrize(
    "named",
    [
        {"attn_implementation": "stranger/kernel"},
        {"_attn_implementation": "kernels-community/x:y"},
        {"text_config": {"attn_implementation": {"": "stranger/kernel@main"}}},
        {"layers": [{"kernel_config": {"RMSNorm": "stranger/kernel:Layer"}}]},
    ],
)
def test_a_configuration_asks_for_no_code_of_another_repository(folder: Path, named: dict[str, Any]) -> None:
    import torch

    size_limits.require_no_kernel({"attn_implementation": "sdpa", "a": [1, {"b": "c/d"}]}, "x")
    edit(folder / "text_encoder" / "config.json", **named)
    component = text_components(resolve_pipeline(PipelineSource(repository=str(folder))))[0]
    with pytest.raises(ModelError, match=r"text_encoder/config.json names code of another repository"):
        model_loading.load_model(component, "cpu", torch.float32)


def replacing(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize(
    ("normalizers", "factor"),
    [
        ([{"type": "NFKC"}, replacing({"String": " "}, "\u2581"), {"type": "Prepend", "prepend": "\u2581"}], 2),
        ([replacing({"String": "a"}, "a" * 10)] * 10, 10**10),
        ([{"type": "Sequence", "normalizers": [replacing({"Regex": ""}, "ab")] * 6}], 3**6),
        ([replacing({"String": "ab"}, "x" * 600)], 300),
    ],
)
def test_a_tokenizer_makes_no_text_of_any_length_of_a_caption(normalizers: list[Any], factor: int) -> None:
    import tokenizers

    model = {"type": "WordLevel", "vocab": {"a": 0, "?": 1}, "unk_token": "?"}
    empty = dict.fromkeys(("truncation", "padding", "pre_tokenizer", "post_processor", "decoder"))
    state = {"type": "Sequence", "normalizers": normalizers}
    text = json.dumps({"version": "1.0", **empty, "added_tokens": [], "normalizer": state, "model": model})

    class Fast:
        backend_tokenizer = tokenizers.Tokenizer.from_str(text)

    assert round(text_growth.growth(state)) == factor
    if factor < text_growth.MAX_GROWTH:
        size_limits.require_tokens(Fast(), "stranger/model")
    else:
        with pytest.raises(ModelError, match=f"may make captions {factor:,d} times as long"):
            size_limits.require_tokens(Fast(), "stranger/model")


@pytest.mark.parametrize("longest", [5, 400])
def test_a_model_of_sentencepiece_makes_no_text_of_any_length_of_a_caption(tmp_path: Path, longest: int) -> None:
    import sentencepiece

    (tmp_path / "rules.tsv").write_text(f"61\t{' '.join(['62'] * longest)}\n")  # a: b, so often
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat", "a dog"] * 10),
        model_writer=made,
        vocab_size=10,
        hard_vocab_limit=False,
        normalization_rule_tsv=str(tmp_path / "rules.tsv"),
        minloglevel=2,
    )

    class Slow:
        sp_model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())

    assert len(Slow.sp_model.normalize("a")) >= longest
    assert text_growth.growth_of_model(made.getvalue()) == longest
    if longest < text_growth.MAX_GROWTH:
        size_limits.require_tokens(Slow(), "stranger/model")
    else:
        with pytest.raises(ModelError, match="a model of SentencePiece's that may make captions 400 times as long"):
            size_limits.require_tokens(Slow(), "stranger/model")

"""Models that were fetched or copied in part are refused in one line, and never encode nonsense."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from hf_assets.errors import ModelError
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets.models.vae import load_vae
from hf_assets_tests import tiny_pipelines


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.build("sd15", tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def encode(folder: Path, vae: Path | None = None) -> list[dict[str, torch.Tensor]]:
    override = None if vae is None else ComponentSource(repository=str(vae))
    pipeline = resolve_pipeline(PipelineSource(repository=str(folder), vae=override))
    with load_text(pipeline, "cpu", torch.float32) as text:
        return text.encode(["cap 0", "cap 1"])


def test_a_tokenizer_without_its_vocabulary_is_refused(model: Path) -> None:
    for file in (model / "tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            file.unlink()
    with pytest.raises(ModelError, match="tokenizer reads every text alike"):
        encode(model)


def test_weights_that_are_cut_short_are_refused(model: Path) -> None:
    for part in ("text_encoder/model", "vae/diffusion_pytorch_model"):
        file = model / f"{part}.safetensors"
        file.write_bytes(file.read_bytes()[:1_000])
    with pytest.raises(ModelError, match="text_encoder can't be loaded as CLIPTextModel"):
        encode(model)
    with pytest.raises(ModelError, match="vae can't be loaded as AutoencoderKL"):
        load_vae(resolve_pipeline(PipelineSource(repository=str(model))), torch.device("cpu"), torch.float32)


def test_a_configuration_that_is_missing_is_named(model: Path) -> None:
    (model / "vae" / "config.json").unlink()
    pipeline = resolve_pipeline(PipelineSource(repository=str(model)))
    with pytest.raises(ModelError, match=r"has no vae/config\.json: fetch the model again"):
        pipeline.repository.read_json("vae/config.json")


def test_captions_need_no_vae_where_another_stands_in_for_a_missing_one(model: Path, whole: Path) -> None:
    index = json.loads((model / "model_index.json").read_text())
    del index["vae"]
    (model / "model_index.json").write_text(json.dumps(index))
    shutil.move(model / "vae", model.parent / "vae")
    found = encode(model, model.parent / "vae")
    for one, other in zip(found, encode(whole), strict=True):
        assert torch.equal(one["prompt_embeds"], other["prompt_embeds"])
    assert not torch.equal(found[0]["prompt_embeds"], found[1]["prompt_embeds"])


def test_weights_that_are_there_as_a_variant_only_are_named(model: Path) -> None:
    for file in (*model.glob("text_encoder/*.safetensors"), *model.glob("vae/*.safetensors")):
        file.rename(file.with_suffix(".fp16.safetensors"))
    with pytest.raises(ModelError, match='text_encoder has weights of the variant fp16 only: set variant to "fp16"'):
        encode(model)
    with pytest.raises(ModelError, match='vae has weights of the variant fp16 only: set variant to "fp16"'):
        load_vae(resolve_pipeline(PipelineSource(repository=str(model))), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("kind", ["StableDiffusionPipeline", "AltDiffusionPipeline"])  # with a row, and without
def test_a_text_encoder_that_is_empty_is_named(model: Path, kind: str) -> None:
    index = json.loads((model / "model_index.json").read_text())
    index |= {"_class_name": kind, "text_encoder": [None, None]}
    (model / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"In its model_index\.json, text_encoder is empty\. Install"):
        encode(model)


def test_what_a_pipeline_without_a_row_says_is_said_in_one_line(model: Path) -> None:
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**index, "_class_name": "AudioLDM2Pipeline"}))
    with pytest.raises(ModelError, match=r"can't be used as AudioLDM2Pipeline: .*choose another pipeline") as error:
        encode(model)
    assert "\n" not in str(error.value)

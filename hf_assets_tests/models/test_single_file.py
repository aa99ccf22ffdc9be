"""Checkpoints in one file: loaded as diffusers loads them, equal to the same weights in diffusers' layout."""

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hf_assets.config import loading
from hf_assets.encode import revisions
from hf_assets.errors import ConfigError, ModelError
from hf_assets.models import model_loading, single_file
from hf_assets.models.components import text_components, text_fingerprint, vae_component, vae_fingerprint
from hf_assets.models.pipeline import ComponentSource, Pipeline, PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets.models.vae import load_vae
from hf_assets.plan import estimates
from hf_assets_tests.models.conftest import resolved
from hf_assets_tests.tiny_pipelines import images, single_files, text_encoders, tokenizers

# Whose settings diffusers takes for such files.
SETTINGS = {
    "sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, hub):
    """family -> a folder in diffusers' layout; the Hub has its settings, and its weights in one file."""
    root, found = tmp_path_factory.mktemp("single"), {}
    with torch.random.fork_rng(devices=[]), model_loading.quiet():
        torch.manual_seed(3)
        for family, repository in SETTINGS.items():
            pipeline = getattr(images, family)()
            if family == "sdxl":  # by the bias of its tenth layer such a file is known
                tokenizer = tokenizers.clip()
                config = transformers.CLIPTextConfig.from_dict(
                    {**pipeline.text_encoder_2.config.to_dict(), "num_hidden_layers": 10}
                )
                assert len(tokenizer) == config.vocab_size
                pipeline.text_encoder_2 = transformers.CLIPTextModelWithProjection(config).eval()
            pipeline.save_pretrained(root / family)
            folder = found[family] = root / family
            small = {
                path.relative_to(folder).as_posix(): path
                for path in folder.rglob("*")
                if path.is_file() and path.suffix != ".safetensors"
            }
            hub.commit(repository, small, repo_type="model")
            file = single_files.write(folder, root / f"{family}.safetensors")
            hub.commit(f"mixes/{family}", {"checkpoints/mix.safetensors": file}, repo_type="model")
    assert text_encoders.WIDTH != text_encoders.WIDTH_2
    return found


def file_of(folder: Path) -> Path:
    return folder.with_suffix(".safetensors")


def of(name: str | Path, **more: object) -> Pipeline:
    return resolve_pipeline(PipelineSource.model_validate({"repository": str(name), **more}))


@pytest.mark.parametrize("family", SETTINGS)
@pytest.mark.parametrize("where", ["local", "hub"])
def test_values_are_those_of_the_same_weights_in_diffusers_layout(folders, family, where):
    whole = resolved(folders[family])
    single = of(file_of(folders[family]) if where == "local" else f"mixes/{family}/checkpoints/mix.safetensors")
    assert single.class_name == whole.class_name
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with load_vae(single, "cpu", torch.float32) as vae, load_vae(whole, "cpu", torch.float32) as expected:
        torch.testing.assert_close(vae.encode(pixels), expected.encode(pixels), rtol=0, atol=1e-6)
        assert vae.reads == expected.reads
    with load_text(single, "cpu", torch.float32) as text:
        (found,) = text.encode(["a red cat"])
    with load_text(whole, "cpu", torch.float32) as text:
        (expected_text,) = text.encode(["a red cat"])
    assert found.keys() == expected_text.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected_text[name], rtol=0, atol=1e-6)


def test_of_a_file_on_the_hub_nothing_but_its_header_is_fetched_to_know_its_keys(folders, hub):
    before = hub.bytes_sent("mixes/sdxl", "checkpoints/mix.safetensors")
    pipeline = of("mixes/sdxl/checkpoints/mix.safetensors")
    text_fingerprint(pipeline)
    vae_fingerprint(pipeline)
    size = file_of(folders["sdxl"]).stat().st_size
    assert hub.bytes_sent("mixes/sdxl", "checkpoints/mix.safetensors") - before < size / 2
    assert pipeline.name == "mixes/sdxl/checkpoints/mix.safetensors"
    assert pipeline.sha is not None


def test_the_fingerprint_is_the_files(folders, tmp_path):
    file = Path(shutil.copy(file_of(folders["sd15"]), tmp_path / "another_name.safetensors"))
    same, other = of(file), of(single_files.write(folders["sd15"], tmp_path / "b.safetensors", leave_out="model."))
    own = of(file_of(folders["sd15"]))
    for fingerprint in (vae_fingerprint, text_fingerprint):
        assert fingerprint(same) == fingerprint(own)
        assert fingerprint(other) != fingerprint(own)
    for side in (revisions.VAE, revisions.TEXT):
        assert revisions.of_side(same, side) == revisions.of_side(own, side)
        assert revisions.of_side(other, side) != revisions.of_side(own, side)


@pytest.mark.parametrize(
    ("leave_out", "side", "message"),
    [
        ("first_stage_model", vae_component, r"has no vae \(AutoencoderKL\): name one with the key vae"),
        ("cond_stage_model", text_components, r"has no text_encoder \(CLIPTextModel\): choose a file that has it"),
    ],
)
def test_what_a_file_lacks_is_named(folders, tmp_path, leave_out, side, message):
    file = single_files.write(folders["sd15"], tmp_path / "part.safetensors", leave_out=leave_out)
    with pytest.raises(ModelError, match=message):
        side(of(file))


def test_a_key_adds_what_a_file_lacks(folders, tmp_path):
    file = single_files.write(folders["sd15"], tmp_path / "part.safetensors", leave_out="first_stage_model")
    pipeline = of(file, vae=ComponentSource(repository=str(folders["sdxl"] / "vae")))
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with load_vae(pipeline, "cpu", torch.float32) as vae:
        found = vae.encode(pixels)
    with load_vae(resolved(folders["sdxl"]), "cpu", torch.float32) as own:
        expected = own.encode(pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("layout", ["trained", "diffusers"])
@pytest.mark.parametrize("where", ["local", "hub"])
def test_a_vae_of_one_file_has_the_settings_of_the_pipeline_s_own(folders, tmp_path, hub, layout, where):
    weights = load_file(folders["sdxl"] / "vae/diffusion_pytorch_model.safetensors")
    if layout == "trained":  # as VAEs are shared: under the names of the checkpoint, without their common prefix
        whole, prefix = load_file(file_of(folders["sdxl"])), single_file.VAE[0]
        weights = {name.removeprefix(prefix): one for name, one in whole.items() if name.startswith(prefix)}
    save_file(weights, tmp_path / "vae.safetensors")
    name, revision = str(tmp_path / "vae.safetensors"), None
    if where == "hub":
        revision = hub.commit(f"vaes/{layout}", {"a/vae.safetensors": tmp_path / "vae.safetensors"}, repo_type="model")
        hub.commit(f"vaes/{layout}", {"a/vae.safetensors": b"another"}, repo_type="model")
        name = f"vaes/{layout}/a/vae.safetensors"
    source = ComponentSource(repository=name, revision=revision)
    pipeline = of(folders["sd15"], vae=source)
    assert vae_fingerprint(pipeline) != vae_fingerprint(of(folders["sd15"]))
    assert revisions.of_side(pipeline, revisions.VAE) != revisions.of_side(of(folders["sd15"]), revisions.VAE)
    assert revisions.of_side(pipeline, revisions.VAE).commit == revision
    weight_bytes = (tmp_path / "vae.safetensors").stat().st_size if where == "hub" else 0
    assert estimates.model_bytes_to_fetch([vae_component(pipeline)]) == weight_bytes
    with (
        load_vae(pipeline, "cpu", torch.float32) as vae,
        load_vae(resolved(folders["sdxl"]), "cpu", torch.float32) as own,
    ):
        found, expected = (each.model.state_dict() for each in (vae, own))
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        assert vae.model.config.scaling_factor == 0.18215  # of Stable Diffusion 1.5, whose pipeline it is
    assert estimates.model_bytes_to_fetch([vae_component(pipeline)]) == 0


def test_of_one_file_what_is_no_vae_is_refused(folders, tmp_path):
    save_file({"a.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    one = ComponentSource(repository=str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelError, match="has no weights of a VAE: name another with the key vae"):
        vae_component(of(folders["sd15"], vae=one))
    with pytest.raises(ModelError, match="has no variants nor folders: remove variant and subfolder"):
        vae_component(of(folders["sd15"], vae=one.model_copy(update={"variant": "fp16"})))
    with pytest.raises(ModelError, match="is one file, of which T5 isn't loaded: name a repository or folder"):
        of(folders["sd15"], t5=one)


def test_weights_that_are_missing_are_an_error(folders, tmp_path):
    name = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    file = single_files.write(folders["sd15"], tmp_path / "part.safetensors", leave_out=name)
    with pytest.raises(ModelError, match=r"lacks 1 weights of text_encoder \(CLIPTextModel; first: final_layer_norm"):
        load_text(of(file), "cpu", torch.float32)


def test_pickles_and_what_is_none_of_it_are_refused(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelError, match="is a pickle, which can run code and is never loaded"):
        of(tmp_path / "model.ckpt")
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    with pytest.raises(ModelError, match="is no file of safetensors, or not whole"):
        of(tmp_path / "model.safetensors")
    save_file({"a.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="is in no layout that diffusers knows"):
        of(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="does not exist: check it, or give user/repository/file"):
        of(tmp_path / "other.safetensors")


def test_a_file_that_the_repository_lacks_names_those_it_has(folders):
    with pytest.raises(ModelError, match=r"mixes/sd15 has no mix\.safetensors: it has checkpoints/mix\.safetensors"):
        of("mixes/sd15/mix.safetensors")


@pytest.mark.parametrize(
    ("written", "read", "revision"),
    [
        ("user/mix/file.safetensors", "user/mix/file.safetensors", None),
        ("https://huggingface.co/user/mix/blob/main/a/file.safetensors", "user/mix/a/file.safetensors", None),
        ("https://huggingface.co/user/mix/blob/v2/a/b%20c.safetensors", "user/mix/a/b c.safetensors", "v2"),
        (
            "https://hf.co/user/mix/resolve/refs%2Fpr%2F3/b.safetensors?download=true",
            "user/mix/b.safetensors",
            "refs/pr/3",
        ),
        ("https://hf.co/user/mix/blob/refs/pr/3/b.safetensors", "user/mix/b.safetensors", "refs/pr/3"),
        ("./file.safetensors", "{folder}/file.safetensors", None),
        ("file.safetensors", "{folder}/file.safetensors", None),
    ],
)
def test_a_config_names_a_file(tmp_path, written, read, revision):
    entry = {"id": "a", "type": "huggingface", "dataset_name": "user/photos"}
    block = {"pretrained_model_name_or_path": written}
    config = {"model": {**block, "vae": block}, "datasets": [entry]}
    (tmp_path / "datasets.json").write_text(json.dumps(config))
    pipeline = loading.load(tmp_path / "datasets.json").recipes[0].model.pipeline
    for found in (pipeline, pipeline.vae):
        assert (found.repository, found.revision) == (read.format(folder=tmp_path), revision)
    if revision is not None:
        config["model"]["revision"] = "other"
        (tmp_path / "datasets.json").write_text(json.dumps(config))
        with pytest.raises(
            ConfigError, match=f'model.revision: is "other", but the address has "{revision}"; keep one'
        ):
            loading.load(tmp_path / "datasets.json")


def test_diffusers_reads_the_same_file(folders):
    """The file that the other tests write is one, as diffusers' own loading of VAEs finds."""
    folder = folders["sd15"]
    own = diffusers.AutoencoderKL.from_single_file(str(file_of(folder)), config=str(folder), subfolder="vae")
    whole = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae").state_dict()
    assert own.state_dict().keys() == whole.keys()
    assert all(torch.equal(value, whole[name]) for name, value in own.state_dict().items())

"""Fingerprints must change exactly when what is loaded does: tested in both directions."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from hf_assets.models.components import text_components, text_fingerprint, vae_component, vae_fingerprint
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.models.conftest import resolved

FAMILIES = sorted(tiny_pipelines.COMPLETE)


def fingerprints(folder, **source):
    pipeline = resolve_pipeline(PipelineSource(repository=str(folder), **source))
    return {"vae": vae_fingerprint(pipeline), "text": text_fingerprint(pipeline)}


def changed_by(folder, change):
    before = fingerprints(folder)
    change(folder)
    after = fingerprints(folder)
    return {side for side in before if before[side] != after[side]}


def write(path, content="changed"):
    def change(folder):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)

    return change


def copy(path, to):
    return lambda folder: shutil.copy(folder / path, folder / to)


def nudge(path):
    """Change one number among the weights."""

    def change(folder):
        tensors = load_file(folder / path)
        next(iter(tensors.values())).flatten()[0] += 1
        save_file(tensors, folder / path, {"format": "pt"})

    return change


def edit(path, **values):
    def change(folder):
        config = json.loads((folder / path).read_text())
        (folder / path).write_text(json.dumps({**config, **values}))

    return change


@pytest.mark.parametrize(
    ("change", "sides"),
    [
        (write("README.md"), set()),
        (write(".gitattributes"), set()),
        (write("vae/README.md"), set()),
        (write("tokenizer/README.md"), set()),
        (edit("scheduler/scheduler_config.json", beta_end=0.5), set()),
        (nudge("unet/diffusion_pytorch_model.safetensors"), set()),
        (edit("unet/config.json", sample_size=16), set()),
        (write("safety_checker/config.json"), set()),
        (write("vae/diffusion_pytorch_model.bin"), set()),
        (write("text_encoder/pytorch_model.bin"), set()),
        (write("text_encoder/model.onnx"), set()),
        (write("text_encoder/flax_model.msgpack"), set()),
        (write("vae/diffusion_pytorch_model.safetensors.index.fp16.json"), set()),
        (copy("vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors"), set()),
        (copy("text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors"), set()),
        (edit("model_index.json", _diffusers_version="9.9", _name_or_path="elsewhere"), set()),
        (edit("model_index.json", unet=["diffusers", "OtherModel"]), set()),
        (edit("model_index.json", scheduler=["diffusers", "DDIMScheduler"]), set()),
        (edit("model_index.json", image_encoder=["transformers", "CLIPVisionModel"]), set()),
        (edit("model_index.json", force_zeros_for_empty_prompt=False), {"text"}),
        (edit("model_index.json", _class_name="StableDiffusionXLImg2ImgPipeline"), {"text"}),
        (edit("tokenizer/tokenizer_config.json", model_max_length=76), {"text"}),
        (write("tokenizer_2/added_tokens.json", "{}"), {"text"}),
        (nudge("text_encoder/model.safetensors"), {"text"}),
        (nudge("text_encoder_2/model.safetensors"), {"text"}),
        (edit("text_encoder/config.json", num_attention_heads=2), {"text"}),
        (nudge("vae/diffusion_pytorch_model.safetensors"), {"vae"}),
        (edit("vae/config.json", scaling_factor=1.0), {"vae"}),
        (edit("model_index.json", vae=["diffusers", "AutoencoderTiny"]), {"vae"}),
    ],
)  # fmt: skip
def test_a_commit_changes_only_the_side_that_reads_it(copied, change, sides):
    assert changed_by(copied("sdxl"), change) == sides


@pytest.mark.parametrize("family", sorted(tiny_pipelines.FAMILIES))
def test_each_side_of_every_family_has_its_own_files(copied, family):
    folder = copied(family)
    assert changed_by(folder, write("README.md")) == set()
    vae = "movq/config.json" if family == "kandinsky3" else "vae/config.json"
    assert changed_by(folder, write(vae, (folder / vae).read_text() + " ")) == {"vae"}
    tokenizers = sorted(path for path in folder.glob("tokenizer*/*") if path.is_file())
    for file in (tokenizers[0], tokenizers[-1]):
        assert changed_by(folder, lambda _, file=file: file.write_bytes(file.read_bytes() + b" ")) == {"text"}
    for denoiser in ("transformer", "unet"):
        if (folder / denoiser).exists():
            settings = folder / denoiser / "config.json"
            read = {"text"} if family == "stableaudio" else set()  # its constructor reads them
            assert changed_by(folder, write(f"{denoiser}/config.json", settings.read_text() + " ")) == read


def test_seeds_and_families_differ_and_repetition_does_not(built, tmp_path):
    for family in FAMILIES:
        again = fingerprints(tiny_pipelines.build(family, tmp_path / family / "again"))
        other = fingerprints(tiny_pipelines.build(family, tmp_path / family / "other", seed=1))
        assert fingerprints(built(family)) == again
        assert not set(again.values()) & set(other.values())
    assert len({fingerprints(built(family))["vae"] for family in FAMILIES}) == len(FAMILIES)


def test_a_remembered_hash_is_dropped_when_the_file_changes(copied, tmp_path, monkeypatch):
    from hf_assets.hub import hashes

    monkeypatch.setattr(hashes, "SETTLED_AFTER_NS", 0)
    folder, cache = copied("sdxl"), tmp_path / "hashes.json"

    def vae():
        source = PipelineSource(repository=str(folder))
        return vae_fingerprint(resolve_pipeline(source, hash_cache=cache))

    before = vae()
    assert len(json.loads(cache.read_text())) == 2  # config.json and the weights
    assert vae() == before == fingerprints(folder)["vae"]
    nudge("vae/diffusion_pytorch_model.safetensors")(folder)
    assert vae() == fingerprints(folder)["vae"] != before


def test_remembered_hashes_are_not_taken_again(copied, tmp_path, monkeypatch):
    from hf_assets.hub import hashes

    monkeypatch.setattr(hashes, "SETTLED_AFTER_NS", 0)
    source, cache = PipelineSource(repository=str(copied("sdxl"))), tmp_path / "hashes.json"
    before = vae_fingerprint(resolve_pipeline(source, hash_cache=cache))
    monkeypatch.setattr(hashes, "sha256", lambda path: pytest.fail(f"{path} was read"))
    assert vae_fingerprint(resolve_pipeline(source, hash_cache=cache)) == before


def test_a_file_that_just_changed_is_not_remembered(copied, tmp_path):
    source, cache = PipelineSource(repository=str(copied("sdxl"))), tmp_path / "hashes.json"
    vae_fingerprint(resolve_pipeline(source, hash_cache=cache))
    assert not cache.exists()


# Variants


def with_fp16_vae(folder):
    """A VAE that has fp16 weights of other values beside the default ones; the text encoders have none."""
    copy("vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors")(folder)
    nudge("vae/diffusion_pytorch_model.fp16.safetensors")(folder)
    return folder


def test_a_variant_is_taken_where_there_is_one(copied):
    folder = with_fp16_vae(copied("sdxl"))
    default, fp16 = fingerprints(folder), fingerprints(folder, variant="fp16")
    assert default["vae"] != fp16["vae"]
    assert default["text"] == fp16["text"]  # as in diffusers: what has no fp16 weights falls back to its default ones
    vae = vae_component(resolve_pipeline(PipelineSource(repository=str(folder), variant="fp16")))
    assert vae.files == ("vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors")


# Shards


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_all_shards_and_their_index_count(copied, variant):
    folder = copied("sd15")
    dotted = f".{variant}" if variant else ""
    names = [f"model{dotted}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name in names:
        copy("text_encoder/model.safetensors", f"text_encoder/{name}")(folder)
    (folder / "text_encoder/model.safetensors").unlink()
    write(f"text_encoder/model.safetensors.index{dotted}.json", "{}")(folder)
    pipeline = resolve_pipeline(PipelineSource(repository=str(folder), variant=variant))
    encoder = next(component for component in text_components(pipeline) if component.name == "text_encoder")
    index = f"text_encoder/model.safetensors.index{dotted}.json"
    assert set(encoder.files) == {"text_encoder/config.json", index, *(f"text_encoder/{name}" for name in names)}


def test_the_layout_that_the_library_prefers_is_the_one_that_counts(copied):
    folder = copied("sd15")
    for component, stem in (("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        copy(f"{component}/{stem}.safetensors", f"{component}/{stem}-00001-of-00001.safetensors")(folder)
        write(f"{component}/{stem}.safetensors.index.json", "{}")(folder)
    pipeline = resolved(folder)
    assert any("-of-" in file for file in vae_component(pipeline).files)  # diffusers: shards first
    assert not any("-of-" in file for component in text_components(pipeline) for file in component.files)


# Another VAE in the pipeline's place


def test_a_replacing_vae_changes_the_latents_only(built, copied):
    other = tiny_pipelines.build("sdxl", copied("sdxl").with_name("other"), seed=7)
    own = fingerprints(built("sdxl"))
    replaced = fingerprints(built("sdxl"), vae=ComponentSource(repository=str(other / "vae")))
    assert replaced["vae"] == fingerprints(other)["vae"] != own["vae"]
    assert replaced["text"] == own["text"]


def test_a_vae_is_the_same_at_the_root_and_in_a_subfolder(built):
    folder = built("sdxl")
    sources = [
        ComponentSource(repository=str(folder / "vae")),
        ComponentSource(repository=str(folder), subfolder="vae"),
        ComponentSource(repository=str(folder)),  # a whole pipeline: its vae
    ]
    assert {fingerprints(folder, vae=vae)["vae"] for vae in sources} == {fingerprints(folder)["vae"]}

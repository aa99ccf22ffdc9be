import json
import os
import pickle
import subprocess
import sys

import pytest
import torch

from hf_assets.errors import ModelError
from hf_assets.models import text_fingerprint, vae_fingerprint
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets.models.vae import load_vae
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.local_hub import Fault, LocalHub
from hf_assets_tests.models.conftest import resolved

FAMILIES = sorted(tiny_pipelines.COMPLETE)


@pytest.mark.parametrize("family", FAMILIES)
def test_neither_side_needs_the_weights_of_the_denoiser_or_of_the_other(copied, family):
    folder = copied(family)
    for denoiser in ("unet", "transformer"):
        (folder / denoiser / "diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    with load_vae(resolved(folder), "cpu", torch.float32) as vae:
        assert vae.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).isfinite().all()
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with load_text(resolved(folder), "cpu", torch.float32) as encoder:
        assert encoder.encode(["a cat"])[0]["prompt_embeds"].isfinite().all()


def test_a_resolved_pipeline_travels_to_workers(built):
    pipeline = resolved(built("sd15"))
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline


@pytest.mark.parametrize(
    ("repository", "message"),
    [
        ("/no/such/folder", r"the model folder /no/such/folder does not exist"),
        ("./nothing", r"the model folder nothing does not exist"),
        ("a/b/c", r"the model folder a/b/c does not exist"),
    ],
)
def test_a_missing_folder_is_named(repository, message):
    with pytest.raises(ModelError, match=message):
        resolve_pipeline(PipelineSource(repository=repository))


def test_a_folder_has_no_revisions(built):
    with pytest.raises(ModelError, match="remove revision 'main'"):
        resolve_pipeline(PipelineSource(repository=str(built("sd15")), revision="main"))


def test_a_folder_without_an_index_is_no_pipeline(built):
    with pytest.raises(ModelError, match=r"vae is not a diffusers pipeline: it has no model_index.json"):
        resolved(built("sd15") / "vae")


def edited_index(folder, **values):
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **values}))
    return folder


def test_code_from_a_repository_is_refused(copied):
    with pytest.raises(ModelError, match="code from a repository is never run"):
        resolved(edited_index(copied("sd15"), _class_name=["my_pipeline", "MyPipeline"]))


def test_a_components_code_from_a_repository_is_refused(copied):
    folder = edited_index(copied("sd15"), text_encoder=["my_encoder", "MyEncoder"])
    (folder / "text_encoder" / "my_encoder.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ModelError, match=r"its own MyEncoder in text_encoder/my_encoder.py: code .* is never run"):
        load_text(resolved(folder), "cpu", torch.float32)


def test_a_class_that_needs_an_absent_library_says_which(copied):
    pipeline = resolved(edited_index(copied("sd15"), _class_name="AudioDiffusionPipeline"))
    with pytest.raises(
        ModelError, match=r"AudioDiffusionPipeline of diffusers.*requires the librosa library"
    ) as caught:
        text_fingerprint(pipeline)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"_class_name": "DDPMPipeline"}, "DDPMPipeline has no encode_prompt, so it reads no captions"),
        (
            {"_class_name": "QwenImageEditPipeline"},
            "QwenImageEditPipeline are not supported: with each .* image to edit",
        ),
        ({"text_encoder": [None, None], "tokenizer": [None, None]}, "has no text encoder"),
        ({"text_encoder": ["transformers", "BertModel"]}, "text_encoder lacks .* weights of BertModel"),
        ({"text_encoder": ["transformers", "NoSuchModel"]}, "needs the class NoSuchModel of transformers"),
        ({"tokenizer": ["transformers", "NoSuchTokenizer"]}, "needs the class NoSuchTokenizer of transformers"),
    ],
)
def test_what_can_not_read_captions_says_so_in_one_line(copied, edit, message):
    pipeline = resolved(edited_index(copied("sd15"), **edit))
    with pytest.raises(ModelError, match=message) as caught:
        load_text(pipeline, "cpu", torch.float32)
    assert "\n" not in str(caught.value)


def test_an_unknown_class_asks_for_an_upgrade(copied):
    pipeline = resolved(edited_index(copied("sd15"), _class_name="TomorrowPipeline"))
    with pytest.raises(ModelError, match=r"TomorrowPipeline of diffusers, .*upgrade diffusers"):
        text_fingerprint(pipeline)


def test_a_pipeline_without_vae_says_what_to_name(copied):
    pipeline = resolved(edited_index(copied("sd15"), vae=[None, None]))
    with pytest.raises(ModelError, match="has no VAE: name one with the key vae"):
        vae_fingerprint(pipeline)


def test_pickled_weights_are_refused(copied):
    folder = copied("sd15")
    for side, name in (("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        (folder / side / f"{name}.safetensors").rename(folder / side / f"{name}.bin")
    with pytest.raises(ModelError, match=r"vae has no safetensors weights.*never loaded"):
        vae_fingerprint(resolved(folder))
    with pytest.raises(ModelError, match=r"text_encoder has no safetensors weights.*never loaded"):
        text_fingerprint(resolved(folder))


def test_a_variant_that_is_nowhere_is_an_error(built):
    with pytest.raises(ModelError, match="no safetensors weights of the variant 'fp16'"):
        resolve_pipeline(PipelineSource(repository=str(built("sd15")), variant="fp16"))
    vae = ComponentSource(repository=str(built("sd15") / "vae"), variant="fp16")
    with pytest.raises(ModelError, match="no safetensors weights of the variant 'fp16'"):
        vae_fingerprint(resolve_pipeline(PipelineSource(repository=str(built("sd15")), vae=vae)))


def test_a_replacing_vae_must_be_where_it_is_said_to_be(built):
    vae = ComponentSource(repository=str(built("sd15")), subfolder="autoencoder")
    with pytest.raises(ModelError, match=r"has no autoencoder/config.json: name the VAE's folder there with subfolder"):
        vae_fingerprint(resolve_pipeline(PipelineSource(repository=str(built("sd15")), vae=vae)))


# Over the Hub's protocol: huggingface_hub reads its endpoint when it is imported, so each runs in a process of its own.

ENCODE = """
import torch
from hf_assets.models import *
pipeline = resolve_pipeline(PipelineSource(repository="user/tiny"))
print(pipeline.sha, vae_fingerprint(pipeline), text_fingerprint(pipeline), flush=True)
print(input())
with load_vae(pipeline, "cpu", torch.float32) as vae:
    print(tuple(vae.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape), vae.spatial_multiple, flush=True)
print(input())
with load_text(pipeline, "cpu", torch.float32) as encoder:
    print(sorted(encoder.encode(["a cat"])[0]), flush=True)
"""


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def environment(hub, home):
    return {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": ""}


def test_only_the_wanted_side_is_downloaded(copied, tmp_path):
    folder = copied("sd3")
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(b"pickled" * 1000)
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"variant" * 1000)
    with LocalHub(tmp_path / "hub") as hub:
        sha = hub.commit("user/tiny", files_of(folder), repo_type="model")
        process = subprocess.Popen(
            [sys.executable, "-c", ENCODE],
            env=environment(hub, tmp_path / "home"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline().split()[0] == sha
            assert hub.files_sent("user/tiny") == {"model_index.json"}

            process.stdin.write("vae\n")
            process.stdin.flush()
            assert process.stdout.readline() == "vae\n"
            assert process.stdout.readline() == "(1, 16, 4, 4) 16\n"
            assert hub.files_sent("user/tiny") == {
                "model_index.json",
                "transformer/config.json",  # for its patch size
                "vae/config.json",
                "vae/diffusion_pytorch_model.safetensors",
            }

            process.stdin.write("text\n")
            process.stdin.flush()
            assert process.stdout.readline() == "text\n"
            assert process.stdout.readline() == "['pooled_prompt_embeds', 'prompt_embeds']\n"
        assert process.returncode == 0
        sent = hub.files_sent("user/tiny")
        assert "text_encoder_3/model.safetensors" in sent
        assert "text_encoder/pytorch_model.bin" not in sent
        assert "transformer/diffusion_pytorch_model.safetensors" not in sent
        assert "vae/diffusion_pytorch_model.fp16.safetensors" not in sent


ERRORS = """
import sys
from hf_assets.models import resolve_pipeline, PipelineSource
from hf_assets.hub import api
from hf_assets.errors import ModelError
api.WAITS_S = (0.01, 0.01)
for name, revision in [line.rstrip("\\n").split("@") for line in sys.stdin]:
    try:
        resolve_pipeline(PipelineSource(repository=name, revision=revision or None))
        print("fine")
    except ModelError as error:
        print(error)
"""


def test_what_the_hub_refuses_is_said_in_one_line(built, tmp_path):
    with LocalHub(tmp_path / "hub") as hub:
        for name in ("user/open", "user/gated", "user/private", "user/shaky"):
            hub.commit(name, files_of(built("sd15")), repo_type="model")
        hub.commit("user/other", {"model.safetensors": b"weights"}, repo_type="model")
        hub.set_gated("user/gated", repo_type="model")
        hub.set_private("user/private", repo_type="model")
        hub.faults += [Fault("/api/models/user/shaky", times=2, status=503)]
        asked = ["user/open@", "user/open@nowhere", "user/gated@", "user/private@", "user/absent@", "user/other@",
                 "user/shaky@", "not a name@"]  # fmt: skip
        shown = ask(asked, environment(hub, tmp_path / "home"))
    shown += ask(["user/open@"], environment(hub, tmp_path / "empty"))  # the Hub is down
    expected = ["fine", 'model "user/open" has no revision "nowhere"', 'model "user/gated" is gated: accept its terms',
                'there is no folder "user/private" here, and model "user/private" is not on the Hub, or is private',
                'there is no folder "user/absent" here, and model "user/absent" is not on the Hub',
                "user/other is not a diffusers pipeline", "fine", '"not a name" is neither a folder nor a Hub id',
                'there is no folder "user/open" here, and the Hub can\'t be reached for model "user/open"']  # fmt: skip
    assert [line[: len(start)] for line, start in zip(shown, expected, strict=True)] == expected


def ask(lines, environment):
    done = subprocess.run(
        [sys.executable, "-c", ERRORS],
        env=environment,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()

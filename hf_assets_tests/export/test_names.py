"""The names that MLPerf's Flux reader and Primus read."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from hf_assets.errors import ModelError
from hf_assets.export import fastvideo_shards
from hf_assets.models import normalisation
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.export.readers import samples_of
from hf_assets_tests.export.sets import Photo, TinySet, latents_of, photos

SHAPE = (16, 8, 12)
TWO = [photo._replace(shape=SHAPE) for photo in photos("one", "two")]


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    made = TinySet(tmp_path_factory.mktemp("flux"), "flux", dtype="bfloat16", model={"latents": "moments"})
    made.write(TWO)
    return made


def numbers(values: object) -> torch.Tensor:
    """bfloat16 from its bits."""
    return torch.from_numpy(np.array(values, np.uint16)).view(torch.bfloat16).float()


def test_mlperfs_reader_opens_text_and_the_posterior_as_the_vae_gives_it(flux: TinySet, tmp_path: Path) -> None:
    flux.export("parquet", tmp_path, names="mlperf")
    found = datasets.load_from_disk(str(tmp_path / "photos"))
    assert found.column_names == ["t5_encodings", "clip_encodings", "mean", "logvar"]
    assert len(found) == 2
    vae = json.loads((flux.root / "model/vae/config.json").read_text())
    from hf_assets.training import TrainingSet

    training = TrainingSet.open(flux.recipe.folders.metadata)
    for row, photo, sample in zip(found, TWO, (training[0], training[1]), strict=True):
        scaled, deviation = sample["latents"].float(), sample["latents_std"].float()
        assert torch.equal(sample["latents"], latents_of(photo, torch.bfloat16))
        mean, logvar = numbers(row["mean"]), numbers(row["logvar"])
        assert mean.shape == SHAPE
        assert torch.allclose((mean - vae["shift_factor"]) * vae["scaling_factor"], scaled, atol=2e-2)
        assert torch.allclose((logvar / 2).exp() * vae["scaling_factor"], deviation, rtol=2e-2, atol=1e-2)
        assert torch.equal(numbers(row["t5_encodings"]), sample["prompt_embeds"].float())
        assert torch.equal(numbers(row["clip_encodings"]), sample["pooled_prompt_embeds"].float())


def test_primus_reads_packed_latents(flux: TinySet, tmp_path: Path) -> None:
    flux.export("webdataset", tmp_path, names="primus")
    samples = samples_of(str(tmp_path / "photos/train-00000.tar"))
    assert [sample["__key__"] for sample in samples] == ["0000000000", "0000000001"]
    assert set(samples[0]) - {"__key__", "__url__", "__local_path__"} == {
        "latents.pth",
        "prompt_embeds.pth",
        "pooled_prompt_embeds.pth",
        "caption.txt",
    }
    assert samples[1]["caption.txt"] == "a photo of two"
    assert samples[1]["latents.pth"].shape == (64, 4, 6)
    restored = normalisation.unpatchify(samples[1]["latents.pth"][None])[0]
    assert torch.equal(restored, latents_of(TWO[1], torch.bfloat16))


@pytest.mark.parametrize(("format", "names"), [("parquet", "mlperf"), ("webdataset", "primus"), ("simpletuner", None)])
def test_another_model_than_the_one_that_made_the_training_set_is_refused(
    format: str, names: str | None, flux: TinySet, tmp_path: Path
) -> None:
    (tmp_path / "model").symlink_to(tiny_pipelines.build("flux", tmp_path / "other", seed=1))
    folder = flux.recipe.folders.metadata
    other = TinySet(tmp_path, "flux", dtype="bfloat16", model={"latents": "moments"})
    (tmp_path / "cache").symlink_to(flux.root / "cache")
    assert other.recipe.folders.metadata.resolve() == folder
    with pytest.raises(ModelError, match=r"of photos are of another model, .* with `hf-assets run photos`"):
        other.export(format, tmp_path / "out", names=names)


@pytest.mark.parametrize(("format", "names"), [("parquet", "mlperf"), ("webdataset", "primus")])
def test_other_models_have_no_such_names(format: str, names: str, tmp_path: Path) -> None:
    made = TinySet(tmp_path, "sd15")
    made.write(photos("one"))
    with pytest.raises(ModelError, match=f"the names {names} are those of Flux"):
        made.export(format, tmp_path / "out", names=names)


def test_mlperf_needs_moments(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "flux")
    made.write([Photo("one", ("words",), SHAPE)])
    with pytest.raises(ModelError, match='set latents to "moments"'):
        made.export("parquet", tmp_path / "out", names="mlperf")


def test_fastvideo_refuses_images(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "sd15")
    made.write(photos("one"))
    with pytest.raises(ModelError, match="latents with a frame axis"):
        made.export("fastvideo", tmp_path / "out")


def test_fastvideo_refuses_a_vae_whose_statistics_are_among_its_weights(tmp_path: Path) -> None:
    made = TinySet(tmp_path, "ltx", dataset_type="video", video_column="video", video={"num_frames": 9})
    made.write([Photo("one", ("words",), (128, 2, 2, 2))])
    with pytest.raises(ModelError, match="AutoencoderKLLTXVideo's, whose statistics are among its weights"):
        made.export("fastvideo", tmp_path / "out")


@pytest.mark.parametrize(("mask", "length"), [([1, 1, 1, 0, 0], 3), ([0, 0, 0, 0, 0], 1), (None, 4)])
def test_fastvideo_s_text_ends_where_the_mask_does_or_else_the_zeros(mask: list[int] | None, length: int) -> None:
    embeds = torch.tensor([[1.0], [0.0], [2.0], [3.0], [0.0]])
    tensors = {"prompt_embeds": embeds} | ({} if mask is None else {"prompt_attention_mask": torch.tensor(mask)})
    assert torch.equal(fastvideo_shards.without_padding(tensors), embeds[:length])


def test_fastvideo_gets_latents_as_the_vae_gives_them_and_text_without_padding(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    entry = {"dataset_type": "video", "video_column": "video", "video": {"num_frames": 9}}
    made = TinySet(tmp_path, "wan", dtype="bfloat16", **entry)
    clip = Photo("one", ("a cat on a sofa",), (16, 3, 8, 8))
    made.write([clip])
    made.export("fastvideo", tmp_path / "out")
    (row,) = pq.read_table(tmp_path / "out/photos").to_pylist()
    vae = json.loads((tmp_path / "model/vae/config.json").read_text())
    raw = torch.frombuffer(bytearray(row["vae_latent_bytes"]), dtype=torch.float32).view(row["vae_latent_shape"])
    mean, std = (torch.tensor(vae[name]).view(-1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    assert torch.allclose((raw - mean) / std, latents_of(clip, torch.bfloat16).float(), atol=1e-5)
    from hf_assets.training import TrainingSet

    whole = TrainingSet.open(made.recipe.folders.metadata)[0]["prompt_embeds"].float()
    text = torch.frombuffer(bytearray(row["text_embedding_bytes"]), dtype=torch.float32)
    text = text.view(row["text_embedding_shape"])
    assert 1 < len(text) < 512
    assert torch.equal(text, whole[: len(text)])
    assert not whole[len(text) :].any()
    facts = ("media_type", "width", "height", "num_frames", "duration_sec", "fps", "caption")
    assert [row[name] for name in facts] == ["video", 64, 64, 9, 1.125, 8.0, "a cat on a sofa"]

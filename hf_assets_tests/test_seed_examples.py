"""The JSON examples of SimpleTuner's page on Hugging Face datasets, as they stand there.

Each is the `multidatabackend.json` of a user with a `config.json` beside it, and its dataset lies on the local Hub.
"""

import io
import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_assets.config import loading
from hf_assets.definitions import build_definitions
from hf_assets.training import Mixture, TrainingSet
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.video_files import clip

BASIC = """
{
  "id": "my-hf-dataset",
  "type": "huggingface",
  "dataset_name": "username/dataset-name",
  "split": "train",
  "caption_strategy": "huggingface",
  "metadata_backend": "huggingface",
  "caption_column": "text",
  "image_column": "image",
  "cache_dir": "cache/my-hf-dataset"
}
"""

# The page shows these as parts of an entry.
SEVERAL_CAPTIONS = '{"caption_column": ["short_caption", "detailed_caption", "tags"]}'
NESTED_CAPTIONS = """
{
  "caption_column": "metadata.caption",
  "fallback_caption_column": "basic_caption"
}
"""
ADVANCED_CAPTIONS = """
{
  "huggingface": {
    "caption_column": "caption",
    "fallback_caption_column": "description",
    "description_column": "detailed_description",
    "width_column": "width",
    "height_column": "height"
  }
}
"""
QUALITY = """
{
  "huggingface": {
    "filter_func": {
      "quality_thresholds": {
        "clip_score": 0.3,
        "aesthetic_score": 5.0,
        "resolution": 0.8
      },
      "quality_column": "quality_assessment"
    }
  }
}
"""
COLLECTION = """
{
  "huggingface": {
    "filter_func": {
      "collection": ["photo", "artwork"],
      "min_width": 512,
      "min_height": 512
    }
  }
}
"""
COMPOSITE = """
{
  "huggingface": {
    "composite_image_config": {
      "enabled": true,
      "image_count": 4,
      "select_index": 0
    }
  }
}
"""

PHOTOS = """
{
  "id": "aesthetic-photos",
  "type": "huggingface",
  "dataset_name": "aesthetic-foundation/aesthetic-photos",
  "split": "train",
  "caption_strategy": "huggingface",
  "metadata_backend": "huggingface",
  "caption_column": "caption",
  "image_column": "image",
  "resolution": 1024,
  "resolution_type": "pixel",
  "minimum_image_size": 512,
  "cache_dir": "cache/aesthetic-photos"
}
"""
ART = """
{
  "id": "high-quality-art",
  "type": "huggingface",
  "dataset_name": "example/art-dataset",
  "caption_strategy": "huggingface",
  "metadata_backend": "huggingface",
  "huggingface": {
    "caption_column": ["title", "description", "tags"],
    "fallback_caption_column": "filename",
    "width_column": "original_width",
    "height_column": "original_height",
    "filter_func": {
      "quality_thresholds": {
        "aesthetic_score": 6.0,
        "technical_quality": 0.8
      },
      "min_width": 768,
      "min_height": 768
    }
  },
  "resolution": 1024,
  "resolution_type": "pixel_area",
  "crop": true,
  "crop_aspect": "square"
}
"""
VIDEO = """
{
  "id": "video-dataset",
  "type": "huggingface",
  "dataset_type": "video",
  "dataset_name": "example/video-clips",
  "caption_strategy": "huggingface",
  "metadata_backend": "huggingface",
  "huggingface": {
    "caption_column": "description",
    "num_frames_column": "frame_count",
    "fps_column": "fps"
  },
  "video": {
    "num_frames": 125,
    "min_frames": 100
  },
  "resolution": 480,
  "resolution_type": "pixel"
}
"""
MIXED = """
[
  {
    "id": "hf-dataset",
    "type": "huggingface",
    "dataset_name": "laion/laion-art",
    "probability": 0.7
  },
  {
    "id": "local-dataset",
    "type": "local",
    "instance_data_dir": "/path/to/local/data",
    "probability": 0.3
  }
]
"""

SMALL = {"resolution": 64}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.build("sd15", tmp_path_factory.mktemp("model") / "model")


class User:
    """A folder with SimpleTuner's two files."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {"--pretrained_model_name_or_path": str(model), "vae_dtype": "fp32"}

    def run(self, *entries: dict[str, Any], **settings: Any) -> dict[str, TrainingSet]:
        """Materialize everything from these entries."""
        (self.folder / "config.json").write_text(json.dumps({**self.settings, **settings}))
        (self.folder / "multidatabackend.json").write_text(json.dumps(entries))
        config = loading.load(self.folder / "multidatabackend.json")
        definitions = build_definitions(config)
        done = dg.materialize(list(definitions.assets or ()), resources=definitions.resources)
        assert done.success
        return {recipe.id: TrainingSet.open(recipe.folders.metadata) for recipe in config.recipes}


@pytest.fixture
def user(tmp_path: Path, model: Path) -> User:
    return User(tmp_path, model)


def rows(*columns: dict[str, Any], size: tuple[int, int] = (64, 64), caption: str | None = None) -> list[Row]:
    return [Row(image_bytes(number, *size), caption, given) for number, given in enumerate(columns)]


def captions(training: TrainingSet) -> dict[int, list[str]]:
    return {row["row"]: row["captions"] for row in training.table.select(["row", "captions"]).to_pylist()}


def test_basic(hub: LocalHub, user: User) -> None:
    hub.commit("username/dataset-name", files_of(rows({"text": "a cat"}, {"text": "a dog"}, {"text": None})))
    training = user.run(json.loads(BASIC), **SMALL)["my-hf-dataset"]
    assert captions(training) == {0: ["a cat"], 1: ["a dog"]}
    assert (user.folder / "cache/my-hf-dataset/vae/my-hf-dataset").is_dir()
    assert (user.folder / "cache/my-hf-dataset/huggingface_metadata/my-hf-dataset/training_set.parquet").is_file()
    assert training[0]["target_size"] == [64, 64]


CAPTION_ROWS = [
    {
        "short_caption": "short",
        "detailed_caption": " a detailed one ",
        "tags": ["x", "y"],
        "metadata": {"caption": "deep"},
        "basic_caption": "basic",
        "description": "described",
        "detailed_description": "in detail",
        "width": 64,
        "height": 64,
    },
    {
        "short_caption": None,
        "detailed_caption": "b",
        "tags": None,
        "metadata": {"caption": None},
        "basic_caption": "basic",
        "description": None,
        "detailed_description": "in detail",
        "width": 64,
        "height": 64,
    },
    {
        "short_caption": "",
        "detailed_caption": None,
        "tags": [],
        "metadata": None,
        "basic_caption": None,
        "description": " ",
        "detailed_description": None,
        "width": 64,
        "height": 64,
    },
]


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (SEVERAL_CAPTIONS, {0: ["short", "a detailed one", "x", "y"], 1: ["b"]}),
        (NESTED_CAPTIONS, {0: ["deep"], 1: ["basic"]}),
        (ADVANCED_CAPTIONS, {0: ["described"], 1: ["in detail"]}),
    ],
)
def test_captions(example: str, expected: dict[int, list[str]], hub: LocalHub, user: User) -> None:
    hub.commit("username/captions", files_of(rows(*CAPTION_ROWS)))
    entry = {"id": "a", "type": "huggingface", "dataset_name": "username/captions", **json.loads(example)}
    assert captions(user.run(entry, **SMALL)["a"]) == expected


def test_quality(hub: LocalHub, user: User) -> None:
    good = {"clip_score": 0.3, "aesthetic_score": 5.0, "resolution": 0.8}
    scores = [good, {**good, "clip_score": 0.29}, {**good, "resolution": None}, None]
    hub.commit("username/quality", files_of(rows(*({"quality_assessment": one} for one in scores), caption="a")))
    entry = {"id": "a", "type": "huggingface", "dataset_name": "username/quality", **json.loads(QUALITY)}
    assert list(captions(user.run(entry, **SMALL)["a"])) == [0]
    dropped = pq.read_table(user.folder / "cache/a/huggingface_metadata/a/filtered_dropped.parquet")
    reasons = ["low_clip_score", "low_resolution_missing", "low_aesthetic_score_missing"]
    assert dropped["dropped_for"].to_pylist() == reasons


def test_collection(hub: LocalHub, user: User) -> None:
    """The first has the size in its columns, the second only in its header."""
    given = [
        Row(image_bytes(0), "a", {"collection": "photo", "width": 512, "height": 512}),
        Row(image_bytes(1, 512, 512), "b", {"collection": "artwork", "width": None, "height": None}),
        Row(image_bytes(2, 512, 512), "c", {"collection": "drawing", "width": 512, "height": 512}),
        Row(image_bytes(3), "d", {"collection": "photo", "width": 511, "height": 512}),
        Row(image_bytes(4, 511, 512), "e", {"collection": "photo", "width": None, "height": None}),
        Row(image_bytes(5, 512, 512), "f", {"collection": None, "width": 512, "height": 512}),
    ]
    hub.commit("username/collections", files_of(given))
    entry = {"id": "a", "type": "huggingface", "dataset_name": "username/collections", **json.loads(COLLECTION)}
    assert list(captions(user.run(entry, **SMALL)["a"])) == [0, 1]


def test_composite(hub: LocalHub, user: User) -> None:
    """The page's "grid of 4 images": 2 x 2 where the image is as high as wide, and a strip where it is wide."""

    def joined(layout: list[list[int]]) -> bytes:
        tiles = [[np.asarray(Image.open(io.BytesIO(image_bytes(number)))) for number in line] for line in layout]
        stream = io.BytesIO()
        Image.fromarray(np.vstack([np.hstack(line) for line in tiles])).save(stream, "PNG")
        return stream.getvalue()

    given = [Row(joined([[0, 1], [2, 3]]), "grid"), Row(joined([[0, 1, 2, 3]]), "strip"), Row(image_bytes(0), "alone")]
    hub.commit("username/grids", files_of(given[:2]))
    hub.commit("username/alone", files_of(given[2:]))
    entry = {"id": "grids", "type": "huggingface", "dataset_name": "username/grids"}
    alone = {"id": "alone", "type": "huggingface", "dataset_name": "username/alone"}
    found = user.run({**entry, **json.loads(COMPOSITE)}, alone, **SMALL)
    grids = found["grids"]
    assert grids.table["original_size"].to_pylist() == [[64, 64], [64, 64]]
    for index in (0, 1):  # the first cell of each is the image that stands alone
        assert (grids[index]["latents"] - found["alone"][0]["latents"]).abs().max() < 1e-5
    others = json.loads(COMPOSITE)["huggingface"]["composite_image_config"] | {"select_index": 3}
    last = user.run({**entry, "composite_image_config": others}, **SMALL)["grids"]
    assert (last[0]["latents"] - last[1]["latents"]).abs().max() < 1e-5
    assert (last[0]["latents"] - grids[0]["latents"]).abs().max() > 1e-2
    assert set(last.table["latent_key"].to_pylist()).isdisjoint(grids.table["latent_key"].to_pylist())


def test_photos(hub: LocalHub, user: User) -> None:
    given = [
        Row(image_bytes(0, 512, 600), "a"),
        Row(image_bytes(1, 511, 900), "too small"),
        Row(image_bytes(2, 600, 512), None),
    ]
    hub.commit("aesthetic-foundation/aesthetic-photos", files_of(given))
    training = user.run(json.loads(PHOTOS))["aesthetic-photos"]
    assert captions(training) == {0: ["a"]}
    assert training.table["target_size"].to_pylist() == [[1024, 1216]]


def test_art(hub: LocalHub, user: User) -> None:
    good = {"quality_assessment": {"aesthetic_score": 6.0, "technical_quality": 0.8}, "tags": "t", "filename": "f"}
    size = {"original_width": 768, "original_height": 768}
    given = [
        {**good, **size, "title": "a title", "description": "a description"},
        {**good, **size, "title": None, "description": None, "tags": None},
        {**good, **size, "original_height": 767, "title": "b", "description": None},
        {**good, **size, "quality_assessment": None, "title": "c", "description": None},
    ]
    hub.commit("example/art-dataset", files_of(rows(*given, size=(96, 64))))
    training = user.run(json.loads(ART))["high-quality-art"]
    assert captions(training) == {0: ["a title", "a description", "t"], 1: ["f"]}
    assert training.table["target_size"].to_pylist() == [[1024, 1024]] * 2


def test_video(hub: LocalHub, user: User, tmp_path: Path) -> None:
    """Clips of fewer than 125 frames are cut to the longest that the VAE takes: 97 of 100, as LTX has 1 + k x 8."""
    clips = [clip(1, 100, 48, 48), clip(2, 99, 48, 48)]
    table = pa.table({
        "video": pa.array([{"bytes": data, "path": None} for data in clips]),
        "description": ["a clip", "too short"],
        "frame_count": [100, 99],
        "fps": [24.0, 24.0],
    })  # fmt: skip
    stream = io.BytesIO()
    pq.write_table(table, stream)
    hub.commit("example/video-clips", {"data/train-00000-of-00001.parquet": stream.getvalue()})
    user.settings["--pretrained_model_name_or_path"] = str(tiny_pipelines.build("ltx", tmp_path / "ltx"))
    training = user.run(json.loads(VIDEO))["video-dataset"]
    assert captions(training) == {0: ["a clip"]}
    assert training.table["target_size"].to_pylist() == [[480, 480]]
    assert training.table["num_frames"].to_pylist() == [97]
    assert training[0]["latents"].shape[-3:] == (13, 15, 15)


def test_mixed(hub: LocalHub, user: User, tmp_path: Path) -> None:
    """The page's own folder can't lie at its place on any machine but its author's."""
    hub.commit("laion/laion-art", files_of([Row(image_bytes(number), f"art {number}") for number in range(4)]))
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"my_photo_{number}.png").write_bytes(image_bytes(10 + number))
    entries = json.loads(MIXED.replace("/path/to/local/data", str(tmp_path / "data")))
    found = user.run(*entries, **SMALL)
    assert captions(found["local-dataset"]) == {number: [f"my photo {number}"] for number in range(3)}
    mixture = Mixture.from_config(tmp_path / "multidatabackend.json")
    batches = list(mixture.batches(seed=0, steps_per_epoch=10))
    which = [mixture[batch[0]]["dataset"] for batch in batches]
    assert (which.count("hf-dataset"), which.count("local-dataset")) == (7, 3)


def test_notes_and_trainer_values(hub: LocalHub, user: User, tmp_path: Path) -> None:
    entries = json.loads(MIXED)[:1]
    (user.folder / "config.json").write_text(json.dumps({**user.settings, "train_batch_size": 4}))
    (user.folder / "multidatabackend.json").write_text(json.dumps(entries))
    config = loading.load(user.folder / "multidatabackend.json")
    assert config.recipes[0].trainer == {"probability": 0.7, "train_batch_size": 4}
    assert config.notes == ("[0]: for the trainer only: probability",)

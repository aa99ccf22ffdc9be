"""`model.text: false`: latents alone, of a pipeline that reads no captions, from a folder of images without any."""

import json
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.definitions import build_definitions
from hf_assets.errors import ConfigError, ModelError, StoreError
from hf_assets.export.view import open_view
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets.plan import checking, planning
from hf_assets.training import TrainingSet, collate
from hf_assets_tests.tiny_pipelines import others

ENTRY = {"id": "pictures", "type": "local", "instance_data_dir": "pictures", "resolution": 64,
         "resolution_type": "pixel", "minimum_image_size": 0}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("without_text")
    others.build("dit", root / "model")
    (root / "pictures").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "pictures" / f"{number}.png")
    return root


def recipe_of(folder: Path, **model: Any) -> Recipe:
    config = {
        "model": {"pretrained_model_name_or_path": "model", "dtype": "float32", "text": False, **model},
        "datasets": [ENTRY],
    }
    (folder / "datasets.json").write_text(json.dumps(config))
    return loading.load(folder / "datasets.json").recipes[0]


def test_latents_alone_go_all_the_way(folder: Path) -> None:
    recipe = recipe_of(folder)
    lines = list(checking.check(recipe))
    assert "no captions are read, since model.text is false: text_embeds will be empty" in lines
    assert lines[-2].endswith("AutoencoderKL; no text encoder, since model.text is false")
    before = planning.plan(recipe, lambda line: None)
    assert (before.vae_latents.total, before.text_embeds.total) == (3, 0)

    defs = build_definitions(loading.load(folder / "datasets.json"))
    with dg.DagsterInstance.ephemeral() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = dg.materialize(list(defs.assets or ()), instance=instance, resources=defs.resources)
    assert done.success
    tables = recipe.folders.metadata
    assert isinstance(tables, Path)
    assert pq.read_table(tables / "text_embeds.parquet").num_rows == 0
    training = TrainingSet.open(tables)
    assert [sample["caption"] for sample in (training[0], training[2])] == ["", ""]
    assert collate(training.read_batch([0, 1, 2], 0))["latents"].shape == (3, 4, 8, 8)
    assert "prompt_embeds" not in training[0]

    after = planning.plan(recipe, lambda line: None)
    assert (after.vae_latents.reuse, after.vae_latents.compute, after.text_embeds.total) == (3, {}, 0)
    with pytest.raises(StoreError, match=r"no captions to export, since model\.text is false"):
        open_view(recipe)


def test_a_pipeline_that_reads_no_captions_names_the_key(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"DiTPipeline has no encode_prompt.* set model\.text to false"):
        load_text(resolve_pipeline(PipelineSource(repository=str(folder / "model"))), "cpu", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "setting",
    [{"tokenizer_max_length": 77}, {"encode_prompt": {"max_sequence_length": 77}}, {"embeds_dtype": "float16"}],
)
def test_settings_of_text_without_text_are_a_mistake(folder: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"text is false, so {next(iter(setting))} would do nothing"):
        recipe_of(folder, **setting)

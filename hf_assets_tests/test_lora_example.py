"""diffusers' LoRA loop takes the same steps from a training set as when it encodes by itself."""

import io
import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from examples.lora.training import Encoders, stored, train
from hf_assets.config import loading
from hf_assets.definitions import build_definitions
from hf_assets.training import Mixture, collate
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes

ROOT = Path(__file__).parents[1]
ROWS = [Row(image_bytes(number), f"picture {number} of many") for number in range(6)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    tiny_pipelines.build("sd15", folder / "model")
    for name, data in files_of(ROWS).items():
        assert isinstance(data, bytes)
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    entry = {"id": "photos", "type": "huggingface", "dataset_name": "./photos", "resolution": 64}
    model = {"pretrained_model_name_or_path": "./model", "dtype": "float32", "latents": "moments"}
    (folder / "datasets.json").write_text(json.dumps({"model": model, "datasets": [entry]}))
    defs = build_definitions(loading.load(folder / "datasets.json"))
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize(list(defs.assets or ()), instance=instance, resources=defs.resources).success
    return folder / "datasets.json"


def pixels(row: int) -> torch.Tensor:
    """(3, H, W), -1 to 1, as the script's transforms make them."""
    media = ROWS[row].image
    assert media is not None
    return torch.from_numpy(np.array(Image.open(io.BytesIO(media)))).permute(2, 0, 1) / 127.5 - 1


def batches(config: Path) -> list[dict[str, Any]]:
    mixture = Mixture.from_config(config)
    sampler = mixture.batches(seed=0, batch_size=2)
    return list(DataLoader(mixture, batch_sampler=sampler, collate_fn=collate))


def test_the_first_steps_have_the_losses_of_a_loop_that_encodes_by_itself(config: Path) -> None:
    ours = batches(config) * 2
    theirs = [{"pixel_values": torch.stack([pixels(row) for row in b["row"]]), "caption": b["caption"]} for b in ours]
    model = config.parent / "model"
    from_images, from_store = train(model, theirs, Encoders(model)), train(model, ours, stored)
    assert len(from_store) == 6
    assert from_store == pytest.approx(from_images, abs=1e-4)
    assert len({round(loss, 4) for loss in from_store}) == 6


def test_other_samples_have_other_losses(config: Path) -> None:
    """That the comparison sees what it is for."""
    ours = batches(config)
    swapped = [{**batch, "prompt_embeds": batch["prompt_embeds"].flip(0)} for batch in ours]
    model = config.parent / "model"
    assert train(model, swapped, stored) != pytest.approx(train(model, ours, stored), abs=1e-4)


def test_the_page_shows_the_lines_that_the_example_runs() -> None:
    page, example = (ROOT / "docs/diffusers.md").read_text(), (ROOT / "examples/lora/training.py").read_text()
    shown = [
        line.strip()
        for block in re.findall(r"```python\n# .*?example\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(shown) > 10
    assert [line for line in shown if line and line not in {one.strip() for one in example.splitlines()}] == []

"""Two small datasets and a tiny Stable Diffusion in a folder, with a config that mixes the datasets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from examples.demo.photographs import FIRST, Photograph, photo_bytes

ROOT = Path(__file__).parents[2]
# What distinguishes this example's folder from another one of the same name.
MARKER = ".hf_assets_train"
# The photographs that are close views of some material; the others show things.
TEXTURES = {"brick.png", "grass.png", "gravel.png", "retina.jpg", "ihc.png", "moon.png"}
SHARES = {"things": 0.7, "textures": 0.3}


def make(folder: Path) -> Path:
    """Make the folder anew, and return its config file."""
    if folder.exists() and not (folder / MARKER).exists():
        raise SystemExit(f"{folder} was not made by this example, so it is left alone: name another --folder")
    from hf_assets_tests import tiny_pipelines  # loads torch and diffusers

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    shutil.copy(ROOT / "dagster.yaml", folder)
    tiny_pipelines.build("sd15", folder / "model")
    rows = [row for rows in FIRST.values() for row in rows if row.caption and not row.damaged]
    _write(folder / "data/things", [row for row in rows if row.file not in TEXTURES])
    _write(folder / "data/textures", [row for row in rows if row.file in TEXTURES])
    entries = [
        {
            "id": name,
            "type": "huggingface",
            "dataset_name": f"./data/{name}",
            "resolution": 128,
            "resolution_type": "pixel_area",
            "crop_style": "center",
            "train_batch_size": 4,
            "probability": share,
        }
        for name, share in SHARES.items()
    ]
    config = folder / "datasets.json"
    model = {"pretrained_model_name_or_path": "./model", "dtype": "float32"}
    config.write_text(json.dumps({"model": model, "datasets": entries}, indent=2) + "\n")
    return config


def materialize(config: Path) -> None:
    """Run the graphs of both datasets by Dagster's own command."""
    command = ["-m", "dagster", "asset", "materialize", "-m", "hf_assets.definitions", "--select", "*"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")},
        "HF_ASSETS_CONFIG": str(config),
        "HF_ASSETS_DEVICE": "cpu",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    log = config.parent / "materialize.log"
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, *command], cwd=config.parent, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode != 0:
        raise SystemExit(f"{log.read_text()[-3000:]}\nmaterializing failed; all of it is in {log}")


def _write(folder: Path, photographs: list[Photograph]) -> None:
    media = [{"bytes": photo_bytes(one).data, "path": one.file} for one in photographs]
    table = pa.table({"image": media, "caption": [one.caption for one in photographs]})
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data/train-00000.parquet")

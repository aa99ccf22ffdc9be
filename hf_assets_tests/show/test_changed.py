"""What the report's head says of a run."""

import json
from pathlib import Path

import pyarrow as pa

from hf_assets import files, fingerprint, folder, schema
from hf_assets.config import loading
from hf_assets.show.changed import SinceLast


def samples(*latents: str) -> pa.Table:
    rows = [
        {"row": row, "media_hash": fingerprint.of_value(row), "captions": ["a photo"], "target_size": [64, 64]}
        | {"latent_key": fingerprint.of_value(latent)}
        for row, latent in enumerate(latents)
    ]
    return pa.Table.from_pylist(rows, schema=schema.TRAINING_SET)


def test_latents_are_new_where_no_sample_had_them(tmp_path: Path) -> None:
    config = tmp_path / "datasets.json"
    one = {"id": "a", "type": "huggingface", "dataset_name": "user/a", "cache_dir": str(tmp_path)}
    config.write_text(json.dumps({"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [one]}))
    (recipe,) = loading.load(config).recipes
    old, new = samples("a", "b", "c", "d"), samples("b", "a", "x", "x", "c", "y")
    for name in ("training_set", "raw_dataset"):
        files.write_table(folder.table(recipe.folders.metadata, name), old if name == "training_set" else new)
    said = SinceLast(recipe, iter([old.slice(0, 1), old.slice(1)]))
    said.add(new.slice(0, 3))
    said.add(new.slice(3))
    assert said.lines() == [
        "2 samples added: row 4, row 5",
        "3 samples have a latent that the last training set didn't have.",
    ]
    same = SinceLast(recipe, iter([old]))
    same.add(old)
    assert same.lines() == ["Nothing: the training set is the one of the last run."]

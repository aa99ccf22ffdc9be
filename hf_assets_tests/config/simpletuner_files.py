"""SimpleTuner's two files in a folder, written for a test."""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_assets.config import loading
from hf_assets.config.loading import Config
from hf_assets.errors import ConfigError

SETTINGS: dict[str, Any] = {"model_family": "sdxl", "data_backend_config": "multidatabackend.json"}
HUB: dict[str, Any] = {"id": "a", "type": "huggingface", "dataset_name": "user/a"}
LOCAL: dict[str, Any] = {"id": "a", "type": "local", "instance_data_dir": "pictures", "caption_strategy": "textfile"}
TEXTS: dict[str, Any] = {"id": "texts", "dataset_type": "text_embeds", "default": True, "cache_dir": "texts"}


def written(folder: Path, settings: Any, datasets: Any) -> Path:
    """Write both files; the name of the config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "multidatabackend.json").write_text(json.dumps(datasets))
    (folder / "config.json").write_text(json.dumps(settings))
    return folder / "config.json"


def pair(folder: Path, *entries: Any, **settings: Any) -> Config:
    """What the two files ask for."""
    return loading.load(written(folder, {**SETTINGS, **settings}, list(entries)))


def mistakes(folder: Path, *entries: Any, **settings: Any) -> list[str]:
    """The lines of what is wrong with them, without the folder."""
    with pytest.raises(ConfigError) as caught:
        pair(folder, *entries, **settings)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]

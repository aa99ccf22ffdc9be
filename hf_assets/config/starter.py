"""The first config of a new user: what to write for a folder of media, or a dataset on the Hub."""

import re
from pathlib import Path
from typing import Any

from hf_assets.config import family_defaults
from hf_assets.sources.first_look import Columns, MediaFolder

# Edge of a square of as many pixels as the media are resized to.
USUAL_RESOLUTION, VIDEO_RESOLUTION = 1024, 480
SMALL = {"sd1x": 512, "sd2x": 768}
# Names of families, and of a repository where no family has such a pipeline.
DEFAULT_MODELS = {"image": "sdxl", "video": "wan", "audio": "ACE-Step/acestep-v15-base-diffusers"}
COLUMN_KEYS = {"image": "image_column", "video": "video_column", "audio": "audio_column"}

WORKSPACE = """\
load_from:
  - python_module:
      module_name: hf_assets.definitions
      location_name: hf_assets
"""
IGNORED = ("cache/", ".dagster_state/", ".tmp_dagster_home_*/")


def dataset_id(name: str) -> str:
    """An id that is made of a folder's or a dataset's name."""
    last = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(name).name.strip()).strip("-._")
    return last[:100] or "dataset"


def of_folder(
    id: str, path: str, found: MediaFolder, prompt: str | None, shortest: int | None = None
) -> dict[str, Any]:
    """The entry of a folder of media files.

    Args:
        path: relative to the config file.
        prompt: the caption of every file.
        shortest: frames of a short video; None: none was looked at.
    """
    entry: dict[str, Any] = {"id": id, "type": "local", "instance_data_dir": path}
    if found.kind != "image":
        entry["dataset_type"] = found.kind
    if shortest is not None and shortest < family_defaults.num_frames(family_defaults.USUAL_RATE):
        entry["video"] = {"num_frames": shortest}  # else the whole folder would be too short
    if prompt is not None:
        return {**entry, "caption_strategy": "instanceprompt", "instance_prompt": prompt}
    return {**entry, "caption_strategy": "textfile" if found.num_captioned else "filename"}


def of_columns(id: str, name: str, found: Columns, caption_column: str | None, prompt: str | None) -> dict[str, Any]:
    """The entry of a dataset on the Hub, or of a folder in its layout."""
    entry: dict[str, Any] = {"id": id, "type": "huggingface", "dataset_name": name}
    if found.kind != "image":
        entry["dataset_type"] = found.kind
    if found.media != found.kind:
        entry[COLUMN_KEYS[found.kind]] = found.media
    if prompt is not None:
        return {**entry, "caption_strategy": "instanceprompt", "instance_prompt": prompt}
    return {**entry, "caption_column": caption_column or found.caption}


def config(entry: dict[str, Any], model: dict[str, str], resolution: int | None) -> dict[str, Any]:
    """A whole config of one dataset.

    Args:
        model: names a family, or a pipeline.
        resolution: see `USUAL_RESOLUTION`; None: as the family is used.
    """
    kind = entry.get("dataset_type", "image")
    sizes = {}
    if kind != "audio":
        usual = VIDEO_RESOLUTION if kind == "video" else SMALL.get(model.get("family", ""), USUAL_RESOLUTION)
        sizes = {"resolution": resolution or usual, "resolution_type": "pixel_area"}
    return {"model": {**model, "dtype": "bfloat16"}, "datasets": [{**entry, **sizes}]}


def with_ignored(text: str) -> str:
    """A `.gitignore` with the folders that are made, added where they are missing."""
    there = {line.strip().rstrip("/") for line in text.splitlines()}
    added = [name for name in IGNORED if name.rstrip("/") not in there]
    return text + ("" if not text or text.endswith("\n") else "\n") + "".join(f"{name}\n" for name in added)

"""Configs that lie in one folder, and what they do to each other."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from hf_assets.config import loading
from hf_assets.config.loading import Config
from hf_assets.errors import HfAssetsError

# Of the other files in the folder, so many are looked at, and none that is larger.
MOST, LARGEST = 50, 1_000_000


def notes(config: Config) -> Iterator[str]:
    """A line for each dataset whose id another config in the folder uses, too: what a run then does."""
    own = {recipe.id: recipe for recipe in config.recipes}
    for file in _others(config.file):
        try:
            others = loading.load(file).recipes
        except HfAssetsError:  # it says so itself where it is used
            continue
        for other in others:
            recipe = own.get(other.id)
            if recipe is None:
                continue
            if other.folders.metadata == recipe.folders.metadata:
                became = (
                    "a run takes the place of the other's training set, and what was encoded stays: to keep both, give "
                    "one of them another id or cache_dir"
                )
            else:
                became = "Dagster's page shows both as one: give one of them another id"
            yield f'{file.name} has a dataset "{other.id}", too: {became}'


def _others(config: Path) -> Iterator[Path]:
    """The configs of our own form beside one of our own form; SimpleTuner's several files make one config."""
    if not _is_ours(config):
        return
    files = sorted(path for path in config.absolute().parent.glob("*.json") if path.name != config.name)
    yield from filter(_is_ours, files[:MOST])


def _is_ours(file: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        content = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= LARGEST else None
        return isinstance(content, dict) and "datasets" in content
    return False

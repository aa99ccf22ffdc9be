"""What each stage's result follows from, beside the tables and files that it reads: for who makes it, and who plans."""

import functools
import importlib.metadata
from collections.abc import Callable
from typing import Any

from hf_assets import fingerprint
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode import bucketing, embeds, latents
from hf_assets.encode.encoders import Encoder
from hf_assets.encode.pins import Pins
from hf_assets.kinds.medium import medium_of
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.spec import Snapshot
from hf_assets.stages import captions, filtering, joining


def wanted_columns(recipe: Recipe) -> WantedColumns:
    """The columns of the dataset that a recipe reads."""
    return WantedColumns(recipe.media_column, recipe.required_columns, recipe.optional_columns)


# Of each asset, the version of its code and of just the settings that it reads.
CODE_VERSIONS: dict[str, Callable[[Recipe], str]] = {
    "raw_dataset": lambda recipe: code_version(rows.VERSION, recipe.source, *map(str, wanted_columns(recipe))),
    "filtered": lambda recipe: code_version(filtering.VERSION, recipe.filter),
    "captions": lambda recipe: code_version(captions.VERSION, recipe.captions),
    "buckets": bucketing.version,
    "vae_latents": lambda recipe: code_version(latents.version(recipe), recipe.media_column, recipe.model.without_text),
    "text_embeds": lambda recipe: code_version(embeds.VERSION, embeds.TABLE_VERSION, recipe.model.without_vae),
    "training_set": lambda recipe: code_version(joining.VERSION),
}


def follows_from(recipe: Recipe, version: str, beside: Any) -> str:
    """Hash of all that decides an asset's result besides its input tables and the files that it reads.

    Args:
        version: of its code (`CODE_VERSIONS`).
        beside: JSON of what lies outside: the dataset's snapshot, an encoder.
    """
    folders = recipe.folders.model_dump(mode="json")
    return fingerprint.of_value([release(), version, recipe.kind, folders, beside])


def of_split(recipe: Recipe, snapshot: Snapshot) -> Any:
    """What rows follow from, beside the code: they are read again once files are to be compared with their hashes."""
    return [snapshot, "whole files"] if recipe.source.whole_files and not snapshot.is_local else snapshot


def of_model(pins: Pins) -> list[Any]:
    """What of a model decides `buckets`, where the medium asks it what it can be given."""
    return [pins, importlib.metadata.version("diffusers")]


def of_latents(encoder: Encoder) -> list[Any]:
    """What of a VAE decides `vae_latents`."""
    return encoder.identity


def of_embeds(recipe: Recipe, encoder: Encoder) -> list[Any]:
    """What of text encoders decides `text_embeds`."""
    return [encoder.identity, embeds.companions(recipe, encoder)]


def of_training_set(recipe: Recipe) -> list[Any]:
    """What of the kind of media decides the columns of `training_set`."""
    medium = medium_of(recipe)
    return [*([] if recipe.model.pipeline.has_text else ["no text"]), medium.extension, str(medium.training)]


@functools.cache
def release() -> str:
    """Which release of this program it is: what it says of a table may change from one to the next."""
    try:
        return importlib.metadata.version("hf_assets")
    except importlib.metadata.PackageNotFoundError:
        return ""

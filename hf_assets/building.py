"""From a config to Dagster's definitions: a graph of assets per dataset. Asks no Hub, imports no encoder."""

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hf_assets.assets import (
    buckets,
    captions,
    checks,
    exports,
    filtered,
    hub_revision,
    raw_dataset,
    text_embeds,
    training_set,
    vae_latents,
)
from hf_assets.config import loading
from hf_assets.config.config_file import Refresh
from hf_assets.config.loading import Config, Place
from hf_assets.config.recipe import Recipe
from hf_assets.errors import ConfigError
from hf_assets.orchestrate import automation, catalogue
from hf_assets.orchestrate.history import Asset
from hf_assets.resources.gpu import GpuResource
from hf_assets.resources.hub import HubResource
from hf_assets.resources.tables import TablesIOManager

MODULES = (raw_dataset, filtered, captions, buckets, vae_latents, text_embeds, training_set)


def build_definitions(
    config: str | Path | Mapping[str, Any] | Config,
    resources: Mapping[str, Any] | None = None,
    key_prefix: str | Sequence[str] | None = None,
    *,
    name: str | None = None,
    resource_prefix: str = "",
) -> dg.Definitions:
    """The assets, checks, resources, sensor and schedule that a config asks for, to merge with a project's own.

    Args:
        config: a config file, or its content; paths in the content are relative to the working directory.
        resources: in place of `hub`, `gpu` or `tables`, or besides them. Those that aren't given are the same objects
            at each call, so that definitions of several calls can be merged.
        key_prefix: of all asset keys and groups.
        name: prefix of the names of sensor and schedule; by default `key_prefix`.
        resource_prefix: of the names `hub`, `gpu` and `tables`, where the project has resources of these names; in
            `resources` they stand without it.

    Raises:
        ConfigError: the config is wrong; one line per mistake. Or nothing can be made with its model.
    """
    prefix = parts_of(key_prefix)
    parsed = _parse(config).usable()
    update = {"prefix": prefix, "resource_prefix": require_resource_prefix(resource_prefix)}
    recipes = [recipe.model_copy(update=update) for recipe in parsed.recipes]
    places = map(parsed.place_of, parsed.recipes)
    assets = [_assets(recipe, parsed.refresh, place) for recipe, place in zip(recipes, places, strict=True)]
    checked = [checks.build(recipe) for recipe in recipes]
    datasets = [automation.dataset_of(*parts) for parts in zip(recipes, assets, checked, strict=True)]
    named = "".join(re.sub(r"[^A-Za-z0-9_]", "_", part) + "_" for part in ([name] if name else prefix))
    usual = _resources(_environment())
    schedules = []
    if parsed.refresh is not None and parsed.refresh.cron is not None:
        schedules.append(automation.schedule(datasets, parsed.refresh.cron, f"{named}refresh"))
    return dg.Definitions(
        assets=[asset for graph in assets for asset in graph],
        asset_checks=[check for graph in checked for check in graph],
        resources={
            f"{resource_prefix}{key}" if key in usual else key: value
            for key, value in {**usual, **(resources or {})}.items()
        },
        sensors=[automation.sensor(datasets, parsed.refresh, f"{named}hub_revisions", resource_prefix)],
        schedules=schedules,
        jobs=[catalogue.job(dataset.recipe, dataset.keys) for dataset in datasets],
    )


def parts_of(key_prefix: str | Sequence[str] | None) -> tuple[str, ...]:
    """The parts of a key that a prefix stands for.

    Raises:
        ConfigError: it can't be one.
    """
    parts = [key_prefix] if isinstance(key_prefix, str) else [] if key_prefix is None else key_prefix
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"key_prefix: is {json.dumps(parts, default=str)}; write text, or a list of texts")
    for part in parts:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", part):
            raise ConfigError(f'key_prefix: "{part}" is no part of a key; use letters, digits, _, - and . only')
    return tuple(parts)


def require_resource_prefix(prefix: Any) -> str:
    """The prefix, if names of resources can begin with it.

    Raises:
        ConfigError: they can't.
    """
    if not isinstance(prefix, str) or not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", prefix):
        raise ConfigError(
            f"resource_prefix: is {json.dumps(prefix, default=str)}; use letters, digits and _ only, no digit first"
        )
    return prefix


def _assets(recipe: Recipe, refresh: Refresh | None, place: Place) -> list[Asset]:
    stages = [*(module.build(recipe) for module in MODULES), *exports.build(recipe)]
    return [*hub_revision.build(recipe), *catalogue.catalogued(stages, recipe, refresh, place)]


def _parse(config: str | Path | Mapping[str, Any] | Config) -> Config:
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return loading.parse(config, Path("config"))
    return loading.load(Path(config))


def _environment() -> tuple[tuple[str, str], ...]:
    """What the resources read from the environment."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("HF_ASSETS_")))


@functools.cache
def _resources(_: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The resources where none are given: the same objects in the same environment, since Dagster merges only those."""
    return {"hub": HubResource(), "gpu": GpuResource(), "tables": TablesIOManager()}

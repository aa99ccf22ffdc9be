"""The code location: a graph of assets per dataset of the config file. Loading it asks no Hub, imports no encoder."""

import logging
import os
from typing import Any

import dagster as dg

from hf_assets.assets import (
    buckets,
    captions,
    checks,
    filtered,
    hub_revision,
    raw_dataset,
    text_embeds,
    training_set,
    vae_latents,
)
from hf_assets.config import loading
from hf_assets.config.loading import Config
from hf_assets.resources.gpu import GpuResource
from hf_assets.resources.hub import HubResource
from hf_assets.resources.tables import TablesIOManager

MODULES = (raw_dataset, filtered, captions, buckets, vae_latents, text_embeds, training_set)


_CHOICE = {name: dg.Field(dg.Permissive(), default_value={}) for name in ("in_process", "multiprocess")}  # type: ignore[no-untyped-call]


@dg.configured(
    dg.multi_or_in_process_executor,
    config_schema=dg.Field(dg.Selector(_CHOICE), default_value={"in_process": {}}),  # type: ignore[no-untyped-call]
)
def executor(config: dict[str, Any]) -> dict[str, Any]:
    """All assets of a run in one process, unless the run config says `multiprocess`.

    Starting a process costs seconds, and the two encoders, which could run side by side, take turns anyway.
    """
    return config


def build_definitions(config: Config) -> dg.Definitions:
    """The assets, resources and schedule that a config asks for."""
    schedules = []
    if config.refresh is not None:
        schedules.append(
            dg.ScheduleDefinition(name="refresh", target=dg.AssetSelection.all(), cron_schedule=config.refresh.cron)
        )
    return dg.Definitions(
        assets=[
            asset
            for recipe in config.recipes
            for asset in (*hub_revision.build(recipe), *(module.build(recipe) for module in MODULES))
        ],
        asset_checks=[checks.build(recipe) for recipe in config.recipes],
        resources={"hub": HubResource(), "gpu": GpuResource(), "tables": TablesIOManager()},
        schedules=schedules,
        executor=executor,
    )


def _definitions() -> dg.Definitions:
    file = loading.config_file()
    if loading.ENVIRONMENT_VARIABLE not in os.environ and not file.exists():
        logging.getLogger("hf_assets").warning(
            "no datasets: there is no %s here, and %s is not set", file, loading.ENVIRONMENT_VARIABLE
        )
        return dg.Definitions()
    return build_definitions(loading.load(file))


defs = _definitions()

"""The code location: a graph of assets per dataset of the config file. Loading it asks no Hub, imports no encoder."""

import logging
import os
from typing import Any

import dagster as dg

from hf_assets import inert
from hf_assets.building import build_definitions
from hf_assets.config import loading

__all__ = ["build_definitions", "defs", "executor"]

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


def _definitions() -> dg.Definitions:
    file = loading.config_file()
    if loading.ENVIRONMENT_VARIABLE not in os.environ and not file.exists():
        logging.getLogger("hf_assets").warning(
            "no datasets: there is no %s here, and %s is not set", file, loading.ENVIRONMENT_VARIABLE
        )
        return dg.Definitions()
    return dg.Definitions.merge(build_definitions(loading.load(file)), dg.Definitions(executor=executor))


inert.all_of_this_process()
defs = _definitions()

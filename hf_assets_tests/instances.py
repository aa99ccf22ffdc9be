"""Dagster instances that last, in a folder, as a user's do."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import dagster as dg


def lasting(home: Path) -> dg.DagsterInstance:
    """The instance of a folder, made there the first time: a copy of an empty one, which takes a tenth of the time."""
    if not home.exists():
        shutil.copytree(_empty(), home)
    return dg.DagsterInstance.local_temp(str(home))


@cache
def _empty() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dagster-home-"))
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        instance.get_runs(limit=1)
    return folder

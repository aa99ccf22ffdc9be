"""Dagster instances that last from run to run, as a user's do: in memory, or in a folder where other processes look."""

import shutil
import tempfile
import weakref
from functools import cache, cached_property
from pathlib import Path

import dagster as dg

OF_ASSETS = {kind for kind in dg.DagsterEventType if kind.name.startswith("ASSET_") and "PLANNED" not in kind.name}


class History:
    """What Dagster remembers of one user, in memory: a run takes half the time of one that is noted in a folder."""

    def __init__(self, before: "History | None" = None) -> None:
        self.before = before

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        made = dg.DagsterInstance.ephemeral()
        weakref.finalize(self, made.dispose)
        if self.before:
            write(self.before.instance, made)
        return made

    def copy(self) -> "History":
        """The same history, which goes its own way from its first use."""
        return History(self)


def write(source: dg.DagsterInstance, target: dg.DagsterInstance) -> None:
    """Note all runs of one instance in another, and what events say of assets, in their order."""
    runs = source.get_runs()
    for run in reversed(runs):
        if run.job_snapshot_id and not target.has_snapshot(run.job_snapshot_id):
            target.add_snapshot(source.get_job_snapshot(run.job_snapshot_id))
        if run.execution_plan_snapshot_id and not target.has_snapshot(run.execution_plan_snapshot_id):
            target.add_snapshot(source.get_execution_plan_snapshot(run.execution_plan_snapshot_id))
        target.add_run(run)
    ids = ("", *(run.run_id for run in runs))
    entries = [entry for run_id in ids for entry in source.all_logs(run_id, of_type=OF_ASSETS)]
    for entry in sorted(entries, key=lambda entry: entry.timestamp):
        target.store_event(entry)


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

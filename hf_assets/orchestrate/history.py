"""What Dagster's event log says of a graph: what is not up to date, what runs, and what failed."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import dagster as dg

from hf_assets.orchestrate.observations import DATA_VERSION, INPUT_DATA_VERSION

CODE_VERSION = "dagster/code_version"
# Dagster's own name for the version of what lies outside and was never observed.
NEVER_OBSERVED = "INITIAL"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# A run that has said nothing for so long is dead: one that is killed where no daemon watches stays "started" for ever.
DEAD_AFTER_S = 3600.0

# Tags of the runs that a refresh starts: which dataset, and all that its results follow from.
DATASET_TAG, STATE_TAG = "hf_assets/dataset", "hf_assets/state"
# How many runs without success are counted, at most.
MOST_TRIES = 12


class Node(NamedTuple):
    """An asset of a graph, as its definition says.

    Attributes:
        is_outside: it is observed, never materialized.
        checks: what must hold of it before anything is made from it.
    """

    code_version: str | None
    parents: frozenset[dg.AssetKey]
    is_outside: bool = False
    checks: tuple[dg.AssetCheckKey, ...] = ()


Graph = Mapping[dg.AssetKey, Node]
Asset = dg.AssetsDefinition | dg.SourceAsset


class Tries(NamedTuple):
    """How often in a row runs of the same state were started, and when the last one ended."""

    number: int
    last_ended: float


def graph_of(assets: list[Asset], checks: Iterable[dg.AssetChecksDefinition] = ()) -> dict[dg.AssetKey, Node]:
    """The nodes of some assets."""
    blocking = [spec for check in checks for spec in check.check_specs if spec.blocking]
    graph = {}
    for asset in assets:
        if isinstance(asset, dg.SourceAsset):
            graph[asset.key] = Node(None, frozenset(), is_outside=True)
        else:
            for spec in asset.specs:
                graph[spec.key] = Node(
                    spec.code_version,
                    frozenset(dep.asset_key for dep in spec.deps),
                    checks=tuple(check.key for check in blocking if check.asset_key == spec.key),
                )
    return graph


def last_observation(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetObservation | None:
    """The last observation of what lies outside."""
    records = instance.fetch_observations(key, limit=1).records
    return records[0].asset_observation if records else None


def stale(instance: dg.DagsterInstance, graph: Graph, versions: Mapping[dg.AssetKey, str]) -> set[dg.AssetKey]:
    """The assets that a run would make anew: those that Dagster's page calls unsynced or missing, and all below them.

    Dagster's own answer ("stale assets only") names just the first of a chain, and the rest after that has run. An
    asset above them of which a blocking check didn't pass is made once more, too: else they would be made in spite of
    the check.

    Args:
        versions: of what lies outside, where that isn't what was observed last.
    """
    tags = {key: _last_tags(instance, key) for key, node in graph.items() if not node.is_outside}
    current = {key: found.get(DATA_VERSION) for key, found in tags.items()}
    for key in (key for key, node in graph.items() if node.is_outside):
        last = last_observation(instance, key)
        current[key] = versions.get(key) or (last and (last.tags or {}).get(DATA_VERSION)) or NEVER_OBSERVED
    found = {key for key in tags if not _is_fresh(graph[key], tags[key], current)}
    refused = {key for key in _above(graph, found) if not _is_passed(instance, graph[key])}
    return _with_below(graph, found | refused)


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that go on, or wait to; not those that are dead."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return [record.dagster_run for record in records if not _is_dead(instance, record)]


def run_in_progress(
    instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun], graph: Graph, tag: str
) -> dg.DagsterRun | None:
    """The first of some runs that makes assets of a graph, or is to."""
    if not runs:
        return None
    records = instance.get_asset_records([key for key, node in graph.items() if not node.is_outside])
    planned = {record.asset_entry.last_run_id for record in records}
    for run in runs:
        if run.run_id in planned or run.tags.get(DATASET_TAG) == tag or (run.asset_selection or set()) & {*graph}:
            return run
    return None


def tries(instance: dg.DagsterInstance, tag: str, state: str) -> Tries:
    """How often a refresh has run a dataset in this very state already.

    Whether it failed doesn't matter: what is stale again after a run that changed nothing would run for ever, too.
    """
    number, last_ended = 0, 0.0
    for record in instance.get_run_records(dg.RunsFilter(tags={DATASET_TAG: tag}), limit=MOST_TRIES):
        if record.dagster_run.tags.get(STATE_TAG) != state:
            break
        number += 1
        last_ended = max(last_ended, record.end_time or record.update_timestamp.timestamp())
    return Tries(number, last_ended)


def _with_below(graph: Graph, keys: set[dg.AssetKey]) -> set[dg.AssetKey]:
    found = set(keys)
    while below := {key for key, node in graph.items() if key not in found and node.parents & found}:
        found |= below
    return found


def _above(graph: Graph, keys: set[dg.AssetKey]) -> set[dg.AssetKey]:
    found: set[dg.AssetKey] = set()
    while above := {parent for key in keys | found for parent in graph[key].parents} - found:
        found |= above
    return found


def _is_passed(instance: dg.DagsterInstance, node: Node) -> bool:
    """Whether all blocking checks of an asset passed when they ran last; one that never ran has refused nothing."""
    records = [instance.get_latest_asset_check_evaluation_record(check) for check in node.checks]
    return all(record is None or record.status.value == "SUCCEEDED" for record in records)


def _last_tags(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """The tags of an asset's last materialization; none where there was none."""
    event = instance.get_latest_materialization_event(key)
    return dict(event.asset_materialization.tags or {}) if event and event.asset_materialization else {}


def _is_fresh(node: Node, tags: Mapping[str, str], current: Mapping[dg.AssetKey, str | None]) -> bool:
    made_from = {
        name.removeprefix(f"{INPUT_DATA_VERSION}/"): version
        for name, version in tags.items()
        if name.startswith(f"{INPUT_DATA_VERSION}/")
    }
    now = {key.to_user_string(): current.get(key) for key in node.parents}
    return DATA_VERSION in tags and tags.get(CODE_VERSION) == node.code_version and made_from == now


def _is_dead(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    if record.dagster_run.status != dg.DagsterRunStatus.STARTED:
        return False  # it waits for its turn, or the daemon looks after it
    last = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    said = last[0].timestamp if last else record.update_timestamp.timestamp()
    return time.time() - said > DEAD_AFTER_S

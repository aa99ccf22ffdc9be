"""Refresh: look at the Hub, and run what is not up to date; or run everything by the clock."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import dagster as dg

from hf_assets import fingerprint, inert
from hf_assets.config.config_file import Refresh
from hf_assets.config.recipe import Recipe
from hf_assets.encode import revisions
from hf_assets.encode.revisions import Revision
from hf_assets.orchestrate import history, polling
from hf_assets.orchestrate.history import DATASET_TAG, STATE_TAG, Asset, Graph
from hf_assets.orchestrate.observations import DATA_VERSION, observation
from hf_assets.orchestrate.prefixes import with_resource_prefix
from hf_assets.resources.hub import HubResource

# Of a sensor that the config gives no interval.
POLL_S = 300
# Before the second run of the same state, and the second question after an error; doubled for each further one.
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 6 * 3600.0
LONGEST_TAG = 63


class Dataset(NamedTuple):
    """A dataset's graph, for who decides whether it runs."""

    recipe: Recipe
    graph: Graph

    @property
    def name(self) -> str:
        return "/".join(self.recipe.key_prefix)

    @property
    def tag(self) -> str:
        """Names this dataset's runs, in what Dagster allows as a tag."""
        name = self.recipe.group.replace("/", ".")
        return name if len(name) <= LONGEST_TAG else fingerprint.of_value(self.recipe.key_prefix)

    @property
    def keys(self) -> list[dg.AssetKey]:
        """The assets that a run can make."""
        return [key for key, node in self.graph.items() if not node.is_outside]

    def questions(self, hub: HubResource) -> dict[str, tuple[str, polling.Question]]:
        """For each asset outside that can move: the question, and a name that is the same where the question is."""
        recipe = self.recipe
        asked: dict[str, tuple[str, polling.Question]] = {}
        for name in revisions.moving(recipe):
            what, question = (
                (recipe.source, partial(hub.revision, recipe))
                if name == revisions.DATASET
                else (recipe.model.pipeline, partial(revisions.of_model, recipe, name))
            )
            asked[name] = (fingerprint.of_value([name, what.model_dump(mode="json")]), question)
        return asked


def dataset_of(recipe: Recipe, assets: list[Asset], checks: list[dg.AssetChecksDefinition]) -> Dataset:
    """What sensor and schedule need to know of a dataset."""
    return Dataset(recipe, history.graph_of(assets, checks))


def sensor(
    datasets: Sequence[Dataset], refresh: Refresh | None, name: str, resource_prefix: str = ""
) -> dg.SensorDefinition:
    """Looks at what lies outside at each interval, and requests a run of each dataset that is not up to date."""
    interval = (refresh and refresh.poll_seconds) or POLL_S
    is_wanted = refresh is not None and refresh.poll_seconds is not None

    @dg.sensor(
        name=name,
        asset_selection=dg.AssetSelection.assets(*_keys(datasets)),
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING if is_wanted else dg.DefaultSensorStatus.STOPPED,
        description=(
            "Looks at the datasets and models that no commit sha pins, and runs what is unsynced, one run per dataset. "
            "One that fails is tried again after 1, 2, 4 … minutes, at once when its config or revision changes."
        ),
    )
    @with_resource_prefix(resource_prefix)
    def hub_revisions(context: dg.SensorEvaluationContext, hub: HubResource) -> dg.SensorResult:
        tick = Tick(context, Pauses.read(context.cursor, interval))
        for dataset, found in tick.look(datasets, hub):
            tick.decide(dataset, found)
        said = "; ".join(tick.said) or "everything is up to date"
        if tick.requests and tick.said:
            context.log.info(said)  # with requests, there is no other place for it
        return dg.SensorResult(
            run_requests=tick.requests,
            skip_reason=None if tick.requests else said,
            asset_events=tick.events,
            cursor=tick.pauses.written(),
        )

    return hub_revisions


def schedule(datasets: Sequence[Dataset], cron: str, name: str) -> dg.ScheduleDefinition:
    """Materializes everything, which costs little where nothing changed: one run per dataset."""

    @dg.schedule(
        name=name,
        cron_schedule=cron,
        target=dg.AssetSelection.assets(*_keys(datasets)),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Materializes every dataset whose last run is over; what did not change is not computed again.",
    )
    def refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        runs = history.unfinished_runs(context.instance)
        when = context.scheduled_execution_time.isoformat()
        return [
            dg.RunRequest(f"{dataset.tag} {when}", asset_selection=dataset.keys, tags={DATASET_TAG: dataset.tag})
            for dataset in datasets
            if not history.run_in_progress(context.instance, runs, dataset.graph, dataset.tag)
        ]

    return refresh


class Pauses:
    """Which questions failed, how often in a row, and when they may be asked again: the sensor's cursor."""

    def __init__(self, interval_s: float, known: dict[str, list[float]]) -> None:
        self.interval_s = interval_s
        self.known = known
        self.kept: dict[str, list[float]] = {}

    @classmethod
    def read(cls, cursor: str | None, interval_s: float) -> "Pauses":
        try:
            noted = json.loads(cursor or "{}").items()
            known = {str(question): [int(number), float(until)] for question, (number, until) in noted}
        except (ValueError, TypeError, AttributeError):
            known = {}  # of another version: ask at once
        return cls(interval_s, known)

    def left_s(self, question: str) -> float:
        """Seconds until it may be asked again; a question that is still paused stays in the cursor."""
        if question not in self.known:
            return 0.0
        left = self.known[question][1] - time.time()
        if left > 0:
            self.kept[question] = self.known[question]
        return max(left, 0.0)

    def failed(self, question: str) -> float:
        """Note a failure; returns for how many seconds it is not asked."""
        number = int(self.known.get(question, [0])[0]) + 1
        pause = wait_s(number, self.interval_s)
        self.kept[question] = [number, time.time() + pause]
        return pause

    def written(self) -> str:
        return json.dumps(self.kept, sort_keys=True)


class Tick:
    """One evaluation of the sensor: what it finds, and what it decides."""

    def __init__(self, context: dg.SensorEvaluationContext, pauses: Pauses) -> None:
        self.context = context
        self.pauses = pauses
        self.events: list[dg.AssetObservation] = []
        self.requests: list[dg.RunRequest] = []
        self.said: list[str] = []

    def look(self, datasets: Sequence[Dataset], hub: HubResource) -> list[tuple[Dataset, dict[str, Revision]]]:
        """Ask what is outside of each dataset that no run is making; those without an answer are left for later.

        What a run has begun with must not be observed as something newer meanwhile.
        """
        idle = []
        runs = history.unfinished_runs(self.context.instance)
        for dataset in datasets:
            if run := history.run_in_progress(self.context.instance, runs, dataset.graph, dataset.tag):
                self.say(f"{dataset.name}: run {run.run_id[:8]} goes on")
            else:
                idle.append((dataset, dataset.questions(hub)))
        asked = {question: ask for _, questions in idle for question, ask in questions.values()}
        paused = {question: left for question in asked if (left := self.pauses.left_s(question)) > 0}
        answers = polling.ask({question: ask for question, ask in asked.items() if question not in paused})
        pauses = {question: self.pauses.failed(question) for question in answers.errors}
        found = []
        for dataset, questions in idle:
            names = {name: question for name, (question, _) in questions.items()}
            for question in names.values():
                if question in answers.errors:
                    self.say(
                        f"{dataset.name}: {answers.errors[question]} (next try in {_duration_text(pauses[question])})"
                    )
                elif question in paused:
                    self.say(f"{dataset.name}: the Hub is asked again in {_duration_text(paused[question])}")
                elif question in answers.waiting:
                    self.say(f"{dataset.name}: still looking")
            if all(question in answers.revisions for question in names.values()):
                found.append((dataset, {name: answers.revisions[question] for name, question in names.items()}))
        return found

    def decide(self, dataset: Dataset, found: Mapping[str, Revision]) -> None:
        """Observe what is new outside, and request a run of what is not up to date, unless it was tried just now."""
        instance, recipe = self.context.instance, dataset.recipe
        new = {dg.AssetKey(recipe.key(name)): observation(recipe, name, revision) for name, revision in found.items()}
        for key, event in new.items():
            last = history.last_observation(instance, key)
            if last is None or (last.tags, last.metadata) != (event.tags, event.metadata):
                self.events.append(event)
        versions = {key: str((event.tags or {})[DATA_VERSION]) for key, event in new.items()}
        wanted = history.stale(instance, dataset.graph, versions)
        if not wanted:
            return
        state = _state(dataset, versions)
        number, last_ended = history.tries(instance, dataset.tag, state)
        left = last_ended + wait_s(number, self.pauses.interval_s) - time.time() if number else 0.0
        if left > 0:
            waits = f"next try in {_duration_text(left)}, or after a change"
            self.say(f"{dataset.name}: tried {number} times without success; {waits}")
            return
        self.requests.append(
            dg.RunRequest(asset_selection=sorted(wanted), tags={DATASET_TAG: dataset.tag, STATE_TAG: state})
        )

    def say(self, line: str) -> None:
        self.said.append(inert.text(line))


def wait_s(number: int, interval_s: float) -> float:
    """How long to wait after so many failures in a row."""
    return float(min(max(FIRST_WAIT_S, interval_s) * 2 ** (number - 1), LONGEST_WAIT_S))


def _keys(datasets: Sequence[Dataset]) -> list[dg.AssetKey]:
    return [key for dataset in datasets for key in dataset.keys]


def _state(dataset: Dataset, versions: Mapping[dg.AssetKey, str]) -> str:
    """All that a run's outcome follows from: another state is tried at once, whatever became of this one."""
    code = {key.to_user_string(): node.code_version for key, node in dataset.graph.items()}
    outside = {key.to_user_string(): version for key, version in versions.items()}
    return fingerprint.of_value([dataset.recipe.model_dump(mode="json"), code, outside])


def _duration_text(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

"""Someone who refreshes datasets: a config, a Dagster instance that lasts, and the daemon's part played by hand."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from hf_assets.building import build_definitions
from hf_assets.config import loading
from hf_assets.orchestrate import history
from hf_assets_tests.instances import History, lasting, write

STAGES = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")


def entry(id: str, dataset: str, **keys: Any) -> dict[str, Any]:
    """A dataset of small images."""
    return {"id": id, "type": "huggingface", "dataset_name": dataset, "resolution": 64, **SMALL, **keys}


SMALL = {"resolution_type": "pixel_area", "aspect_bucket_alignment": 8, "crop_style": "center"}


def sensor_of(definitions: dg.Definitions) -> dg.SensorDefinition:
    """The only sensor."""
    (sensor,) = definitions.sensors or ()
    assert isinstance(sensor, dg.SensorDefinition)
    return sensor


def schedule_of(definitions: dg.Definitions) -> dg.ScheduleDefinition:
    """The only schedule."""
    (schedule,) = definitions.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    return schedule


def graph_of(user: "User") -> history.Graph:
    """The nodes of a user's graphs."""
    return history.graph_of([one for one in user.definitions.assets or () if isinstance(one, history.Asset)])


class User:
    """One user's folder. The config is written at each use, so that tests edit `config` in place."""

    def __init__(
        self,
        folder: Path,
        model: str,
        *entries: dict[str, Any],
        key_prefix: str | None = None,
        resource_prefix: str = "",
        **keys: Any,
    ) -> None:
        self.folder = folder
        self.key_prefix = key_prefix
        self.resource_prefix = resource_prefix
        self.config: dict[str, Any] = {
            "model": {"pretrained_model_name_or_path": model, "dtype": "float32"},
            "datasets": list(entries),
            **keys,
        }
        self.others: dg.Definitions | None = None  # of the same project
        self.cursor: str | None = None
        self.events: list[dg.AssetObservation] = []
        self.said = ""
        self.history = History()

    def copy(self, folder: Path) -> "User":
        """The same user's files and history elsewhere."""
        shutil.copytree(self.folder, folder)
        twin = User(folder, "")
        twin.config, twin.cursor = json.loads(json.dumps(self.config)), self.cursor
        twin.history = self.history.copy()
        return twin

    @property
    def definitions(self) -> dg.Definitions:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "datasets.json"
        file.write_text(json.dumps(self.config))
        made = build_definitions(loading.load(file), key_prefix=self.key_prefix, resource_prefix=self.resource_prefix)
        return dg.Definitions.merge(made, self.others) if self.others else made

    @property
    def home(self) -> Path:
        """Where the history lies if others look at it; else it is in memory."""
        return self.folder / "dagster_home"

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        if not self.home.exists():
            yield self.history.instance
            return
        with lasting(self.home) as instance:
            yield instance

    def write_history(self, home: Path) -> None:
        """Note what happened so far in a folder, as `home`."""
        with lasting(home) as instance:
            write(self.history.instance, instance)

    def tick(self) -> list[dg.RunRequest]:
        """Evaluate the sensor, and keep its events and cursor as the daemon does; returns what it requests."""
        defs = self.definitions
        # the context is left before the instance: else Dagster goes on to ask one that is gone
        with (
            self.instance() as instance,
            dg.build_sensor_context(
                instance=instance, cursor=self.cursor, resources=defs.resources, definitions=defs
            ) as context,
        ):
            done = sensor_of(defs).evaluate_tick(context)
            for event in done.asset_events:
                instance.report_runless_asset_event(event)
        self.cursor, self.events = done.cursor, list(done.asset_events)
        self.said = done.skip_message or ""
        return list(done.run_requests or ())

    def materialize(
        self, request: dg.RunRequest | None = None, checked: bool = False, run_config: dict[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run what was requested, or everything; with its checks, or to save time without."""
        defs = self.definitions
        checks = list(defs.asset_checks or ()) if checked else []
        with self.instance() as instance:
            return dg.materialize(
                [*(defs.assets or ()), *checks],
                instance=instance,
                resources=defs.resources,
                selection=dg.AssetSelection.assets(*(request.asset_selection or ())) if request else None,
                tags=request.tags if request else None,
                run_config=run_config,
                raise_on_error=False,
            )

    def refresh(self) -> dict[str, dict[str, int]]:
        """Tick, and run all that is requested: dataset -> stage -> computed."""
        computed: dict[str, dict[str, int]] = {}
        for request in self.tick():
            done = self.materialize(request)
            assert done.success
            for dataset, stages in computed_of(done).items():
                computed.setdefault(dataset, {}).update(stages)
        return computed


def computed_of(done: dg.ExecuteInProcessResult) -> dict[str, dict[str, int]]:
    """What a run computed: dataset -> stage -> number."""
    computed: dict[str, dict[str, int]] = {}
    for event in done.get_asset_materialization_events():
        key, metadata = event.asset_key, event.step_materialization_data.materialization.metadata
        assert key is not None
        computed.setdefault(key.path[-2], {})[key.path[-1]] = int(str(metadata["computed"].value))
    return computed


def names(request: dg.RunRequest) -> set[str]:
    """The stages that a request asks for."""
    return {key.path[-1] for key in request.asset_selection or ()}


def encoded(computed: Mapping[str, int]) -> tuple[int, int]:
    """(latents, embeds) computed."""
    return computed["vae_latents"], computed["text_embeds"]

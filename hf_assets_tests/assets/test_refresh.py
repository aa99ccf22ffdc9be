"""The sensor: it sees what changed, runs it once, and storms neither the Hub nor the queue."""

import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from hf_assets.config.check_keys import Checks
from hf_assets.orchestrate import automation, history, polling
from hf_assets.resources.gpu import GpuResource
from hf_assets_tests.assets.conftest import ROWS, push_model
from hf_assets_tests.assets.user import STAGES, User, computed_of, encoded, entry, names, schedule_of, sensor_of
from hf_assets_tests.contract.image_rows import files_of
from hf_assets_tests.local_hub import Fault, LocalHub

NUMBERS = count()
OUTSIDE = {"hub_revision", "vae_revision", "text_revision"}


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


def test_a_new_dataset_is_observed_and_then_run_as_a_whole(name: str, model: str, tmp_path: Path) -> None:
    user = User(tmp_path, model, entry("photos", name))
    (request,) = user.tick()
    assert names(request) == {*STAGES}
    assert {event.asset_key.path[-1] for event in user.events} == OUTSIDE


def test_nothing_new_nothing_runs(user: User) -> None:
    assert user.tick() == []
    assert (user.events, user.said) == ([], "everything is up to date")


def test_new_rows_are_computed_in_one_run_and_no_others(user: User, hub: LocalHub, name: str) -> None:
    sha = hub.commit(
        name, {"data/train-00001-of-00002.parquet": files_of(ROWS[2:3])["data/train-00000-of-00001.parquet"]}
    )
    (request,) = user.tick()
    assert names(request) == {*STAGES}
    (event,) = user.events
    assert event.metadata["revision"].value == sha
    assert encoded(computed_of(user.materialize(request))["photos"]) == (1, 1)
    assert user.tick() == []


def test_a_commit_that_touches_only_the_readme_runs_nothing(user: User, hub: LocalHub, name: str) -> None:
    sha = hub.commit(name, {"README.md": b"---\nlicense: apache-2.0\n---\n"})
    assert user.tick() == []
    assert [event.metadata["revision"].value for event in user.events] == [sha]


def test_what_was_run_by_hand_is_not_run_again(name: str, model: str, tmp_path: Path) -> None:
    user = User(tmp_path, model, entry("photos", name))
    assert user.materialize().success
    assert user.tick() == []


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("resolution", 128, {"buckets", "vae_latents", "training_set"}),
        ("repeats", 3, set()),
        ("cache_dir", "cache/../cache/photos", set()),
    ],
)
def test_an_edit_of_the_config_runs_what_reads_it_and_what_follows(
    user: User, key: str, value: Any, wanted: set[str]
) -> None:
    user.config["datasets"][0][key] = value
    assert set().union(*map(names, user.tick())) == wanted


def test_a_full_sha_is_never_asked_for(user: User, hub: LocalHub, name: str) -> None:
    user.config["model"]["revision"] = hub.load("model", "refresh/model").branches["main"]  # type: ignore[union-attr]
    user.config["datasets"][0]["revision"] = hub.load("dataset", name).branches["main"]  # type: ignore[union-attr]
    (request,) = user.tick()  # the config changed
    assert user.materialize(request).success
    hub.commit(name, files_of(ROWS))
    hub.reset_counters()
    assert user.tick() == []
    assert hub.requests == []


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_a_model_whose_branch_moves_runs_just_what_it_encodes(
    hub: LocalHub, name: str, pipelines: list[Path], tmp_path: Path, part: str
) -> None:
    moving = f"refresh/moving-{part}"
    push_model(hub, moving, pipelines[0])
    user = User(tmp_path, moving, entry("photos", name))
    user.refresh()
    hub.commit(moving, {"README.md": b"words"}, repo_type="model")
    assert user.tick() == []
    weights = next((pipelines[1] / part).glob("*.safetensors"))
    hub.commit(moving, {f"{part}/{weights.name}": weights}, repo_type="model")
    (request,) = user.tick()
    stage, number = {"vae": ("vae_latents", 2), "text_encoder": ("text_embeds", 3)}[part]
    assert names(request) == {stage, "training_set"}
    assert computed_of(user.materialize(request))["photos"][stage] == number
    assert user.tick() == []


def test_a_local_folder_is_looked_at_like_a_dataset_of_the_hub(pipelines: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "folder" / "data"
    folder.mkdir(parents=True)
    first, second = files_of(ROWS[:2], ROWS[2:3]).items()
    (folder.parent / first[0]).write_bytes(first[1])  # type: ignore[arg-type]
    user = User(tmp_path / "user", str(pipelines[0]), entry("photos", str(folder.parent)))
    assert encoded(user.refresh()["photos"]) == (2, 3)
    assert user.tick() == []
    (folder.parent / "README.md").write_text("words")
    assert user.tick() == []
    (folder.parent / second[0]).write_bytes(second[1])  # type: ignore[arg-type]
    assert encoded(user.refresh()["photos"]) == (1, 1)
    assert user.tick() == []


@pytest.mark.parametrize("fault", ["down", 503, 429, 401])
def test_a_hub_that_does_not_answer_stops_nothing_but_this_look(
    user: User, hub: LocalHub, name: str, fault: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, files_of(ROWS[1:3]))
    hub.reset_counters()
    if fault == "down":
        hub.down()
    else:
        hub.faults.append(Fault(f"/api/datasets/{name}", times=100, status=int(fault), retry_after_s=7))
    try:
        assert user.tick() == []
        assert "next try in 5 min" in user.said
        num_asked = len(hub.requests)
        assert user.tick() == []  # the next tick leaves it in peace
        assert "the Hub is asked again in" in user.said
        later(monkeypatch, 301)
        assert user.tick() == []
        assert "next try in 10 min" in user.said
    finally:
        hub.up()
        hub.faults.clear()
    if fault != "down":
        assert num_asked <= 4  # one for the dataset, the others for the model
    later(monkeypatch, 700)
    (request,) = user.tick()
    assert encoded(computed_of(user.materialize(request))["photos"]) == (1, 1)


def test_one_bad_dataset_of_three_does_not_stop_the_others(
    hub: LocalHub, name: str, model: str, tmp_path: Path
) -> None:
    good = f"refresh/dataset{next(NUMBERS)}"
    hub.commit(good, files_of(ROWS[2:]))
    user = User(tmp_path, model, entry("one", name), entry("bad", "refresh/none"), entry("two", good))
    requests = user.tick()
    assert [request.asset_selection[0].path[0] for request in requests if request.asset_selection] == ["one", "two"]
    assert all(user.materialize(request).success for request in requests)
    assert user.tick() == []
    assert "bad: the Hub is asked again" in user.said


def test_a_run_that_fails_is_tried_again_later_and_later_and_at_once_after_a_change(
    user: User, hub: LocalHub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, files_of(ROWS[1:3]))
    with monkeypatch.context() as broken:
        broken.setattr(GpuResource, "hold_device", None)  # a bug: every asset that encodes fails
        (request,) = user.tick()
        assert not user.materialize(request).success
        assert user.tick() == []
        assert "tried 1 times without success; next try in 5 min" in user.said
        later(broken, 310)
        (request,) = user.tick()
        assert names(request) == {"vae_latents", "text_embeds", "training_set"}
        assert not user.materialize(request).success
        later(broken, 320)
        assert user.tick() == []
        assert "tried 2 times without success; next try in" in user.said
    user.config["datasets"][0]["resolution"] = 128  # somebody does something about it
    (request,) = user.tick()
    assert user.materialize(request).success
    assert user.tick() == []


def test_what_a_check_holds_back_is_not_made_by_trying_again(
    user: User, hub: LocalHub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most rows are gone: nothing is made from the rest until somebody says that this is right."""
    user.config["datasets"][0]["checks"] = {
        check: {"severity": "error" if check == "shrink" else "off"} for check in Checks.model_fields
    }
    table = user.folder / "cache/photos/huggingface_metadata/photos/training_set.parquet"
    hub.commit(name, files_of(ROWS[:1]))
    for seconds in (0, 310, 1000):
        later(monkeypatch, seconds)
        (request,) = user.tick()
        assert names(request) == {*STAGES}
        assert not user.materialize(request, checked=True).success
        assert user.tick() == []
        assert pq.read_table(table).num_rows == 2
    user.config["datasets"][0]["checks"]["shrink"]["at_most"] = 0.5
    (request,) = user.tick()
    assert user.materialize(request, checked=True).success
    assert pq.read_table(table).num_rows == 1
    assert user.tick() == []


def test_a_revision_that_moves_during_a_run_is_the_next_runs(
    user: User, hub: LocalHub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first run encodes: a new commit, and a tick, which must neither observe nor request anything."""
    first = hub.commit(name, files_of(ROWS[:3]))
    (request,) = user.tick()
    real, ticks = GpuResource.hold_device, []

    def hold_device(self: GpuResource, say: Any) -> Any:
        if not ticks:
            hub.commit(name, files_of(ROWS))
            ticks.append((user.tick(), list(user.events), user.said))
        return real(self, say)

    with monkeypatch.context() as patch:
        patch.setattr(GpuResource, "hold_device", hold_device)
        done = user.materialize(request)
    assert done.success
    ((requests, events, said),) = ticks
    assert (requests, events) == ([], [])
    assert "goes on" in said
    assert done.asset_materializations_for_node("photos__raw_dataset")[0].metadata["revision"].value == first
    table = user.folder / "cache/photos/huggingface_metadata/photos/training_set.parquet"
    assert pq.read_table(table).num_rows == 3
    assert encoded(user.refresh()["photos"]) == (1, 1)
    assert pq.read_table(table).num_rows == 4
    assert user.tick() == []


def test_a_run_that_died_silently_blocks_a_dataset_for_an_hour_and_no_other(
    hub: LocalHub, name: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"refresh/dataset{next(NUMBERS)}"
    hub.commit(other, files_of(ROWS[2:]))
    user = User(tmp_path, model, entry("photos", name), entry("other", other))
    defs = user.definitions
    job = dg.define_asset_job("by_hand", selection="group:photos")
    with user.instance() as instance:
        resolved = dg.Definitions(assets=defs.assets, jobs=[job], resources=defs.resources).resolve_job_def("by_hand")
        instance.create_run_for_job(resolved, status=dg.DagsterRunStatus.STARTED)
    (request,) = user.tick()
    assert request.asset_selection
    assert request.asset_selection[0].path[0] == "other"
    later(monkeypatch, history.DEAD_AFTER_S + 1)
    assert len(user.tick()) == 2


def test_a_question_that_takes_long_is_asked_once_and_answered_at_a_later_tick(
    user: User, hub: LocalHub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling.ask, "__defaults__", (0.2,))
    hub.faults.append(Fault(f"/api/datasets/{name}", delay_s=1.0))
    hub.reset_counters()
    assert user.tick() == []
    assert "photos: still looking" in user.said
    assert user.tick() == []
    deadline = time.monotonic() + 60
    while "still looking" in user.said and time.monotonic() < deadline:
        assert user.tick() == []
    assert user.said == "everything is up to date"
    assert len([one for one in hub.requests if one.path.startswith(f"/api/datasets/{name}")]) == 1


@pytest.mark.parametrize("cursor", ["", "{}", "nonsense", "[1]", '{"x": 3}', '{"x": ["a", "b"]}'])
def test_a_cursor_of_another_version_is_forgotten(user: User, cursor: str) -> None:
    user.cursor = cursor
    assert user.tick() == []
    assert user.cursor == "{}"


@pytest.mark.parametrize(
    ("number", "interval", "waits"),
    [(1, 5, 60), (2, 5, 120), (3, 5, 240), (1, 300, 300), (2, 300, 600), (30, 5, 21600)],
)
def test_waits_double_up_to_six_hours(number: int, interval: int, waits: int) -> None:
    assert automation.wait_s(number, interval) == waits


@pytest.mark.parametrize(
    ("refresh", "interval", "runs", "schedules"),
    [
        (None, 300, "STOPPED", []),
        ({"poll_seconds": 30}, 30, "RUNNING", []),
        ({"cron": "0 3 * * *"}, 300, "STOPPED", ["refresh"]),
        ({"cron": "0 3 * * *", "poll_seconds": 60}, 60, "RUNNING", ["refresh"]),
    ],
)
def test_the_config_says_what_runs_by_itself(
    tmp_path: Path, refresh: dict[str, Any] | None, interval: int, runs: str, schedules: list[str]
) -> None:
    user = User(tmp_path, "user/model", entry("photos", "user/photos"), **({"refresh": refresh} if refresh else {}))
    defs = user.definitions
    sensor = sensor_of(defs)
    assert (sensor.minimum_interval_seconds, sensor.default_status.value) == (interval, runs)
    assert [schedule.name for schedule in defs.schedules or ()] == schedules
    assert not schedules or schedule_of(defs).default_status.value == "RUNNING"


def test_the_schedule_runs_everything_but_what_runs_already(user: User, hub: LocalHub, name: str) -> None:
    user.config["refresh"] = {"cron": "0 3 * * *"}
    user.config["datasets"].append(entry("other", name))
    user.write_history(user.home)  # a schedule wants an instance that others could open
    defs = user.definitions
    with (
        user.instance() as instance,
        dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC)) as context,
    ):
        requests = schedule_of(defs).evaluate_tick(context).run_requests or []
        assert [names(request) for request in requests] == [{*STAGES}, {*STAGES}]
        assert len({request.run_key for request in requests}) == 2
        job = dg.define_asset_job("by_hand", selection="group:photos")
        resolved = dg.Definitions(assets=defs.assets, jobs=[job], resources=defs.resources).resolve_job_def("by_hand")
        instance.create_run_for_job(resolved, status=dg.DagsterRunStatus.STARTED)
        (left,) = schedule_of(defs).evaluate_tick(context).run_requests or []
        assert left.asset_selection
        assert left.asset_selection[0].path[0] == "other"
    assert encoded(computed_of(user.materialize(requests[0]))["photos"]) == (0, 0)

"""Ray actors on this machine: the same results as in one process, and nothing lost or done twice when they die."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_assets.encode.unit import CRASH, EncodingWork, run_units
from hf_assets.engines import ray_cluster
from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.ray_cluster import Placement, RayOptions, placement
from hf_assets.engines.ray_worker import Actor, Stale
from hf_assets.errors import DatasetError
from hf_assets.store import index
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.encode.lines import Killer, Numbers, Portable, SlowToArrive, stored, units
from hf_assets_tests.engines import driver
from hf_assets_tests.ray_session import local_ray

# `make soak` asks for more.
KILLS = int(os.environ.get("HF_ASSETS_RAY_KILLS", "3"))
MOMENTS = ("decode", "encode", "commit")
SETTINGS = ComputeSettings(device="cpu", batch_size=2, decode_threads=1, unit_samples=4)


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with local_ray(num_cpus=4):
        yield


def run(stage: Numbers, *keys: str, workers: int = 2, **options: int) -> tuple[list[str], int, int]:
    """(what was said, samples stored, samples that failed)"""
    said: list[str] = []
    with ray_cluster.workers(RayOptions(workers=workers, cpus=1, **options), SETTINGS, said.append) as engine:
        report = run_units(engine, stage, units(*keys), "counting", said.append).report
    return said, report.computed, report.failed


def test_units_are_pulled_and_every_sample_is_stored_once(tmp_path: Path) -> None:
    keys = [" ".join(f"{10 * unit + n}:{1 + n % 3}" for n in range(10)) for unit in range(6)]
    _, computed, failed = run(Numbers(tmp_path, encode_s=0.005), *keys, "broken:2 7:9")
    assert (computed, failed) == (61, 1)
    assert stored(tmp_path) == {key: 2 * float(key.split(":")[0]) for key in " ".join([*keys, "7:9"]).split()}
    assert len(index.stored_rows(TensorStore(tmp_path).index())) == 61


@pytest.mark.parametrize("number", range(KILLS))
def test_an_actor_that_is_killed_costs_the_units_in_flight_and_nothing_more(tmp_path: Path, number: int) -> None:
    keys = [" ".join(f"{10 * unit + n}:{1 + n % 3}" for n in range(10)) for unit in range(4)]
    moment = MOMENTS[number % len(MOMENTS)]
    key = "" if moment == "commit" else random.Random(number).choice(" ".join(keys).split())
    killer = Killer(moment, tmp_path / "kills", key)
    said, computed, failed = run(Numbers(tmp_path / "store", encode_s=0.005, killer=killer), *keys)
    assert any("died" in line for line in said)
    assert (computed, failed) == (40, 0)
    assert len(stored(tmp_path / "store")) == 40
    assert len(index.stored_rows(TensorStore(tmp_path / "store").index())) == 40, "something was stored twice"


def test_a_sample_that_kills_every_worker_is_quarantined_and_the_run_goes_on(tmp_path: Path) -> None:
    killer = Killer("decode", tmp_path / "kills", key="3:1", times=99)
    _, computed, failed = run(Numbers(tmp_path / "store", killer=killer), "1:1 2:1 3:1 4:1", "5:1 6:1")
    assert (computed, failed) == (5, 1)
    failures = index.failures(TensorStore(tmp_path / "store").index()).to_pylist()
    assert [(one["key"], one["status"]) for one in failures] == [("3:1", CRASH)]
    assert stored(tmp_path / "store").keys() == {"1:1", "2:1", "4:1", "5:1", "6:1"}


@pytest.mark.parametrize("dies", [False, True])
def test_decoders_beside_the_workers_decode_what_may_be_decoded_elsewhere(tmp_path: Path, dies: bool) -> None:
    killer = Killer("decode", tmp_path / "kills", key="7:2") if dies else None
    stage = Portable(tmp_path / "store", killer=killer)
    keys = [" ".join(f"{10 * unit + n}:{1 + n % 3}" for n in range(10)) for unit in range(3)]
    said, computed, failed = run(stage, *keys, "broken:2", workers=1, decoders=2, decoder_cpus=1)
    assert any("workers: 1, decoders: 2" in line for line in said)
    assert not any("died" in line for line in said)  # a decoder that dies costs no unit
    assert (computed, failed) == (30, 1)
    assert stored(tmp_path / "store") == {key: 2 * float(key.split(":")[0]) for key in " ".join(keys).split()}
    by_process: dict[str, set[str]] = {}
    for path in stage.pids.iterdir():
        by_process.setdefault("own" if path.name.endswith(":1") else "other", set()).add(path.read_text())
    (own,) = by_process["own"]
    others = by_process["other"] - {own}
    assert len(others) >= 2
    assert dies or own not in by_process["other"]


def test_decoders_without_room_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "DECODERS_S", 2.0)
    said, computed, _ = run(Portable(tmp_path / "store"), "1:2 2:2", workers=1, decoders=1, decoder_cpus=64)
    assert "1 of 1 decoders found no room of 64 cores: without them" in said
    assert computed == 2


def test_a_worker_that_begins_when_all_is_done_is_not_waited_for(tmp_path: Path) -> None:
    watchdog = threading.Timer(120, os.kill, (os.getpid(), signal.SIGINT))
    watchdog.start()
    _, computed, failed = run(SlowToArrive(tmp_path / "store"), "1:1")
    watchdog.cancel()
    assert (computed, failed) == (1, 0)
    assert run(Numbers(tmp_path / "store"), "2:1", "3:1")[1] == 2, "it takes what comes next"


def test_calls_of_an_earlier_beginning_change_nothing(tmp_path: Path) -> None:
    actor = Actor(0, 1.0)
    work = EncodingWork(Numbers(tmp_path / "store"))
    actor.begin(5, work, SETTINGS)
    (unit,) = units("1:1")
    late = (
        lambda: actor.begin(4, EncodingWork(Numbers(tmp_path / "former")), SETTINGS),
        lambda: actor.give(4, unit),
        lambda: actor.drain(4),
        lambda: actor.end(4),
        lambda: actor.news(4),
    )
    for call in late:
        with pytest.raises(Stale):
            call()
    actor.give(5, unit)
    actor.end(5)
    computed = 0
    while not (news := actor.news(5)).is_over:
        computed += news.report.computed
    assert computed + news.report.computed == 1
    assert stored(tmp_path / "store") == {"1:1": 2.0}
    assert not (tmp_path / "former").exists()


def test_an_error_of_the_work_reaches_the_run_and_frees_the_devices(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the disk is gone"):
        run(Numbers(tmp_path), "1:3 fatal:3")
    assert free_cpus() == 4


def test_a_run_that_is_cancelled_frees_the_devices(tmp_path: Path) -> None:
    is_over = threading.Event()

    def interrupt() -> None:
        is_over.wait(3.0)
        while not is_over.is_set():  # one may be lost, as in a finalizer
            os.kill(os.getpid(), signal.SIGINT)
            is_over.wait(10.0)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever an earlier test has left
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(Numbers(tmp_path, encode_s=0.2), " ".join(f"{n}:1" for n in range(900)))
    finally:
        is_over.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert free_cpus() == 4


def test_a_driver_that_is_killed_frees_the_devices_and_the_next_run_does_the_rest(tmp_path: Path) -> None:
    import ray

    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    command = [sys.executable, "-m", "hf_assets_tests.engines.driver", str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (before := _stored_keys(tmp_path)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.kill()
    assert 0 < len(before) < 60
    assert free_cpus() == 4
    work = _work(tmp_path)
    left = [" ".join(unit.jobs["key"].to_pylist()) for unit in work.left(units(*driver.KEYS))]
    run(Numbers(tmp_path), *left)
    assert len(stored(tmp_path)) == len(index.stored_rows(TensorStore(tmp_path).index())) == 60


def _stored_keys(folder: Path) -> list[str]:
    keys: list[str] = index.stored_keys(TensorStore(folder).index()).to_pylist() if folder.exists() else []
    return keys


def free_cpus() -> float:
    """Once Ray has noticed that actors are gone."""
    import ray

    deadline = time.monotonic() + 60
    while (free := ray.available_resources().get("CPU", 0.0)) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    return free


def test_the_next_stage_gets_the_same_actors(tmp_path: Path) -> None:
    first = _pids(tmp_path)
    assert _pids(tmp_path) == first
    ray_cluster.POOL.clear()
    assert free_cpus() == 4


def _pids(folder: Path) -> list[int]:
    import ray

    with ray_cluster.workers(RayOptions(workers=2, cpus=1), SETTINGS, lambda line: None) as engine:
        list(engine.run(_work(folder), units("1:1", "2:1"), lambda line: None))
        return ray.get([actor.pid.remote() for actor in engine.actors])


def _work(folder: Path) -> EncodingWork:
    return EncodingWork(Numbers(folder))


@pytest.mark.parametrize(
    ("options", "nodes", "wants_cpu", "expected"),
    [
        (RayOptions(), [{"CPU": 8, "GPU": 2}], False, Placement(2, 1, 1, 4)),
        (RayOptions(), [{"CPU": 8, "GPU": 2}, {"CPU": 64, "GPU": 8}, {"CPU": 4}], False, Placement(10, 1, 1, 4)),
        (RayOptions(gpus=0.5), [{"CPU": 8, "GPU": 2}], False, Placement(4, 0.5, 1, 2)),
        (RayOptions(workers=3), [{"CPU": 8, "GPU": 8}], False, Placement(3, 1, 1, 1)),
        (RayOptions(), [{"CPU": 8, "GPU": 2}], True, Placement(2, 0, 4, 4)),
        (RayOptions(), [{"CPU": 2}], False, Placement(1, 0, 2, 2)),
        (RayOptions(cpus=1), [{"CPU": 2}, {"CPU": 3}], False, Placement(5, 0, 1, 1)),
        (RayOptions(gpus=0, cpus=8), [{"CPU": 16, "GPU": 2}], False, Placement(2, 0, 8, 8)),
    ],
)
def test_one_actor_per_gpu_or_as_many_as_cpus_have_room_for(
    options: RayOptions, nodes: list[dict[str, float]], wants_cpu: bool, expected: Placement
) -> None:
    assert placement(options, nodes, wants_cpu=wants_cpu) == expected

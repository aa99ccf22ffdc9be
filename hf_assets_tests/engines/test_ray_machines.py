"""A machine of a Ray cluster that dies takes with it what it had not stored, and the others do that again."""

import random
import threading
from pathlib import Path

import pytest

from hf_assets.encode.unit import EncodingWork, run_units
from hf_assets.engines import ray_cluster
from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.ray_cluster import RayOptions
from hf_assets.engines.unit import Unit
from hf_assets.store import index
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.encode.lines import Numbers, stored, units
from hf_assets_tests.ray_session import machines

SETTINGS = ComputeSettings(device="cpu", batch_size=2, decode_threads=1, unit_samples=4)


def test_a_machine_that_dies_costs_the_units_in_flight(tmp_path: Path) -> None:
    with machines(1, 1) as (cluster, (other,)):
        ray = pytest.importorskip("ray")
        given: list[Unit] = units(*(" ".join(f"{10 * unit + n}:{1 + n % 3}" for n in range(10)) for unit in range(12)))
        said: list[str] = []
        stage = Numbers(tmp_path, encode_s=0.15)
        with ray_cluster.workers(RayOptions(workers=2, cpus=1), SETTINGS, said.append) as engine:
            # both are there, and have imported what they need
            ray.get([actor.begin.remote(-1, EncodingWork(stage), SETTINGS) for actor in engine.actors])
            die = threading.Timer(random.uniform(0.5, 3.0), cluster.remove_node, (other,), {"allow_graceful": False})
            die.start()
            report = run_units(engine, stage, given, "counting", said.append).report
            die.join()
        assert (report.computed, report.failed) == (120, 0)
        assert len(stored(tmp_path)) == len(index.stored_rows(TensorStore(tmp_path).index())) == 120
        assert any("died" in line for line in said)

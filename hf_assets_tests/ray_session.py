"""Ray for the tests of one module: a cluster of this machine alone, with nothing said and nothing sent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hf_assets.engines import ray_cluster


@contextmanager
def local_ray(num_cpus: int) -> Iterator[Any]:
    """One machine with so many CPUs, as Ray counts them."""
    ray = _ray()
    ray.init("local", num_cpus=num_cpus, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray_cluster.POOL.clear()
    ray.shutdown()


@contextmanager
def machines(*num_cpus: int) -> Iterator[tuple[Any, list[Any]]]:
    """Several machines, all on this one: the cluster, and its machines but the first."""
    ray = _ray()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": num_cpus[0], "include_dashboard": False})
    others = [cluster.add_node(num_cpus=count) for count in num_cpus[1:]]
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    cluster.wait_for_nodes()
    yield cluster, others
    ray_cluster.POOL.clear()
    ray.shutdown()
    cluster.shutdown()


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"  # test processes side by side would make tokens over each other's
    return pytest.importorskip("ray")

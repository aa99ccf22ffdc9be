"""The `gpu` resource: where and how fast, never what."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pydantic
import pytest
import torch

from hf_assets.engines import ray_cluster
from hf_assets.errors import ConfigError, ModelError
from hf_assets.resources import gpu
from hf_assets.resources.gpu import GpuResource


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DEVICE",
        "BATCH_SIZE",
        "TEXT_BATCH_SIZE",
        "TEXT_OFFLOAD",
        "DECODE_THREADS",
        "ENGINE",
        "AHEAD_MB",
        "DECODE_MB",
    ):
        monkeypatch.delenv(f"HF_ASSETS_{name}", raising=False)


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert GpuResource().compute().device == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error_not_a_silent_cpu() -> None:
    with pytest.raises(ModelError, match='set device to "cpu" or "auto"'):
        GpuResource(device="cuda").compute()


def test_the_environment_sets_what_the_run_config_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ASSETS_DEVICE", "cpu")
    monkeypatch.setenv("HF_ASSETS_BATCH_SIZE", "3")
    monkeypatch.setenv("HF_ASSETS_TEXT_BATCH_SIZE", "5")
    monkeypatch.setenv("HF_ASSETS_DECODE_THREADS", "7")
    monkeypatch.setenv("HF_ASSETS_TEXT_OFFLOAD", "1")
    monkeypatch.setenv("HF_ASSETS_CHANNELS_LAST", "1")
    compute = GpuResource(batch_size=4).compute()
    assert compute.text_offload
    assert (compute.channels_last, compute.compile) == (True, False)  # off unless asked for
    assert not GpuResource(text_offload=False).compute().text_offload
    assert (compute.device, compute.batch_size, compute.text_batch_size, compute.decode_threads) == ("cpu", 4, 5, 7)


@pytest.mark.parametrize("field", [{"batch_size": -1}, {"text_batch_size": 0}, {"device": "tpu"}, {"unit_samples": 0}])
def test_values_that_mean_nothing_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        GpuResource(**field)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("DEVICE", "gpu", 'use "auto", "cuda" or "cpu"'),
        ("BATCH_SIZE", "abc", "write a whole number, 0 or more"),
        ("BATCH_SIZE", "-1", "write a whole number, 0 or more"),
        ("TEXT_BATCH_SIZE", "0", "write a whole number, 1 or more"),
        ("TEXT_BATCH_SIZE", "1.5", "write a whole number, 1 or more"),
        ("DECODE_THREADS", "", "write a whole number, 0 or more"),
        ("TEXT_OFFLOAD", "yes", "write 1 or 0"),
        ("AHEAD_MB", "0", "write a whole number, 1 or more"),
        ("ENGINE", "spark", 'use "process" or "ray"'),
    ],
)
def test_an_environment_that_means_nothing_is_named(
    name: str, value: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HF_ASSETS_{name}", value)
    with pytest.raises(ConfigError) as caught:
        GpuResource()
    assert str(caught.value) == f'HF_ASSETS_{name} is "{value}"; {remedy}, or unset it'


@pytest.mark.parametrize(
    ("environment", "given", "run_config", "workers"),
    [
        (None, {}, {}, None),
        ("process", {}, {}, None),
        ("ray", {}, {}, 0),
        ("ray", {}, {"batch_size": 3}, 0),
        ("ray", {}, {"engine": {"ray": {"workers": 2}}}, 2),
        (None, {"engine": {"ray": {"workers": 3}}}, {}, 3),
        (None, {}, {"engine": {"ray": {}}}, 0),
    ],
)
def test_an_asset_encodes_in_this_process_unless_the_environment_the_resource_or_the_run_config_says_ray(
    environment: str | None,
    given: dict[str, Any],
    run_config: dict[str, Any],
    workers: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    @contextlib.contextmanager
    def start(options: ray_cluster.RayOptions, *_: object) -> Iterator[None]:
        asked.append(options.workers)
        yield

    monkeypatch.setattr(gpu.ray_cluster, "workers", start)
    if environment is not None:
        monkeypatch.setenv("HF_ASSETS_ENGINE", environment)

    @dg.asset
    def encoded(gpu: GpuResource) -> None:
        with gpu.hold_device(print):
            pass

    config = {"resources": {"gpu": {"config": {"device": "cpu", **run_config}}}}
    dg.materialize([encoded], resources={"gpu": GpuResource(**given)}, run_config=config if run_config else None)
    assert asked == ([] if workers is None else [workers])


def test_without_ray_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    resource = GpuResource(engine={"ray": {}})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r'pip install "hf_assets\[ray\]"'), resource.hold_device(print):
        pass


@pytest.mark.parametrize(("num_gpus", "said"), [(1, 0), (2, 1), (8, 1)])
def test_a_machine_with_several_gpus_is_said_how_to_use_all_of_them(
    num_gpus: int, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.device_lock, "hold", lambda device, say: contextlib.nullcontext())
    lines: list[str] = []
    with GpuResource().hold_device(lines.append):
        pass
    assert len(lines) == said
    if said:
        assert lines[0].startswith(f"encoding on one of {num_gpus} GPUs: set HF_ASSETS_ENGINE=ray to use all of them")

"""Runs in processes of their own: they take turns on the device, a killed one holds up nobody, and how a run is
spread over processes changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hf_assets.config.check_keys import Checks
from hf_assets.engines import device_lock
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub

ROOT = Path(__file__).parents[1]
DATASET = "processes/photos"
WAITS = "waiting for the cpu device, on which another run encodes"
# Each step in a process of its own, which doesn't import all of it anew.
FORKED = {"forkserver": {"preload_modules": ["hf_assets.definitions", "diffusers", "transformers"]}}
# Not what it takes, but when something must be wrong, however busy the machine is.
PATIENCE_S = 240.0


def project(folder: Path) -> Path:
    """Two datasets with the same rows, and Dagster's settings as they are shipped."""
    shutil.copy(ROOT / "dagster.yaml", folder)
    tiny_pipelines.build("sd15", folder / "model")
    keys: dict[str, Any] = {"resolution": 64, "resolution_type": "pixel", "aspect_bucket_alignment": 8}
    keys["checks"] = {check: {"severity": "off"} for check in Checks.model_fields}  # a process each saved
    entries = [
        {"id": id, "type": "huggingface", "dataset_name": DATASET, "text_embeds": f"{id}-texts", **keys}
        for id in ("one", "two")
    ]
    stores = [{"id": f"{id}-texts", "dataset_type": "text_embeds", "cache_dir": f"texts/{id}"} for id in ("one", "two")]
    model = {"pretrained_model_name_or_path": "./model", "dtype": "float32"}
    (folder / "datasets.json").write_text(json.dumps({"model": model, "datasets": [*entries, *stores]}))
    return folder


@contextmanager
def run(folder: Path, group: str, executor: str, **settings: Any) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`dagster asset materialize` in a process group of its own, and the file that holds what it says."""
    log = folder / f"{group}-{time.monotonic_ns()}.log"
    config = json.dumps({"execution": {"config": {executor: settings}}})
    command = ["asset", "materialize", "-m", "hf_assets.definitions", "--select", f"group:{group}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_HOME")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", *command, "--config-json", config],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT), "HF_ASSETS_DEVICE": "cpu"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process, log
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a run and all its processes at once, as a crash does."""
    with suppress(ProcessLookupError):  # it is over
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(what: Callable[[], bool], *logs: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)
        time.sleep(0.02)


def is_taken() -> bool:
    """Whether somebody else has the device."""
    said: list[str] = []

    class Taken(Exception):
        pass

    def say(line: str) -> None:
        said.append(line)
        raise Taken

    try:
        with device_lock.hold("cpu", say):
            return False
    except Taken:
        return True


def table(folder: Path, id: str, name: str) -> dict[str, list[Any]]:
    content: dict[str, list[Any]] = pq.read_table(
        folder / f"cache/{id}/huggingface_metadata/{id}/{name}.parquet"
    ).to_pydict()
    return content


def test_runs_take_turns_a_killed_one_frees_its_turn_and_executors_give_the_same(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit(DATASET, files_of([Row(image_bytes(number), f"picture {number}") for number in range(4)]))
    folder = project(tmp_path)
    with run(folder, "one", "in_process") as (killed, log):
        with device_lock.hold("cpu", print):
            wait_for(lambda: WAITS in log.read_text(), log)
        wait_for(is_taken, log)
        kill(killed)
    assert killed.returncode == -signal.SIGKILL
    assert not is_taken()
    with ExitStack() as both:
        with device_lock.hold("cpu", print):
            one, first = both.enter_context(run(folder, "one", "in_process"))
            two, second = both.enter_context(run(folder, "two", "multiprocess", start_method=FORKED))
            wait_for(lambda: WAITS in first.read_text() and WAITS in second.read_text(), first, second)
        wait_for(lambda: one.poll() is not None and two.poll() is not None, first, second)
        assert (one.returncode, two.returncode) == (0, 0), first.read_text() + second.read_text()
    assert not list((folder / "cache/one/vae/one").glob(".tmp*"))
    for name in ("raw_dataset", "filtered", "captions", "buckets", "training_set"):
        assert table(folder, "one", name) == table(folder, "two", name)
    assert len(table(folder, "one", "training_set")["row"]) == 4

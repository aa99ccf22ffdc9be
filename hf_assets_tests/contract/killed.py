"""Runs that are killed with SIGKILL: `python -m hf_assets_tests.contract.killed`, asked line by line.

A line of its input is a JSON object: `folder` holds a user's files as `World` makes them, `environment` is that of the
runs. For each of `moments` a run starts in a process of its own and dies there: `{"after_s": 0.8}` after so long,
`{"replace": 3, "when": "before"}` at its third rename of a finished file, before or after it took place, `{"fsync": 3}`
while its third file is half on the disk, `{"put": 3, "when": "before"}` at its third object of a bucket. A last run
lives. Everything is imported once; each line, each run, and each look at what is stored, is a fork: who used a bucket
can't fork. Prints a line for each: as JSON, what the stores held after each run; null if that failed.
"""

import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import diffusers
import imagehash
import pandas
import pyarrow.parquet as pq
import transformers

from hf_assets import blobs
from hf_assets.blobs.objects import ObjectBlobs
from hf_assets.config import loading
from hf_assets.definitions import build_definitions

assert all((diffusers.StableDiffusionPipeline, transformers.CLIPTextModel, imagehash, pandas)), "imported once"
dg.DagsterInstance.ephemeral().dispose()  # imports what keeps it


def run(folder: Path) -> None:
    defs = build_definitions(loading.load(folder / "datasets.json"))
    with dg.DagsterInstance.ephemeral() as instance:
        run_config = {"resources": {"gpu": {"config": {"batch_size": 2, "unit_samples": 2}}}}
        done = dg.materialize(
            list(defs.assets or ()),
            instance=instance,
            resources=defs.resources,
            run_config=run_config,
            raise_on_error=False,
        )
    if not done.success:
        raise SystemExit(1)


def die_at(moment: dict[str, Any]) -> None:
    """Arm this process: it kills itself at its n-th `os.replace` or `os.fsync`, or at its n-th object of a bucket."""
    name = next(name for name in ("fsync", "replace", "put") if name in moment)
    owner: Any = ObjectBlobs if name == "put" else os
    real, left = getattr(owner, name), moment[name]

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and moment.get("when") != "after":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


def start(folder: Path, moment: dict[str, Any] | None) -> int:
    """Run in a fork; returns how it ended: 0, 1, or -9 when it was killed."""
    pid = os.fork()
    if pid == 0:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        try:
            if moment and "after_s" not in moment:
                die_at(moment)
            run(folder)
        except BaseException:
            os._exit(1)
        os._exit(0)
    if moment and "after_s" in moment:
        time.sleep(moment["after_s"])
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def committed(folder: Path) -> list[str]:
    """Every key in every index part, once for each time that it was computed."""
    (recipe,) = loading.load(folder / "datasets.json").recipes
    rows = []
    for place in {recipe.folders.latents, recipe.folders.embeds}:
        parts = blobs.at(place).within("index")
        for blob in parts.list():
            if blob.name.endswith(".parquet"):
                rows += pq.read_table(io.BytesIO(parts.get(blob.name)), columns=["key", "status"]).to_pylist()
    return [row["key"] for row in rows if row["status"] == "ok"]


def in_fork(look: Callable[[], list[str]]) -> list[str]:
    """What a function finds in a process of its own."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writer, "w") as pipe:
            json.dump(look(), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found: list[str] = json.load(pipe)
    os.wait()
    return found


def history(folder: Path, moments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the stores held after each killed run, and after one that lives."""
    seen = []
    for moment in [*moments, None]:
        ended = start(folder, moment)
        seen.append({"moment": moment, "ended": ended, "keys": in_fork(lambda: committed(folder))})
    return seen


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if os.fork() == 0:
            os.environ.update(asked["environment"])
            try:
                print(json.dumps(history(Path(asked["folder"]), asked["moments"])), flush=True)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.wait()[1]) != 0:
            print("null", flush=True)


if __name__ == "__main__":
    main()

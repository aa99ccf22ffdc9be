"""Killed with SIGKILL at any moment, then run again: nothing committed is lost or done twice, nothing mispaired."""

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_assets_tests.contract.world import World

# `make soak` asks for more.
KILLS = int(os.environ.get("HF_ASSETS_KILLS", "20"))
KILLS_PER_HISTORY = 5
MOST_OF_SUITE = 20


def moments(history: int) -> list[dict[str, Any]]:
    """By time, anywhere in a run; and at a file's flush or rename, where a crash hurts most.

    A first run flushes some 170 files and renames half as many; it commits what it encodes from about the 20th on.
    """
    draw = random.Random(history)
    chosen: list[dict[str, Any]] = []
    for number in range(KILLS_PER_HISTORY):
        kind = (history + number) % 4
        if kind == 0:
            chosen.append({"after_s": draw.uniform(0.2, 2.5)})
        elif kind == 1:
            chosen.append({"fsync": draw.randint(1, 120)})
        else:
            chosen.append({"replace": draw.randint(1, 60), "when": "before" if kind == 2 else "after"})
    return chosen


def moments_of_bucket(history: int) -> list[dict[str, Any]]:
    """At an object that is put, before or after; and, where more is asked for, by time."""
    draw = random.Random(history)
    kinds = [{"put": draw.randint(1, 12), "when": when} for when in ("before", "after")]
    return kinds if history == 0 else [*kinds, {"after_s": draw.uniform(0.5, 5)}]


class Runs:
    """A process that starts runs and kills them."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log

    def killed(self, folder: Path, moments: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What each run of a user left: as `hf_assets_tests.contract.killed` says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = {"folder": str(folder), "moments": moments, "environment": dict(os.environ)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer: list[dict[str, Any]] | None = json.loads(self.process.stdout.readline() or "null")
        assert answer is not None, self.log.read_text()[-3000:]
        return answer


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    log = tmp_path_factory.mktemp("killed") / "errors.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "hf_assets_tests.contract.killed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Runs(process, log)


def histories() -> list[int]:
    return list(range(-(-KILLS // KILLS_PER_HISTORY)))


@pytest.mark.parametrize("history", histories())
def test_a_kill_loses_nothing_that_was_committed(history: int, world: World, tmp_path: Path, runs: Runs) -> None:
    run_killed(runs, empty_like(world, tmp_path), world, moments(history))


@pytest.mark.parametrize("history", histories() if KILLS > MOST_OF_SUITE else [0])
def test_a_kill_loses_nothing_in_a_bucket(
    history: int, world: World, tmp_path: Path, address: str, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))
    run_killed(runs, empty_like(world, tmp_path).move_to(address), world, moments_of_bucket(history))


def empty_like(world: World, tmp_path: Path) -> World:
    """The same user before the first run."""
    empty = World(tmp_path / "killed", world.hub, world.dataset, world.config, world.rows)
    empty.pipeline_folder, empty.vae_folder = world.pipeline_folder, world.vae_folder
    return empty


def run_killed(runs: Runs, empty: World, world: World, chosen: list[dict[str, Any]]) -> None:
    empty.definitions()  # writes the config
    seen = runs.killed(empty.folder, chosen)
    assert seen[-1]["ended"] == 0
    assert -9 in {run["ended"] for run in seen}, "no run was killed: the moments miss"
    for before, after in itertools.pairwise(seen):
        assert set(before["keys"]) <= set(after["keys"])
    assert len(seen[-1]["keys"]) == len(set(seen[-1]["keys"])), "something was computed again that had been committed"
    empty.check()
    assert empty.contents() == world.contents()
    assert empty.materialize().encoded == (0, 0)

"""Killed with SIGKILL at any moment, then run again: nothing committed is lost or done twice, nothing mispaired."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hf_assets_tests.contract.world import World

# `make soak` asks for more.
KILLS = int(os.environ.get("HF_ASSETS_KILLS", "20"))
KILLS_PER_HISTORY = 5
MOST_OF_SUITE = 20


def moments(history: int) -> list[dict[str, Any]]:
    """By time, anywhere in a run; and at a file's flush or rename, where a crash hurts most."""
    draw = random.Random(history)
    chosen: list[dict[str, Any]] = []
    for number in range(KILLS_PER_HISTORY):
        kind = (history + number) % 4
        if kind == 0:
            chosen.append({"after_s": draw.uniform(0.2, 2.5)})
        elif kind == 1:
            chosen.append({"fsync": draw.randint(1, 40)})
        else:
            chosen.append({"replace": draw.randint(1, 20), "when": "before" if kind == 2 else "after"})
    return chosen


def moments_of_bucket(history: int) -> list[dict[str, Any]]:
    """At an object that is put, before or after; and, where more is asked for, by time."""
    draw = random.Random(history)
    kinds = [{"put": draw.randint(1, 12), "when": when} for when in ("before", "after")]
    return kinds if history == 0 else [*kinds, {"after_s": draw.uniform(0.5, 5)}]


def histories() -> list[int]:
    return list(range(-(-KILLS // KILLS_PER_HISTORY)))


@pytest.mark.parametrize("history", histories())
def test_a_kill_loses_nothing_that_was_committed(history: int, world: World, tmp_path: Path) -> None:
    run_killed(empty_like(world, tmp_path), world, moments(history))


@pytest.mark.parametrize("history", histories() if KILLS > MOST_OF_SUITE else [0])
def test_a_kill_loses_nothing_in_a_bucket(
    history: int, world: World, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))
    run_killed(empty_like(world, tmp_path).move_to(address), world, moments_of_bucket(history))


def empty_like(world: World, tmp_path: Path) -> World:
    """The same user before the first run."""
    empty = World(tmp_path / "killed", world.hub, world.dataset, world.config, world.rows)
    empty.pipeline_folder, empty.vae_folder = world.pipeline_folder, world.vae_folder
    return empty


def run_killed(empty: World, world: World, chosen: list[dict[str, Any]]) -> None:
    empty.definitions()  # writes the config
    done = subprocess.run(
        [sys.executable, "-m", "hf_assets_tests.contract.killed", str(empty.folder), json.dumps(chosen)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)
    assert runs[-1]["ended"] == 0
    assert -9 in {run["ended"] for run in runs}, "no run was killed: the moments miss"
    for before, after in itertools.pairwise(runs):
        assert set(before["keys"]) <= set(after["keys"])
    assert len(runs[-1]["keys"]) == len(set(runs[-1]["keys"])), "something was computed again that had been committed"
    empty.check()
    assert empty.contents() == world.contents()
    assert empty.materialize().encoded == (0, 0)

"""The pins hold together on each Python that torch has wheels for, by what the pinned packages say that they need.

There is one version of each, so nothing is to be searched for: each that is needed is followed. That each pin has a
wheel for each Python is asked of the index by `make resolve`, with pip.
"""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = re.findall(r"\d\.\d+", re.search(r"for version in (.*?);", (ROOT / "Makefile").read_text())[1])  # type: ignore[index]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==([^\s#;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}
# Of each environment, and not ours to pin.
GIVEN = {"setuptools", "pip"}


def wanted(requirements: list[str], extras: set[str], python: str) -> Iterator[Requirement]:
    """The requirements that apply on the oldest patch release of a Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    for one in map(Requirement, requirements):
        marker, asked = one.marker, extras or {""}
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in asked):
            yield one


def problems(python: str) -> Iterator[str]:
    todo = [
        (name, one)
        for name in ("dependencies", *PROJECT["optional-dependencies"])
        for one in wanted(PROJECT["optional-dependencies"].get(name, PROJECT["dependencies"]), set(), python)
    ]
    seen = set()
    while todo:
        parent, one = todo.pop()
        name = canonicalize_name(one.name)
        version = PINS.get(name)
        if version is None:
            if name not in GIVEN:
                yield f"{parent} needs {one}, of which no version is pinned"
            continue
        if not one.specifier.contains(version, prereleases=True):
            yield f"{parent} needs {one}, and {version} is pinned"
        if (name, frozenset(one.extras)) in seen:
            continue
        seen.add((name, frozenset(one.extras)))
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or machine: only pip knows
        if found.version.split("+")[0] != version:
            continue
        todo += [(name, more) for more in wanted(found.requires or [], one.extras, python)]
        if not Requirement(f"python{found.metadata['Requires-Python'] or ''}").specifier.contains(f"{python}.0"):
            yield f"{name} {version} needs Python {found.metadata['Requires-Python']}"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_hold_together(python: str) -> None:
    assert sorted(set(problems(python))) == []


def test_the_oldest_python_is_the_one_that_is_named() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert PYTHONS[0] == oldest
    assert f"Python {oldest} or later" in (ROOT / "README.md").read_text()

"""The pins hold together on each Python that torch has wheels for, by what the pinned packages say that they need.

There is one version of each, so nothing is to be searched for: each that is needed is followed. That each pin has a
wheel for each Python is asked of the index by `make resolve`, with pip, which `make test` does where pins have changed.
"""

import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = re.search(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()  # type: ignore[index]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==([^\s#;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}
# Of each environment, and not ours to pin.
GIVEN = {"setuptools", "pip"}
# What a build of torch for GPUs needs beside: torch itself says which versions.
OF_TORCH = ("cuda-", "nvidia-", "triton")


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
            if name not in GIVEN and not (parent == "torch" and name.startswith(OF_TORCH)):
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
        if not Requirement(f"python{found.metadata.get('Requires-Python') or ''}").specifier.contains(f"{python}.0"):
            yield f"{name} {version} needs Python {found.metadata.get('Requires-Python')}"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_hold_together(python: str) -> None:
    assert sorted(set(problems(python))) == []


def test_the_oldest_python_is_the_one_that_is_named() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert PYTHONS[0] == oldest
    assert f"Python {oldest} or later" in (ROOT / "README.md").read_text()


def test_tests_ask_the_index_again_where_pins_have_changed(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".ci/resolved"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def asked() -> bool:
        """Whether `make test` would: `--dry-run` runs just the lines that name make itself."""
        command = ["make", "--dry-run", "--assume-old=.venv/.installed", "test"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return "--python-version" in done.stdout

    assert not asked()
    pins = tmp_path / "constraints.txt"
    pins.write_text(pins.read_text().replace("torch==2.13.0", "torch==2.14.1"))
    assert asked()
    shutil.copy(ROOT / "constraints.txt", pins)
    wants = tmp_path / "pyproject.toml"
    wants.write_text(wants.read_text().replace('"av>=14"', '"av>=15"'))
    assert asked()


def test_the_readme_installs_the_pinned_torch() -> None:
    """Else the second command would fetch another one, of several GB, and put it in place of a build for the CPU."""
    assert f"`pip install torch=={PINS['torch']}`" in (ROOT / "README.md").read_text()

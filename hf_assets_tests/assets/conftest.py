"""A tiny pipeline and a dataset on the Hub, and somebody whose graph is up to date with both."""

from pathlib import Path

import pytest

from hf_assets_tests import tiny_pipelines
from hf_assets_tests.assets.user import User, encoded, entry
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub

ROWS = [Row(image_bytes(number), f"picture {number}") for number in range(4)]


def push_model(hub: LocalHub, name: str, folder: Path) -> str:
    """Commit a folder as a model repository."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return hub.commit(name, files, repo_type="model")


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with the same pipeline and different weights."""
    folder = tmp_path_factory.mktemp("pipelines")
    return [tiny_pipelines.build("sd15", folder / str(seed), seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="session")
def model(hub: LocalHub, pipelines: list[Path]) -> str:
    """A model on the Hub that doesn't move."""
    push_model(hub, "refresh/model", pipelines[0])
    return "refresh/model"


@pytest.fixture
def name(hub: LocalHub) -> str:
    """A dataset of two rows on the Hub, at the same commit before each test."""
    if hub.load("dataset", "refresh/photos"):
        hub.delete_repo("refresh/photos")
    hub.commit("refresh/photos", {**files_of(ROWS[:2]), "README.md": b"---\nlicense: mit\n---\n"})
    return "refresh/photos"


@pytest.fixture(scope="session")
def first(model: str, tmp_path_factory: pytest.TempPathFactory) -> User:
    return User(tmp_path_factory.mktemp("first"), model, entry("photos", "refresh/photos"))


@pytest.fixture
def user(first: User, name: str, tmp_path: Path) -> User:
    """One whose dataset is up to date, by the sensor."""
    if first.cursor is None:
        assert encoded(first.refresh()["photos"]) == (2, 3)  # with the empty caption
        assert first.tick() == []
    return first.copy(tmp_path / "user")

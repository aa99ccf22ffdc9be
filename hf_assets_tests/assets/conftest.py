"""A tiny pipeline on the Hub that tests of refreshing encode with."""

from pathlib import Path

import pytest

from hf_assets_tests import tiny_pipelines
from hf_assets_tests.local_hub import LocalHub


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

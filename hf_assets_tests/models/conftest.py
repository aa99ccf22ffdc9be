import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_assets.models.pipeline import Pipeline, PipelineSource, resolve_pipeline
from hf_assets_tests import tiny_pipelines

Built = Callable[[str], Path]
Copied = Callable[[str], Path]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """family -> the folder of its tiny pipeline, built once. To be read only."""
    root = tmp_path_factory.mktemp("tiny_pipelines")
    folders: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in folders:
            folders[family] = tiny_pipelines.build(family, root / family)
        return folders[family]

    return folder


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> Copied:
    """family -> a copy of its folder that the test may change."""
    return lambda family: Path(shutil.copytree(built(family), tmp_path / family))


def resolved(folder: Path) -> Pipeline:
    return resolve_pipeline(PipelineSource(repository=str(folder)))

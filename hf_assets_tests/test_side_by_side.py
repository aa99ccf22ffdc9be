"""The comparison with other ways runs, and counts what each way encodes."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from benchmarks import side_by_side
from hf_assets_tests import tiny_pipelines

CAPTIONS = ["one", "two", "three"]


@pytest.fixture
def given() -> argparse.Namespace:
    return argparse.Namespace(px=64, model=None, device="cpu")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))
    tiny_pipelines.build("sdxl", tmp_path / "model")
    (tmp_path / "data").mkdir()
    for number in range(3):
        side_by_side.picture(number).save(tmp_path / "data" / f"{number:05}.jpg")
    side_by_side.write(tmp_path / "data", CAPTIONS)
    return tmp_path


def test_all_ways_encode_all_and_only_this_project_what_was_edited(work: Path, given: Any) -> None:
    for name, way in side_by_side.WAYS.items():
        assert way(work, given) == (3, 4 if name == "this project" else 3), name  # with the empty caption
    side_by_side.write(work / "data", ["one", "edited", "three"])
    side_by_side.picture(9).save(work / "data" / "00002.jpg")
    assert side_by_side.WAYS["this project"](work, given) == (1, 1)
    assert side_by_side.WAYS["datasets.map"](work, given) == (3, 3)

"""Blobs on a disk."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from hf_assets import blobs as places
from hf_assets.blobs import Blobs
from hf_assets.errors import StoreError
from hf_assets_tests.blobs.suite import BlobsSuite


class TestLocal(BlobsSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return places.at(tmp_path / "store")

    @pytest.fixture
    def again(self, tmp_path: Path) -> Blobs:
        return places.at(tmp_path / "store")


def test_a_blob_on_a_disk_has_a_path_for_memory_maps(tmp_path: Path) -> None:
    blobs = places.at(tmp_path)
    blobs.put("folder/a", b"0123")
    assert blobs.local_path("folder/a") == tmp_path / "folder/a"
    assert (tmp_path / "folder/a").read_bytes() == b"0123"


def test_a_lock_that_another_user_made_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be read, and not written to."""
    real = Path.open

    def open_as_another(path: Path, mode: str = "r", *more: Any) -> Any:
        if mode == "ab":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, mode, *more)

    blobs = places.at(tmp_path)
    with blobs.alone():
        pass
    monkeypatch.setattr(Path, "open", open_as_another)
    with blobs.in_use(), pytest.raises(StoreError, match="a run is using"), blobs.alone():
        pass
    with pytest.raises(StoreError, match="may not be written by this user"), places.at(tmp_path / "other").alone():
        pass


def test_a_blob_that_another_process_removes_at_once_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs at once write the same memo, and forget it before."""
    real = os.replace

    def replace_and_lose(source: Path, target: Path) -> None:
        real(source, target)
        target.unlink()

    monkeypatch.setattr(os, "replace", replace_and_lose)
    (tmp_path / "made").write_bytes(b"0123")
    blobs = places.at(tmp_path / "store")
    assert blobs.put("a", b"0123").num_bytes == blobs.put_file("a", tmp_path / "made").num_bytes == 4

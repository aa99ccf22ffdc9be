"""One module says where everything of a dataset lies."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hf_assets
from hf_assets import files, folder
from hf_assets.blobs import ObjectPath
from hf_assets.encode import rates
from hf_assets.errors import StoreError
from hf_assets.models import class_memory

ENCODER: Any = SimpleNamespace(
    header=SimpleNamespace(stage="latents", encoder="0", dtype="float32", computed_in="float32")
)

PATHS = r'"(reports|sources|columns|ledger|generations|claims|pins|report\.html)[/"]|_(dropped|quarantined)\.parquet"'


def test_no_other_module_spells_a_path_in_a_datasets_folder() -> None:
    root = Path(hf_assets.__file__).parent
    found = [
        f"{file.relative_to(root)}: {line.strip()}"
        for file in sorted(root.rglob("*.py"))
        if file.name != "folder.py"
        for line in file.read_text().splitlines()
        if re.search(rf" / f?(?:{PATHS})", line)
    ]
    assert found == []


def test_what_saves_time_only_lies_on_this_machine(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    assert folder.sources(Path("/a/photos")) == Path("/a/photos/sources")
    one, other = (folder.sources(ObjectPath(f"s3://bucket/{name}")) for name in "ab")
    assert one.parent.parent == other.parent.parent == tmp_path
    assert one != other


def test_a_user_without_a_home_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.delenv("HF_ASSETS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(StoreError, match="this user has no home: set HOME, or HF_ASSETS_CACHE"):
        folder.machine_cache()
    monkeypatch.setenv("HF_ASSETS_CACHE", "/mine")
    assert folder.machine_cache() == Path("/mine")


def test_what_saves_time_only_is_left_where_it_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "file" / "below"))
    assert class_memory.recall(["a question"], lambda: 7) == 7
    rates.note(ENCODER, 1.0)
    assert rates.known(ENCODER) is None

    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(files, "write_atomically", full)
    assert class_memory.recall(["another"], lambda: 8) == 8
    rates.note(ENCODER, 1.0)

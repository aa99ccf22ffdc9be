"""What a local folder's split is made of is asked once, and again where any file of the folder changed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_assets.sources.data_files import SplitFiles
from hf_assets.sources.formats.conversion import Format
from hf_assets.sources.places.remembered_listing import remembered
from hf_assets.sources.spec import Part, SourceSpec

AGO_NS = 10**12  # files must not look as if they were written just now


class Folder:
    """A dataset's folder, asked for its split through the memory."""

    def __init__(self, folder: Path) -> None:
        self.root, self.memory = folder / "data set", folder / "memory"
        (self.root / "data").mkdir(parents=True)
        self.asked = 0
        self.format: Format | None = None
        for name in ("README.md", "data/train.csv", "data/train.parquet"):
            self.write(name)

    def write(self, name: str, text: str = "x") -> None:
        (self.root / name).write_text(text)
        self.age(name)

    def age(self, name: str) -> None:
        status = (self.root / name).stat()
        os.utime(self.root / name, ns=(status.st_atime_ns, status.st_mtime_ns - AGO_NS))

    def lead_nowhere(self, name: str) -> None:
        (self.root / name).unlink()
        (self.root / name).symlink_to("nowhere")

    def split(self, **more: object) -> SplitFiles:
        def ask() -> SplitFiles:
            self.asked += 1
            path = str(self.root / "data/train.csv")
            return SplitFiles([path], (Part("train", 1, "[:10%]"),), [path], self.format)

        return remembered(SourceSpec(dataset_name=str(self.root), **more), self.root, self.memory, ask)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    # a file's ctime can't be set back, so the clock is set forth
    now = time.time_ns()
    monkeypatch.setattr("hf_assets.sources.places.remembered_listing.time.time_ns", lambda: now + AGO_NS)
    return Folder(tmp_path)


@pytest.mark.parametrize("format", [None, Format("csv", {"sep": ";"}, None)])
def test_it_is_asked_once(folder: Folder, format: Format | None) -> None:
    folder.format = format
    assert folder.split() == folder.split() == folder.split()
    assert folder.asked == 1
    folder.split(split="test")
    folder.split(data_files="*.csv")
    folder.split(data_files="*.csv")  # which may name anything
    assert folder.asked == 4


CHANGES: dict[str, Callable[[Folder], object]] = {
    "README.md": lambda folder: folder.write("README.md", "y"),
    "a file of rows": lambda folder: folder.write("data/train.csv", "more"),
    "a Parquet file more": lambda folder: folder.write("data/other.parquet"),
    "a Parquet file is a link to nothing": lambda folder: folder.lead_nowhere("data/train.parquet"),
    "a file more": lambda folder: folder.write("data/other.csv"),
    "a hidden file": lambda folder: folder.write(".huggingface.yaml"),
    "a file fewer": lambda folder: (folder.root / "README.md").unlink(),
    "another name": lambda folder: (folder.root / "README.md").rename(folder.root / "readme.md"),
    "a folder that is a link": lambda folder: (folder.root / "more").symlink_to(folder.root / "data"),
    "the memory": lambda folder: [path.write_text("[]") for path in folder.memory.rglob("*.json")],
    "all of it moved": lambda folder: shutil.move(folder.root / "data", folder.root / "date"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_it_is_asked_again_where_something_changed(change: Callable[[Folder], object], folder: Folder) -> None:
    folder.split()
    change(folder)
    folder.split()
    assert folder.asked == 2


def test_a_parquet_file_in_place_of_another_is_no_other_split(folder: Folder) -> None:
    folder.split()
    folder.write("data/train.parquet", "more")
    folder.split()
    os.utime(folder.root / "data/train.parquet", ns=(2 * AGO_NS + time.time_ns(),) * 2)  # as if written just now
    folder.split()
    assert folder.asked == 1


def test_a_folder_that_was_written_just_now_is_asked_each_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder.split()
    folder.split()
    assert folder.asked == 2

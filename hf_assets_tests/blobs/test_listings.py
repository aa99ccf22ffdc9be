"""A folder is listed once as long as it stays as it is, and what came or went since is noticed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_assets import blobs, files
from hf_assets.blobs import listings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two files, long at rest."""
    for name in ("one", "two", ".hidden"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    os.utime(tmp_path, (1, 1))
    return tmp_path


def settle(folder: Path, seconds: int) -> None:
    """As if the last change had been at another time, and long ago."""
    os.utime(folder, (seconds, seconds))


def sizes(folder: Path) -> dict[str, int]:
    return {name: num_bytes for name, (num_bytes, _) in blobs.at(folder).states().items()}


CHANGES: dict[str, tuple[Callable[[Path], object], dict[str, int]]] = {
    "another process adds a file": (lambda at: (at / "new").write_text("1234"), {"new": 4, "one": 3, "two": 3}),
    "another process removes a file": (lambda at: (at / "one").unlink(), {"two": 3}),
    "another process replaces a file": (lambda at: os.replace(at / ".hidden", at / "one"), {"one": 7, "two": 3}),
    "this process writes a file": (lambda at: files.write_atomically(at / "one", b"1234"), {"one": 4, "two": 3}),
    "this process removes a file": (lambda at: files.remove(at / "two"), {"one": 3}),
    "this process sets a file aside": (lambda at: files.set_aside(at / "two"), {"one": 3}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_folder_is_seen_within_a_held_listing(folder: Path, name: str) -> None:
    change, expected = CHANGES[name]
    with listings.held():
        assert sizes(folder) == {"one": 3, "two": 3}
        change(folder)
        if name.startswith("this"):
            settle(folder, 1)  # a file system may keep no times of folders
        assert sizes(folder) == expected
        assert list(blobs.at(folder).names()) == sorted(expected)


def test_a_file_altered_in_its_place_is_seen_once_listings_are_not_held(folder: Path) -> None:
    with listings.held():
        assert sizes(folder) == {"one": 3, "two": 3}
        (folder / "one").write_text("longer")
        with listings.held():  # the same
            assert sizes(folder) == {"one": 3, "two": 3}
        listings.drop()
        assert sizes(folder) == {"one": 6, "two": 3}
        (folder / "one").write_text("")
    assert sizes(folder) == {"one": 0, "two": 3}


def test_a_folder_that_was_changed_just_now_is_not_held(tmp_path: Path) -> None:
    """It may be changed again within the same tick of the file system's clock."""
    (tmp_path / "one").write_text("one")
    modified_ns = tmp_path.stat().st_mtime_ns
    with listings.held():
        assert sizes(tmp_path) == {"one": 3}
        (tmp_path / "two").write_text("two")
        os.utime(tmp_path, ns=(modified_ns, modified_ns))
        assert sizes(tmp_path) == {"one": 3, "two": 3}


def test_no_folder_has_no_files(tmp_path: Path) -> None:
    with listings.held():
        assert sizes(tmp_path / "nowhere") == {}
        (tmp_path / "nowhere").mkdir()
        (tmp_path / "nowhere" / "one").write_text("one")
        assert sizes(tmp_path / "nowhere") == {"one": 3}

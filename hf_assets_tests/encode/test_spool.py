"""What was streamed to be looked at is kept until it is encoded, within a bound, and never believed unseen."""

import os
import time
from pathlib import Path

import pytest

from hf_assets.encode import spool
from hf_assets.encode.spool import Spool
from hf_assets.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def fill(folder: Path, file_hash: str = "h", column: str = "image", **media: bytes) -> None:
    with Spool(folder).keep(file_hash, column) as keeping:
        for name, data in media.items():
            keeping.add(int(name[1:]), data)


def found(folder: Path, file_hash: str = "h", column: str = "image") -> dict[int, bytes | None]:
    kept = Spool(folder).find(file_hash, column)
    return {row: kept.read(row) for row in range(10) if row in kept}


def test_what_was_kept_is_found_by_file_column_and_row(folder: Path) -> None:
    assert found(folder) == {}
    fill(folder, r3=b"three", r5=b"", r4=b"four")
    fill(folder, r7=b"seven")  # of the same file, later
    assert found(folder) == {3: b"three", 4: b"four", 5: b"", 7: b"seven"}
    assert found(folder, "other") == found(folder, column="other") == {}


def test_what_was_added_is_kept_when_its_reader_stops_early(folder: Path) -> None:
    kept = Spool(folder).keep("h", "image")
    kept.__enter__().add(1, b"one")
    assert not kept.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert found(folder) == {1: b"one"}


def test_the_first_that_the_bound_holds_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spool.BOUND_VARIABLE, "10")
    fill(folder, r0=b"12345", r1=b"123456", r2=b"12345", r3=b"1")
    assert sorted(found(folder)) == [0, 2]
    monkeypatch.setenv(spool.BOUND_VARIABLE, "400")  # of which the lists beside them take some
    fill(folder, "later", r0=b"1" * 400, r1=b"1" * 200)
    assert sorted(found(folder, "later")) == [1]
    monkeypatch.setenv(spool.BOUND_VARIABLE, "0")
    fill(folder, "last", r0=b"1")
    assert found(folder, "last") == {}


def test_a_bound_that_is_no_number_is_a_mistake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spool.BOUND_VARIABLE, "4 GB")
    with pytest.raises(DatasetError, match=r'^HF_ASSETS_SPOOL_BYTES is "4 GB": write a number of bytes'):
        fill(folder, r0=b"1")


@pytest.mark.parametrize("damage", [b"", b"tw", b"0ne and two", b"onetwO"], ids=["emptied", "cut", "longer", "flipped"])
def test_what_is_not_as_it_was_written_is_not_given(damage: bytes, folder: Path) -> None:
    fill(folder, r1=b"one", r2=b"two")
    next(folder.glob("*.data")).write_bytes(damage)
    assert found(folder)[2] is None


def test_a_damaged_list_is_as_if_nothing_were_kept(folder: Path) -> None:
    fill(folder, r1=b"one")
    for data in (b"", b"[[1, 2]]", b"{"):
        next(folder.glob("*.json")).write_bytes(data)
        assert found(folder) == {}


def test_what_is_encoded_is_dropped_and_what_nobody_came_for_makes_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, "a", r1=b"one")
    fill(folder, "b", r1=b"one")
    Spool(folder).drop(["a"], "image")
    assert (found(folder, "a"), found(folder, "b")) == ({}, {1: b"one"})
    before = time.time() - spool.OLD_S - 60
    for path in folder.iterdir():
        os.utime(path, (before, before))
    monkeypatch.setenv(spool.BOUND_VARIABLE, "3")
    fill(folder, "c", r1=b"new")
    assert (found(folder, "b"), found(folder, "c")) == ({}, {1: b"new"})


def test_a_folder_that_may_not_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"a file in its place")
    fill(tmp_path / "spool", r1=b"one", r2=b"two")
    assert found(tmp_path / "spool") == {}

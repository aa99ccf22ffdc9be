"""A memo is believed where the table and all that it rests on are as they were, and nowhere else."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from hf_assets import files
from hf_assets.store import memo
from hf_assets.store.memo import Memo, Rest, State
from hf_assets.store.table_file import DATA_VERSION, MADE_FROM, TableFile, recall


class Noted:
    """A table `made` from a table `read`, and from files of a folder beside them."""

    def __init__(self, folder: Path, *, is_all: bool = False, is_exact: bool = False) -> None:
        self.folder = folder / "tables"
        self.beside = folder / "store"
        self.beside.mkdir()
        for name in ("one", "two"):
            (self.beside / name).write_text(name)
        self.write("read", {DATA_VERSION: "v1"})
        self.write("made", {DATA_VERSION: "v2", MADE_FROM: '{"read": "v1"}'})
        self.write("made_dropped", {})
        tables = {name: self.state(name) for name in ("made.parquet", "made_dropped.parquet")}
        rests = (Rest(self.beside, {"one": memo.states_of(self.beside)["one"]}),)
        if is_all:
            rests = (Rest(self.beside, memo.states_of(self.beside), is_all=True),)
        inputs = {"read": ("v1", self.state("read.parquet"))}
        self.memo = Memo("all else", inputs, "v2", tables, rests, {"metadata": "x"}, is_exact)
        memo.save(self.folder, "made", self.memo)

    def write(self, name: str, metadata: dict[bytes, str], rows: int = 3) -> None:
        table = pa.table({"row": list(range(rows))}).replace_schema_metadata(metadata)
        files.write_table(self.folder / f"{name}.parquet", table)

    def state(self, name: str) -> State:
        state = memo.state_of(self.folder / name)
        assert state is not None
        return state

    def recall(self, follows_from: str = "all else") -> Memo | None:
        return recall(self.folder, "made", follows_from, [TableFile(self.folder, "read", "x/read")])


def later(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_a_memo_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    noted = Noted(tmp_path)
    assert memo.load(noted.folder, "made") == noted.memo == noted.recall()


def test_all_that_a_memo_names_may_be_moved_together(tmp_path: Path) -> None:
    noted = Noted(tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = memo.load(tmp_path / "b" / "tables", "made")
    assert moved is not None
    assert moved.rests[0].folder == tmp_path / "b" / "store"
    assert moved.is_intact(tmp_path / "b" / "tables")
    assert not noted.memo.is_intact(noted.folder)


CHANGES: dict[str, Callable[[Noted], object]] = {
    "the table is gone": lambda noted: (noted.folder / "made.parquet").unlink(),
    "the table was touched": lambda noted: later(noted.folder / "made.parquet"),
    "a table beside it is gone": lambda noted: (noted.folder / "made_dropped.parquet").unlink(),
    "a table beside it was touched": lambda noted: later(noted.folder / "made_dropped.parquet"),
    "a file that was read is gone": lambda noted: (noted.beside / "one").unlink(),
    "a file that was read has another size": lambda noted: (noted.beside / "one").write_text("more"),
    "a file that was read was touched": lambda noted: later(noted.beside / "one"),
    "the input has another version": lambda noted: noted.write("read", {DATA_VERSION: "v3"}),
    "the memo is cut": lambda noted: os.truncate(noted.folder / "memo" / "made.json", 20),
    "a digit of the memo is another one": lambda noted: (noted.folder / "memo" / "made.json").write_text(
        (noted.folder / "memo" / "made.json").read_text().replace('"v2"', '"v4"')
    ),
    "it was forgotten": lambda noted: memo.forget(noted.folder, "made"),
    "a table beside it was found damaged": lambda noted: memo.forget_file(noted.folder / "made_dropped.parquet"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_noticed(change: Callable[[Noted], object], tmp_path: Path) -> None:
    noted = Noted(tmp_path)
    change(noted)
    assert noted.recall() is None


def test_another_recipe_is_noticed(tmp_path: Path) -> None:
    assert Noted(tmp_path).recall("all else, changed") is None


def test_the_table_of_a_run_that_was_quicker_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    """Two runs at once: the other's table lies there, and it may even have this one's size and time."""
    noted = Noted(tmp_path)
    noted.write("made", {DATA_VERSION: "v5", MADE_FROM: '{"read": "v1"}'})
    state = noted.state("made.parquet")
    memo.save(noted.folder, "made", noted.memo._replace(tables={**noted.memo.tables, "made.parquet": state}))
    assert noted.recall() is None


@pytest.mark.parametrize("is_all", [False, True])
def test_another_file_in_a_folder_counts_only_where_it_might_change_the_result(is_all: bool, tmp_path: Path) -> None:
    noted = Noted(tmp_path, is_all=is_all)
    (noted.beside / "three").write_text("three")
    assert (noted.recall() is None) == is_all


@pytest.mark.parametrize("is_exact", [False, True])
def test_an_input_that_was_written_anew_with_the_same_content_is_the_same(is_exact: bool, tmp_path: Path) -> None:
    """Unless what was written beside the table names places in it, as a quarantine does."""
    noted = Noted(tmp_path, is_exact=is_exact)
    noted.write("read", {DATA_VERSION: "v1"}, rows=3)
    later(noted.folder / "read.parquet")
    assert (noted.recall() is None) == is_exact
    if not is_exact:
        again = noted.recall()
        assert again is not None
        assert again.inputs["read"][1] == noted.state("read.parquet")  # it is read through once only


def test_an_input_that_is_damaged_is_opened_so_that_it_says_so(tmp_path: Path) -> None:
    noted = Noted(tmp_path)
    path = noted.folder / "read.parquet"
    data = bytearray(path.read_bytes())
    data[6] ^= 1
    path.write_bytes(bytes(data))
    assert noted.recall() is None


def test_a_table_that_is_read_and_damaged_is_forgotten(tmp_path: Path) -> None:
    noted = Noted(tmp_path)
    path = noted.folder / "made.parquet"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[6] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert noted.recall() is not None  # nothing shows it
    with pytest.raises(Exception, match="is damaged: materialize x/made again"):
        TableFile(noted.folder, "made", "x/made").read()
    assert noted.recall() is None

"""Of tables that are made piece by piece, a piece is taken over where all that it follows from is as it was."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hf_assets import files, fingerprint, folder
from hf_assets.blobs import ObjectPath
from hf_assets.store.draft import DraftTable
from hf_assets.store.pieces import open_pieces
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile

ROWS = pa.table({"row": list(range(10)), "word": [f"word {number}" for number in range(10)]})


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 4)


def source(root: Path, rows: pa.Table, name: str = "words") -> TableFile:
    draft = DraftTable(folder.table(root, name), by_row=True)
    draft.add(rows)
    draft.publish()
    return TableFile(root, name, name)


def shout(
    root: Path,
    *inputs: TableFile,
    basis: str | None = "basis",
    name: str = "shouted",
    forget: tuple[int, ...] = (),
    **settings: bool,
) -> list[int]:
    """Make a table of the words in capitals, and one of those rows that are dropped: number 3 is.

    Returns:
        the rows that passed through.
    """
    paths = [folder.table(root, name), folder.dropped(root, name)]
    passed = []
    with Remaking(basis, inputs, paths, **settings) as remaking:
        table, dropped = map(remaking.draft, paths)
        for rows in remaking.tables(inputs[0]):
            passed += rows["row"].to_pylist()
            loud = rows.set_column(1, "word", pc.utf8_upper(rows["word"]))
            table.add(loud.filter(pc.not_equal(loud["row"], 3)))
            dropped.add(loud.filter(pc.equal(loud["row"], 3)))
        remaking.forget(pa.chunked_array([pa.array(forget, pa.int64())]))
    for one in (table, dropped):
        one.publish()
    return passed


def made(root: Path) -> tuple[list[str], list[int]]:
    table, dropped = files.read_table(folder.table(root, "shouted")), files.read_table(folder.dropped(root, "shouted"))
    assert table is not None
    assert dropped is not None
    return table["word"].to_pylist(), dropped["row"].to_pylist()


def changed(number: int) -> pa.Table:
    words = ROWS["word"].to_pylist()
    words[number] = "another"
    return ROWS.set_column(1, "word", [words])


EDITS: dict[str, tuple[pa.Table, list[int]]] = {
    "none": (ROWS, []),
    "one row": (changed(5), [4, 5, 6, 7]),
    "rows at the end": (pa.concat_tables([ROWS, pa.table({"row": [10, 12], "word": ["x", "y"]})]), [8, 9, 10, 12]),
    "a row gone": (ROWS.filter(pc.not_equal(ROWS["row"], 0)), [1, 2, 3]),
    "the last ones gone": (ROWS.slice(0, 4), []),
    "a piece gone": (pa.concat_tables([ROWS.slice(0, 4), ROWS.slice(8)]), []),
    "all gone": (ROWS.slice(0, 0), []),
    "another type": (ROWS.set_column(1, "word", ROWS["word"].cast(pa.large_string())), list(range(10))),
}


@pytest.mark.parametrize("edit", EDITS)
def test_only_what_changed_passes_through_and_the_table_is_that_of_a_build_from_scratch(
    edit: str, tmp_path: Path
) -> None:
    rows, passing = EDITS[edit]
    assert shout(tmp_path, source(tmp_path, ROWS)) == list(range(10))
    assert shout(tmp_path, source(tmp_path, rows)) == passing
    fresh = tmp_path / "fresh"
    shout(fresh, source(fresh, rows))
    assert made(tmp_path) == made(fresh)
    for path in (folder.table, folder.dropped):
        one, other = (open_pieces(path(root, "shouted")) for root in (tmp_path, fresh))
        assert one is not None
        assert other is not None
        with one, other:
            there = {number: piece for number, piece in one.pieces.items() if piece.num_rows}
            assert there == {number: piece for number, piece in other.pieces.items() if piece.num_rows}


@pytest.mark.parametrize(
    "again",
    [
        {"basis": "another"},
        {"basis": None},
        {"takes_over": False},
        {"name": "other"},
    ],
    ids=str,
)
def test_nothing_is_taken_over_of_what_was_made_otherwise(again: dict[str, str | bool | None], tmp_path: Path) -> None:
    words = source(tmp_path, ROWS)
    shout(tmp_path, words)
    assert shout(tmp_path, words, **again) == list(range(10))  # type: ignore[arg-type]


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [damage, Path.unlink, lambda path: files.write_table(path, ROWS)])
@pytest.mark.parametrize("which", [folder.table, folder.dropped])
def test_nothing_is_taken_over_of_a_table_that_is_not_as_it_was_written(
    which: Callable[[Path, str], Path], spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    words = source(tmp_path, ROWS)
    shout(tmp_path, words)
    spoil(which(tmp_path, "shouted"))
    assert shout(tmp_path, words) == list(range(10))
    assert shout(tmp_path, words) == []


def test_what_is_to_be_forgotten_is_made_again(tmp_path: Path) -> None:
    words = source(tmp_path, ROWS)
    shout(tmp_path, words, forget=(5,))
    assert shout(tmp_path, words) == [4, 5, 6, 7]
    assert shout(tmp_path, words) == []


def test_a_second_input_counts_where_it_has_the_same_rows(tmp_path: Path) -> None:
    words, other = source(tmp_path, ROWS), source(tmp_path, ROWS.slice(0, 5), "other")
    shout(tmp_path, words, other)
    assert shout(tmp_path, words, other) == []
    assert shout(tmp_path, words, source(tmp_path, ROWS.slice(1, 4), "other")) == [0, 1, 2, 3]


def test_in_a_row_each_piece_follows_from_all_before_it(tmp_path: Path) -> None:
    words = source(tmp_path, ROWS)
    shout(tmp_path, words, in_a_row=True)
    assert shout(tmp_path, source(tmp_path, changed(5)), in_a_row=True) == [4, 5, 6, 7, 8, 9]


def test_pieces_are_taken_over_in_a_bucket(address: str) -> None:
    root = ObjectPath(address) / "remade"
    assert shout(root, source(root, ROWS)) == list(range(10))
    assert shout(root, source(root, changed(5))) == [4, 5, 6, 7]
    table = files.read_table(folder.table(root, "shouted"))
    assert table is not None
    assert table["word"].to_pylist()[3:6] == ["WORD 4", "ANOTHER", "WORD 6"]


@pytest.mark.parametrize("seed", range(3))
def test_any_edits_and_damage_end_where_a_build_from_scratch_does(seed: int, tmp_path: Path) -> None:
    draw, words = random.Random(seed), [f"word {number}" for number in range(13)]
    for step in range(6):
        kind = draw.choice(["in front", "at the end", "gone", "edited", "none left", "one left", "mixed"])
        at = draw.randrange(len(words)) if words else 0
        words = {
            "in front": ["new", *words],
            "at the end": [*words, "new", "newer"],
            "gone": words[:at] + words[at + 1 :],
            "edited": [*words[:at], f"edit {step}", *words[at + 1 :]],
            "none left": [],
            "one left": words[:1],
            "mixed": draw.sample(words, len(words)),
        }[kind]
        for path in draw.sample([folder.table(tmp_path, "shouted"), folder.dropped(tmp_path, "shouted")], step % 3):
            damage(path)
        rows = pa.table({"row": pa.array(range(len(words)), pa.int64()), "word": pa.array(words, pa.string())})
        fresh = tmp_path / f"fresh {step}"
        for root in (tmp_path, fresh):
            shout(root, source(root, rows), forget=tuple(range(min(len(words), 1))))
        assert made(tmp_path) == made(fresh)

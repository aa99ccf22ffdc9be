"""Filters of the user's own: what they get, what they may return, and what their source means."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets.errors import DatasetError
from hf_assets.stages import custom
from hf_assets.stages.custom import CustomRule
from hf_assets.stages.filtering import FilterRules, judge


def rule(folder: Path, source: str, module: str = "my_filters", **changes: Any) -> CustomRule:
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    given = {"module": module, "function": "keep", "columns": ("score", "meta.tag"), **changes}
    return CustomRule(**given, source=custom.source_of(file), file=file)


def rows(count: int = 4) -> pa.Table:
    columns = pa.array([{"score": n, "meta": {"tag": f"t{n}", "other": 0}} for n in range(count)])
    return pa.table({"row": pa.array(range(10, 10 + count)), "columns": columns})


@pytest.mark.parametrize(
    ("source", "batched"),
    [
        ("def keep(row): return row['score'] > 1 and row['meta.tag'] != 't3' and len(row) == 2", False),
        ("import numpy\ndef keep(row): return numpy.bool_(row['score'] == 2)", False),
        ("def keep(batch): return [tag.as_py() == 't2' for tag in batch['meta.tag']]", True),
        ("import pyarrow.compute as pc\ndef keep(batch): return pc.equal(batch['score'], 2)", True),
        ("def keep(batch): return batch['score'].to_numpy() == 2", True),
    ],
)
def test_a_function_gets_the_named_columns_of_a_row_or_of_a_batch(source: str, batched: bool, tmp_path: Path) -> None:
    judged = judge(rows(), FilterRules(custom=rule(tmp_path, source, batched=batched)))
    assert judged["dropped_for"].to_pylist() == ["filter_func", "filter_func", None, "filter_func"]


def test_it_sees_only_rows_that_no_other_filter_dropped(tmp_path: Path) -> None:
    rules = FilterRules(where="score < 2", where_columns=("score",), custom=rule(tmp_path, "def keep(row): 1 / 0"))
    with pytest.raises(DatasetError, match="my_filters:keep failed on row 10: ZeroDivisionError: division by zero"):
        judge(rows(), rules)
    assert judge(rows().slice(2), rules)["dropped_for"].to_pylist() == ["where", "where"]


@pytest.mark.parametrize(
    ("source", "batched", "message"),
    [
        ("def keep(row): return row['score'] / (row['score'] - 2) < 9", False, "failed on row 12: ZeroDivisionError"),
        ("def keep(row): return 1", False, "returned 1 for row 10, not true or false"),
        ("def keep(row): pass", False, "returned None for row 10"),
        ("def keep(batch): return [True]", True, "returned 1 values for the 4 of rows 10 to 13"),
        ("def keep(batch): return [True, None, True, True]", True, "returned None for row 11"),
        ("def keep(batch): raise OSError('a\\nb')", True, "failed on rows 10 to 13: OSError: a b"),
        ("def other(row): pass", False, 'has no function "keep"'),
        ("import nothing_of_the_kind", False, "can't be imported: ModuleNotFoundError"),
        ("import sys\ndef keep(row): sys.exit(3)", False, "failed on row 10: SystemExit: 3"),
        ("def keep(", False, "can't be imported: SyntaxError"),
    ],
)
def test_a_function_that_fails_stops_the_run_and_says_where(
    source: str, batched: bool, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        custom.evaluate(rows(), rule(tmp_path, source, batched=batched))


def test_a_source_that_changes_is_another_rule_and_where_it_lies_is_none(tmp_path: Path) -> None:
    first = rule(tmp_path / "a", "def keep(row): return True")
    moved = rule(tmp_path / "b", "def keep(row): return True")
    edited = rule(tmp_path / "b", "def keep(row): return 1 > 0")
    assert first.model_dump() == moved.model_dump()
    assert moved.model_dump() != edited.model_dump()
    with pytest.raises(DatasetError, match="has changed since the config was read"):
        custom.load(moved)


def test_modules_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    yes, no = (rule(tmp_path / name, f"def keep(row): return {name}") for name in ("True", "False"))
    assert [custom.evaluate(rows(1), one).tolist() for one in (yes, no, yes)] == [[True], [False], [True]]


def test_a_module_of_a_package_may_import_its_siblings(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "limits.py").write_text("LIMIT = 2")
    one = rule(tmp_path, "from mine.limits import LIMIT\ndef keep(row): return row['score'] > LIMIT", "mine.filters")
    assert custom.find("mine.filters", tmp_path) == one.file
    assert custom.evaluate(rows(), one).tolist() == [False, False, False, True]
    package = custom.source_of(tmp_path / "mine" / "__init__.py")
    (tmp_path / "mine" / "limits.py").write_text("LIMIT = 1")
    assert custom.source_of(tmp_path / "mine" / "__init__.py") != package


def test_no_module_is_run_to_find_it(tmp_path: Path) -> None:
    rule(tmp_path, "raise SystemExit")
    assert custom.find("my_filters", tmp_path) == tmp_path / "my_filters.py"
    assert custom.find("no_such_filters", tmp_path) is None

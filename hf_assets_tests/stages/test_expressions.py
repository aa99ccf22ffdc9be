"""SQL expressions as filters: which columns they read, what they say of each row, and which are refused."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets.errors import DatasetError
from hf_assets.stages import expressions

ROWS = [
    {"score": 5, "quality": {"clip": 0.5}, "title": "A cat", "tags": ["cat", "photo"], "a b": 1, "a.b": 2},
    {"score": 3, "quality": {"clip": 0.1}, "title": "a dog", "tags": ["dog"], "a b": 2, "a.b": 1},
    {"score": None, "quality": None, "title": None, "tags": None, "a b": None, "a.b": None},
]
TABLE = pa.table({"columns": pa.array(ROWS)})


@pytest.mark.parametrize(
    ("expression", "columns", "passes"),
    [
        ("score > 3", ("score",), [True, False, None]),
        ("score >= 3 AND quality.clip > 0.3", ("score", "quality.clip"), [True, False, None]),
        ("lower(title) LIKE 'a %' AND title <> 'a dog'", ("title",), [True, False, None]),
        ("list_contains(tags, 'cat')", ("tags",), [True, False, None]),
        ("len(list_filter(tags, lambda x: x = 'cat')) = 1", ("tags",), [True, False, None]),
        ('"a b" = 1', ("a b",), [True, False, None]),
        ('"a.b" = 2', ("a.b",), [True, False, None]),
        ("score IN (5, 6) OR score IS NULL", ("score",), [True, False, True]),
        ("coalesce(score, 0) = 3", ("score",), [False, True, False]),
        ("CASE WHEN score = 5 THEN true ELSE false END", ("score",), [True, False, False]),
        ("regexp_matches(title, '^A')", ("title",), [True, False, None]),
        ("tags[1] = 'cat'", ("tags",), [True, False, None]),
    ],
)
def test_an_expression_names_its_columns_and_judges_each_row(
    expression: str, columns: tuple[str, ...], passes: list[bool | None]
) -> None:
    assert expressions.columns_of(expression) == columns
    holds, missing = expressions.evaluate(TABLE, expression, columns)
    assert [None if gone else passed for passed, gone in zip(holds.to_pylist(), missing.to_pylist(), strict=True)] == (
        passes
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("score >", "is no SQL expression: syntax error"),
        ("score > 1; DROP TABLE t", "is no SQL expression"),
        ("score > 1) FROM t; SELECT (1", "more than one SQL expression"),
        ("score > 1) FROM t WHERE (1 = 1", "is no SQL expression"),
        ("score > 1), (title", "more than one SQL expression"),
        ("score > (SELECT 1)", "a query of its own"),
        ("score > random()", '"random" gives another value at another time'),
        ("day < now()", '"now" gives another value at another time'),
        ("sum(score) > 1", '"sum" looks at other rows'),
        ("row_number() OVER () > score", "looks at other rows"),
        ("nothing_like_it(score)", 'there is no function "nothing_like_it"'),
        ("score > ?", "placeholder"),
        ("1 = 1", "names no column"),
    ],
)
def test_what_is_no_function_of_the_row_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expressions.columns_of(expression)


@pytest.mark.parametrize("expression", ["title + 1 > 2", "read_text('/etc/hostname') = title"])
def test_an_expression_that_fails_on_these_columns_is_an_error_that_names_it(expression: str) -> None:
    with pytest.raises(DatasetError, match="can't be evaluated"):
        expressions.evaluate(TABLE, expression, ("title",))


def test_rows_keep_their_order() -> None:
    many: Any = pa.table({"columns": pa.array([{"n": n} for n in range(300_000)])})
    holds, _ = expressions.evaluate(many, "n % 7 = 3", ("n",))
    assert holds.to_pylist()[:11] == [n % 7 == 3 for n in range(11)]
    assert holds.combine_chunks().equals(pa.array([n % 7 == 3 for n in range(300_000)]))

"""Filters written as SQL expressions, evaluated by DuckDB over Arrow columns."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.errors import DatasetError

if TYPE_CHECKING:
    import duckdb

# What an expression may not hold, and why; by DuckDB's names of the classes of expressions.
REFUSED = {
    "SUBQUERY": "it holds a query of its own: only the row's own columns may be used",
    "WINDOW": "it looks at other rows: only the row's own columns may be used",
    "STAR": "it holds *: name the columns",
    "PARAMETER": "it has a placeholder",
    "LAMBDA_REF": "it has a placeholder",
}


def columns_of(expression: str) -> tuple[str, ...]:
    """The columns that an expression reads, as dotted paths.

    Raises:
        ValueError: it is no expression, or its value depends on more than the row; the message says what to mend.
    """
    import duckdb

    with _database() as database:
        serialized = database.execute("SELECT json_serialize_sql(?)", [f"SELECT ({expression}) FROM t"]).fetchone()
        assert serialized is not None
        parsed = json.loads(serialized[0])
        if parsed["error"]:
            raise ValueError(f"is no SQL expression: {parsed['error_message'].splitlines()[0]}")
        nodes = parsed["statements"]
        select = nodes[0]["node"] if len(nodes) == 1 else {}
        if select.get("type") != "SELECT_NODE" or len(select["select_list"]) != 1 or not _is_alone(select):
            raise ValueError("is more than one SQL expression: write what would stand behind WHERE")
        columns = []
        bound = set()  # names that a lambda gives to the items of a list
        for node in _walk(select["select_list"][0]):
            kind = node.get("class")
            if kind in REFUSED:
                raise ValueError(f"can't be used: {REFUSED[kind]}")
            if kind == "LAMBDA":
                bound |= {
                    inner["column_names"][0] for inner in _walk(node["lhs"]) if inner.get("class") == "COLUMN_REF"
                }
            if kind == "COLUMN_REF":
                columns.append(".".join(node["column_names"]))
            if kind == "FUNCTION" and not node.get("is_operator"):
                _must_be_stable(database, node["function_name"])
        columns = [column for column in columns if column.split(".")[0] not in bound]
        if not columns:
            raise ValueError("names no column, so it is the same for every row")
        try:
            database.execute("SELECT json_deserialize_sql(?)", [serialized[0]])
        except duckdb.Error as error:
            raise ValueError(f"is no SQL expression: {str(error).splitlines()[0]}") from None
    return tuple(dict.fromkeys(columns))


def evaluate(
    raw_dataset: pa.Table, expression: str, columns: tuple[str, ...]
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Whether the expression holds in each row, and whether it is null there.

    Raises:
        DatasetError: DuckDB can't evaluate it over these columns.
    """
    import duckdb

    names = {field.name for field in raw_dataset.schema.field(schema.COLUMNS).type}
    tops = dict.fromkeys(column if column in names else column.split(".")[0] for column in columns)
    table = pa.table({name: schema.column(raw_dataset, name) for name in tops})
    with _database() as database:
        try:
            database.register("t", table)
            found = database.sql(f"SELECT CAST(({expression}) AS BOOLEAN) AS holds FROM t").to_arrow_table()
        except duckdb.Error as error:
            line = str(error).splitlines()[0]
            raise DatasetError(f'where "{expression}" can\'t be evaluated: {line}') from None
    if len(found) != len(raw_dataset):
        raise DatasetError(f'where "{expression}" makes one value of many rows: use only the row\'s own columns')
    holds = found["holds"]
    return pc.fill_null(holds, False), pc.is_null(holds)


def _database() -> "duckdb.DuckDBPyConnection":
    """A database in memory that reads no files, loads nothing, and keeps the rows' order."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_access": False,
            "preserve_insertion_order": True,
            "threads": 2,
        },
    )


def _is_alone(select: dict[str, Any]) -> bool:
    """Whether the query is the one that was asked for: no clause came with the expression."""
    return (
        not select["where_clause"]
        and not select["group_expressions"]
        and not select["having"]
        and not select["modifiers"]
        and select["from_table"].get("table_name") == "t"
    )


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value)


def _must_be_stable(database: "duckdb.DuckDBPyConnection", function: str) -> None:
    found = database.execute(
        "SELECT DISTINCT function_type, stability FROM duckdb_functions() WHERE function_name = lower(?)", [function]
    ).fetchall()
    if not found:
        raise ValueError(f'can\'t be used: there is no function "{function}"')
    if any(kind == "aggregate" for kind, _ in found) and not any(kind in ("scalar", "macro") for kind, _ in found):
        raise ValueError(f'can\'t be used: "{function}" looks at other rows')
    if any(stability in ("VOLATILE", "CONSISTENT_WITHIN_QUERY") for _, stability in found):
        raise ValueError(f'can\'t be used: "{function}" gives another value at another time')

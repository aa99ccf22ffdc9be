"""What people call a row: the file that is its media, where it is one."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema

NAME = schema.SOURCE_PATH.name


def with_source_paths(rows: pa.Table, raw_dataset: pa.Table) -> pa.Table:
    """Rows with `schema.SOURCE_PATH` behind their first column: null where a row's bytes lie in a table.

    Args:
        rows: have `row`.
        raw_dataset: has `row` and `schema.SOURCE_PATH`.
    """
    at = pc.index_in(rows["row"], value_set=raw_dataset["row"].combine_chunks())
    paths = raw_dataset[NAME].take(at).cast(schema.SOURCE_PATH.type)
    if NAME in rows.column_names:
        return rows.set_column(rows.schema.get_field_index(NAME), schema.SOURCE_PATH, paths)
    return rows.add_column(1, schema.SOURCE_PATH, paths)


def name_of(row: Mapping[str, Any]) -> str:
    """A row's own file; else where it lies, where the table says so; else its number."""
    return row.get(NAME) or row.get("address") or f"row {row['row']:,}"


def short_name_of(row: Mapping[str, Any]) -> str:
    """A row's own file without its folders, else its number."""
    path = row.get(NAME)
    return path.rpartition("/")[2] if path else f"row {row['row']:,}"

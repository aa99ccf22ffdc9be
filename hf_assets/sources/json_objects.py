"""A file of JSON that is one object around its rows, which `datasets` takes for one row: what to do about it."""

from pathlib import PurePosixPath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import schema


def hint(path: str, converted: BinaryIO) -> str:
    """What to say where a column is missing; empty where the file isn't one such object.

    Args:
        path: of the file, in the repository.
        converted: what was made of it, in Parquet.
    """
    if ".json" not in [suffix.lower() for suffix in PurePosixPath(path).suffixes]:
        return ""
    parquet = pq.ParquetFile(converted)
    if parquet.metadata.num_rows != 1:
        return ""
    fields = list(parquet.schema_arrow)
    of_objects = [one.name for one in fields if schema.is_list(one.type) and pa.types.is_struct(one.type.value_type)]
    if of_objects:
        name = of_objects[0]
        return f'; it is one object, with the rows in "{name}": set field: "{name}" in the configs of README.md'
    kinds = {"struct" if pa.types.is_struct(one.type) else str(one.type) for one in fields}
    if kinds == {"struct"} or (len(fields) > 1 and kinds <= {"string", "large_string"} and _are_paths(fields)):
        return (
            "; it is one object with a key for each sample, which is not read: write an object for each sample, with "
            "the name of its file in a field of its own, as a list or one a line"
        )
    return ""


def _are_paths(fields: list[pa.Field]) -> bool:
    return all("." in one.name or "/" in one.name for one in fields)

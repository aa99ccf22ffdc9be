"""Files of JSON as tables, by Arrow's reader. Texts are texts, also where all of them read as dates.

`datasets` (5.2) rewrites arrays, and what Arrow can't read, through pandas: texts of digits become numbers there, and
texts that look like dates are times.
"""

import codecs
import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from hf_assets.sources.formats import bounds, faults
from hf_assets.sources.formats.faults import Fault

CHUNK_BYTES = 10 << 20
# The column of texts that are rows by themselves, as `datasets` calls it.
TEXT = "text"


def tables(lines: Path, settings: Mapping[str, Any]) -> Iterator[pa.Table]:
    """The rows of JSON Lines, some at a time.

    Args:
        settings: as `datasets`' builder has them.

    Raises:
        ArrowInvalid: a line can't be read, or values have no common type.
    """
    encoding, errors = settings.get("encoding") or "utf-8", settings.get("encoding_errors") or "strict"
    with lines.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            chunk += file.readline()
            if encoding != "utf-8":
                chunk = chunk.decode(encoding, errors=errors).encode()
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            if chunk.strip():
                yield _table(chunk)


def _table(chunk: bytes) -> pa.Table:
    options = pa.json.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
    table = pa.json.read_json(io.BytesIO(chunk), read_options=options)
    dates = [field.with_type(_as_texts(field.type)) for field in table.schema if _has_dates(field.type)]
    if not dates:
        return table
    by = pa.json.ParseOptions(explicit_schema=pa.schema(dates))
    return pa.json.read_json(io.BytesIO(chunk), read_options=options, parse_options=by).select(table.column_names)


def _has_dates(kind: pa.DataType) -> bool:
    inner = (kind.field(at).type for at in range(kind.num_fields))
    return pa.types.is_temporal(kind) or any(map(_has_dates, inner))


def _as_texts(kind: pa.DataType) -> pa.DataType:
    """A type with texts in place of dates; of structs, only what has such."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_texts(field.type)) for field in kind if _has_dates(field.type)])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_as_texts(kind.value_type)))
    return pa.string()


def as_said(table: pa.Table, features: Any, noted: Mapping[str, str] | None) -> pa.Table:
    """A table in the columns and types that README.md says.

    Args:
        features: `datasets.Features`.
        noted: metadata for the table.
    """
    from datasets.table import cast_array_to_feature

    columns = []
    for name, feature in features.items():
        kind = features.arrow_schema.field(name).type
        if name not in table.column_names:
            columns.append(pa.nulls(len(table), kind))
            continue
        values = table[name].combine_chunks()
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if is_text and pa.types.is_nested(values.type):
            values = pa.array([None if one is None else faults.written(one) for one in values.to_pylist()], kind)
        columns.append(cast_array_to_feature(values, feature))
    return pa.table(columns, schema=features.arrow_schema.with_metadata(noted))


def in_lines(plain: Path, path: str, settings: Mapping[str, Any], target: Path) -> tuple[Path, list[Fault]]:
    """JSON of another form as lines: an array, one under a `field`, or objects that go over several lines.

    Args:
        path: in the repository, for messages.
        target: the copy.

    Returns:
        The copy and what can't be read of it; the file itself where it is written in lines.
    """
    field = settings.get("field")
    if field is not None or faults.is_array(plain) or _goes_over_lines(plain):
        return target, faults.without_bad_elements(plain, path, target, field, TEXT)
    return plain, []


def _goes_over_lines(plain: Path) -> bool:
    """Whether a first object begins in the first line and doesn't end there."""
    if plain.stat().st_size > bounds.MAX_WHOLE_BYTES:
        return False
    with plain.open("rb") as file:
        first = file.readline().removeprefix(codecs.BOM_UTF8).strip()
    if not first.startswith(b"{") or not first.endswith((b",", b"{", b"[")):
        return False
    try:
        faults.loads_written(first.rstrip(b","))
    except (ValueError, RecursionError):
        return True
    return False  # with a comma behind each line


def settled(lines: Path, path: str, folder: Path) -> tuple[Path, list[Fault]]:
    """JSON Lines without those that can't be read, and so that each field has one type in all of them; and the others.

    Args:
        path: in the repository, for messages.
        folder: for the copy.

    Raises:
        DatasetError: no line can be read.
    """
    good, plain = folder / "good.jsonl", folder / "settled.jsonl"
    found = faults.without_bad_lines(lines, path, "json", good)
    faults.settle_types(good, plain)
    return plain, found


def read(lines: Path, path: str, found: list[Fault]) -> pa.Table:
    """All rows of a file of JSON Lines that can be read.

    Args:
        path: in the repository, for messages.
        found: is given the lines that can't.
    """
    try:
        faults.require_utf_8(lines)
        parts = list(tables(lines, {}))
        return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError):
        with tempfile.TemporaryDirectory() as folder:
            plain, bad = settled(lines, path, Path(folder))
            found += bad
            return pa.concat_tables(tables(plain, {}), promote_options="permissive")

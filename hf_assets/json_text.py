"""Columns of JSON text in which the config names a field, as if they held structs."""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa


def parsed(texts: pa.Array, names: Iterable[str]) -> pa.StructArray | None:
    """Some fields of each row's JSON object; null where a text is none. None where no text is an object.

    A field that has values of several types is text: of strings as they are, of others as JSON.
    """
    objects = [object_of(text) for text in texts.to_pylist()]
    if all(one is None for one in objects):
        return None
    there = [name for name in names if any(one is not None and name in one for one in objects)]
    if not there:  # what is there instead can be named then
        there = list(dict.fromkeys(name for one in objects if one is not None for name in one))
    fields = [_values([None if one is None else one.get(name) for one in objects]) for name in there]
    mask = pa.array([one is None for one in objects])
    if not fields:
        return pa.array([None if one is None else {} for one in objects], pa.struct([]))
    return pa.StructArray.from_arrays(fields, names=there, mask=mask)


def object_of(text: str | None) -> dict[str, Any] | None:
    """The JSON object that a text writes; None where it writes none."""
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _values(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError, UnicodeError):
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode()

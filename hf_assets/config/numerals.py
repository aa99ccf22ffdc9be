"""Numbers that are written as text, as SimpleTuner's files have them: `"resolution": "1024"`."""

import types
import typing
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from hf_assets.spellings import number


def read(model: type[BaseModel], content: Any) -> Any:
    """A block's content with text that says a number turned into it, wherever the block takes numbers and no text."""
    if not isinstance(content, dict):
        return content
    fields = model.model_fields
    return {key: _read(fields[key].annotation, value) if key in fields else value for key, value in content.items()}


def _read(annotation: Any, value: Any) -> Any:
    options = list(_options(annotation))
    if isinstance(value, str):
        takes_number = any(one in (int, float) or _is_number(one) for one in options)
        return number(value) if takes_number and str not in options else value
    for one in options:
        origin = get_origin(one)
        if isinstance(value, dict) and isinstance(one, type) and issubclass(one, BaseModel):
            return read(one, value)
        if isinstance(value, dict) and origin is dict:
            return {key: _read(get_args(one)[1], item) for key, item in value.items()}
        if isinstance(value, list) and origin in (list, tuple):
            return [_read(get_args(one)[0], item) for item in value]
    return value


def _options(annotation: Any) -> typing.Iterator[Any]:
    """The types of a union, without what they are annotated with."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in (types.UnionType, typing.Union):
        for one in get_args(annotation):
            yield from _options(one)
    else:
        yield annotation


def _is_number(annotation: Any) -> bool:
    """Whether it is one of a few numbers."""
    if get_origin(annotation) is not Literal:
        return False
    return all(isinstance(one, int) and not isinstance(one, bool) for one in get_args(annotation))

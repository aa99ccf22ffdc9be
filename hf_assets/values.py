"""Kinds of values that settings have: what is accepted, and what is said of the rest.

A block of settings is one frozen model (`Block`), which validates what the user wrote and is then read by a stage.
"""

import re
import urllib.parse
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)
from pydantic_core import PydanticCustomError

from hf_assets.spellings import boolean

Flag = Annotated[bool, BeforeValidator(boolean)]


# Far above any image or clip, and far below what overflows when it is squared.
Number = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


Finite = Annotated[float, Field(allow_inf_nan=False)]


Name = Annotated[str, Field(min_length=1)]


# What a backslash in a path becomes in JSON, by the letter behind it.
ESCAPED = {"\t": "t", "\n": "n", "\r": "r", "\b": "b", "\f": "f"}


def _written_as_meant(value: str) -> str:
    """A path without what a backslash makes of the letter behind it."""
    if (found := next((one for one in value if one in ESCAPED), None)) is not None:
        raise ValueError(
            f"holds what JSON makes of \\{ESCAPED[found]}; write \\\\{ESCAPED[found]}, or / in place of each \\"
        )
    return value


def _place(value: str) -> str:
    scheme, is_address, rest = value.partition("://")
    if is_address and (scheme not in ("s3", "gs", "az") or not rest.strip("/")):
        raise ValueError(
            f'"{value}" is no address of a folder in an object store; write s3://bucket/folder, gs:// or az://'
        )
    return value


# A folder, or an address in an object store.
Place = Annotated[Name, AfterValidator(_written_as_meant), AfterValidator(_place)]


# The address of a file of a model, as a browser shows it: repository, revision, path.
FILE_ADDRESS = re.compile(
    r"https?://[^/]+/([\w.-]+/[\w.-]+)/(?:blob|resolve)/((?:refs/[^/]+/)?[^/]+)/(.+\.safetensors)(?:\?download=true)?"
)


def revision_of_address(block: Any) -> Any:
    """A model's block, with the revision that a file's address has in the key `revision`.

    Raises:
        PydanticCustomError: that is another one.
    """
    named = block.get("pretrained_model_name_or_path") if isinstance(block, dict) else None
    found = FILE_ADDRESS.fullmatch(named) if isinstance(named, str) else None
    if found is None or found[2] == "main":
        return block
    revision = urllib.parse.unquote(found[2])
    if block.get("revision") not in (None, revision):
        raise mistake_at("revision", f'is "{block["revision"]}", but the address has "{revision}"; keep one')
    return {**block, "revision": revision}


def _repository(value: str) -> str:
    """A Hub id, a folder, or a file in either; not an address but a file's, nor an id with the revision in it."""
    if file := FILE_ADDRESS.fullmatch(value):
        return f"{file[1]}/{urllib.parse.unquote(file[3])}"
    found = re.search(r"^(?:https?://[^/]+/|hf://)(?:datasets/|models/)?([\w.-]+/[\w.-]+)", value)
    if found:
        raise ValueError(f'write the Hub id alone: "{found[1]}"')
    if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?@.+", value):
        raise ValueError(f'write "{value.split("@")[0]}", and "{value.split("@")[1]}" in the key revision')
    return value


Repository = Annotated[Name, AfterValidator(_written_as_meant), AfterValidator(_repository)]


class Block(BaseModel):
    """A block of the file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _as_list(value: Any) -> Any:
    """A single item is a list of one."""
    return value if isinstance(value, list) or value is None else [value]


Names = Annotated[list[Name], Field(min_length=1), BeforeValidator(_as_list)]


def mistake_at(key: str, message: str) -> PydanticCustomError:
    """A mistake that shows when several keys of a block are compared, to be reported at one of them."""
    return PydanticCustomError("at_key", "{key} {message}", {"key": key, "message": message})

"""What is wrong in a config file, said with its JSON path, the value and the way out."""

import difflib
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hf_assets.config import positions
from hf_assets.config.config_file import Dataset, ImageEmbeds, TextEmbeds
from hf_assets.config.documents import At, Document
from hf_assets.config.positions import child_path
from hf_assets.config.suggestions import suggest
from hf_assets.config.trainer_keys import NOT_YET, TRAINER_ONLY
from hf_assets.errors import ConfigError

# What to write, by pydantic's name of the mistake.
REMEDIES = {
    "string_type": "write text",
    "string_too_short": "write something, or leave the key out",
    "too_short": "write something, or leave the key out",
    "too_long": "write {max_length} at most",
    "list_type": "write a list",
    "tuple_type": "write a list",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "dict_type": "write an object",
    "model_type": "write an object",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
}

# What else helps with a key that is missing, by its path in its block.
WAYS = {
    "pretrained_model_name_or_path": ', or "family"',
    "dataset_name": ": user/name, as on the Hub, or a folder in its layout",
    "instance_data_dir": ": the folder of the media",
}


class Mistake(NamedTuple):
    """One mistake, at a JSON path such as `datasets[0].crop`, or of the whole file.

    Attributes:
        document: the file that it is in, where that isn't the one that is read.
    """

    path: str
    message: str
    document: Document | None = None

    def __str__(self) -> str:
        """One line, in which what can't be printed, such as a line's end in a key, is written as JSON escapes it."""
        said = f"{self.path}: {self.message}" if self.path else self.message
        return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in said)


def error(file: Path, found: Iterable[Mistake], text: positions.Node | None = None) -> ConfigError:
    """The mistakes in a file as one error; with their places, where those of its text are known."""
    lines, located = [], []
    for one in found:
        its_file, its_text = (one.document.file, one.document.places()) if one.document else (file, text)
        line, column = positions.find(its_text, one.path) if its_text else (0, 0)
        lines.append(f"{its_file}: {one}" + (f" (line {line}, column {column})" if its_text and one.path else ""))
        located.append(f"{its_file}:{line}:{column}: {one}" if its_text else lines[-1])
    # once each: a default that is wrong is so for every dataset
    return ConfigError("\n".join(dict.fromkeys(lines)), located="\n".join(dict.fromkeys(located)))


def of_json(content: Any, path: str = "") -> Iterator[Mistake]:
    """What JSON's parser lets pass: keys that stand twice in one object, NaN and infinite numbers, and null characters,
    which end a path.
    """
    if isinstance(content, dict):
        for key in getattr(content, "repeated", ()):
            yield Mistake(child_path(path, key), "stands twice in one object; keep one")
        for key, value in content.items():
            yield from of_json(value, child_path(path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from of_json(value, child_path(path, index))
    elif isinstance(content, float) and not math.isfinite(content):
        yield Mistake(path, f"is {content}; write a finite number")
    elif isinstance(content, str) and "\0" in content:
        yield Mistake(path, f"is {quote(content)}; leave the null character out")


def of_block(
    error: ValidationError, path: str, model: type[BaseModel], origins: Mapping[str, At] | None = None
) -> Iterator[Mistake]:
    """What pydantic found in a block at `path`; `origins` says where a key was written, if not there."""
    for found in error.errors(include_url=False):
        if found["type"] == "finite_number":
            continue  # said by `of_json`
        location = [*found["loc"]]
        message = _message_of(found, model)
        if found["type"] == "at_key":
            location, message = [*location, found["ctx"]["key"]], found["ctx"]["message"]
        elif not location and (named := re.match(r"(\w+) (.+)", message)) and named[1] in Dataset.model_fields:
            location, message = [named[1]], named[2]  # of a check over several keys, which names the first
        at = place(location, path, origins or {})
        yield Mistake(at.path, message, at.document)


def place(location: Sequence[str | int], path: str, origins: Mapping[str, At]) -> At:
    """Where a key of a block at `path` was written, as steps from the block on."""
    at = At(path)
    for part in location:
        moved = origins.get(str(part)) if at.path == path and at.document is None else None
        at = moved or At(child_path(at.path, part), at.document)
    return at


def unknown_key(key: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """What to say of an unknown key. `also` may be meant, but is not listed."""
    if key in NOT_YET:
        return "is a key of SimpleTuner that is not supported yet; remove it"
    known = list(known)
    meant = suggest(key, [*known, *also], [*Dataset.model_fields, *TRAINER_ONLY])
    return f"is not a known key{_hint(meant, known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that a file doesn't have: the one that is like it, or all."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return _hint(near[0] if near else None, known)


def _hint(meant: str | None, known: Collection[str]) -> str:
    return f'; did you mean "{meant}"?' if meant else f"; known are {', '.join(sorted(known))}" if known else ""


def quote(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _message_of(found: Any, model: type[BaseModel]) -> str:
    kind, value = found["type"], quote(found["input"])
    message = str(found["msg"]).removeprefix("Value error, ")
    match kind:
        case "extra_forbidden":
            owner = _owner(model, found["loc"][:-1])
            also = TRAINER_ONLY if owner in (Dataset, ImageEmbeds, TextEmbeds) else ()
            if owner is Dataset and len(blocks := _blocks_with(str(found["loc"][-1]))) == 1:
                return f'is not a known key here; did you mean "{blocks[0]}.{found["loc"][-1]}"?'
            return unknown_key(str(found["loc"][-1]), [name for name in owner.model_fields if name != "trainer"], also)
        case "missing":
            return f"is missing; add it{WAYS.get('.'.join(map(str, found['loc'])), '')}"
        case "value_error" if not found["loc"] or isinstance(found["input"], dict):
            return message
        case "literal_error":
            allowed = str(found["ctx"]["expected"]).replace(chr(39), chr(34))
            near = difflib.get_close_matches(str(found["input"]), re.findall('"([^"]*)"', allowed), n=1)
            return f"is {value}; use {allowed}" + (f'; did you mean "{near[0]}"?' if near else "")
    known = REMEDIES.get(kind)  # the message itself may hold braces, of what the user wrote
    remedy = known.format(**found.get("ctx", {})) if known else f"{message[0].lower()}{message[1:]}"
    return f"is {value}; {remedy}"


def _blocks_with(key: str) -> list[str]:
    """The blocks of an entry that have such a key."""
    kinds = {name: field.annotation for name, field in Dataset.model_fields.items()}
    models = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return [name for name, kind in models.items() if key in kind.model_fields]


def _owner(model: type[BaseModel], location: Iterable[Any]) -> type[BaseModel]:
    """The model of the block at a location within a block."""
    for part in location:
        annotation: Any = model.model_fields[part].annotation
        options = get_args(annotation) if get_origin(annotation) is not None else (annotation,)
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return model

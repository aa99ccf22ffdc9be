"""JSON files as they were written: their content, and where in them each key stands."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hf_assets.config import positions
from hf_assets.errors import ConfigError


class Object(dict[str, Any]):
    """A JSON object that knows which of its keys stood in it more than once."""

    repeated: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> "Object":
        made = cls(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            made.repeated = tuple(key for key in made if keys.count(key) > 1)
        return made


class Document(NamedTuple):
    """A file's content.

    Attributes:
        content: of a JSON file; its objects are `Object`.
        where: the places of what it holds; asked for only when something is wrong.
        prefix: the path in the file of what `content` is, where that isn't all of it.
    """

    file: Path
    content: Any
    where: Callable[[], positions.Node | None] | None = None
    prefix: str = ""

    @property
    def folder(self) -> Path:
        """What relative paths in it are relative to."""
        return self.file.absolute().parent

    def places(self) -> positions.Node | None:
        """The places of what the file holds, where they are known."""
        return self.where() if self.where else None


class At(NamedTuple):
    """Where a value was written.

    Attributes:
        path: in the file.
        document: None: the file that is read.
    """

    path: str
    document: Document | None = None


def read(file: Path, missing: str) -> Document:
    """Read a JSON file.

    Args:
        missing: what to do where there is none.

    Raises:
        ConfigError: it is missing, or no JSON.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text, object_pairs_hook=Object.of)
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; {missing}") from None
    except IsADirectoryError:
        raise ConfigError(f"{file}: is a folder; name the file in it") from None
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise _not_json(file, error) from None
    except ValueError:
        raise _too_long(file) from None
    except RecursionError:
        raise ConfigError(f'{file}: is nested too deeply; write an object with "model" and "datasets"') from None
    return Document(file, content, functools.partial(positions.of_json, text))


def unwrap(document: Document) -> Document:
    """What SimpleTuner's page wraps as `{"_metadata": …, "config": …}`; anything else as it is."""
    content = document.content
    if isinstance(content, dict) and {"_metadata", "config"} <= set(content):
        return document._replace(content=content["config"], prefix="config")
    return document


def _not_json(file: Path, error: json.JSONDecodeError) -> ConfigError:
    """That a file is no JSON, and where."""
    said = f"is not JSON: {_cause(error) or error.msg}"
    return ConfigError(
        f"{file}: {said} (line {error.lineno}, column {error.colno})",
        located=f"{file}:{error.lineno}:{error.colno}: {said}",
    )


# What people write that JSON doesn't have, by the character at which parsers stop.
CAUSES = {
    "'": "texts stand in double quotes, not in single ones",
    "/": "comments are not part of JSON; remove this one",
    "#": "comments are not part of JSON; remove this one",
    "T": "true is written in small letters",
    "F": "false is written in small letters",
    "N": "nothing is written null",
    "\u201c": "texts stand in straight double quotes, not in curly ones",
    "\u2018": "texts stand in straight double quotes, not in curly ones",
}


def _cause(error: json.JSONDecodeError) -> str | None:
    """The mistake that is likely meant; None where none is known."""
    if not error.doc.strip():
        return "the file is empty"
    rest = error.doc[error.pos :].lstrip()
    before = error.doc[: error.pos].rstrip()
    if (rest[:1] in ("}", "]") and before[-1:] == ",") or (rest[:1] == "," and rest[1:].lstrip()[:1] in ("}", "]")):
        return f"a comma stands before the closing {rest.lstrip(', ')[:1].strip() or 'bracket'}; remove it"
    if rest[:1] in "TFN" and not rest.startswith(("True", "False", "None")):
        return None
    return CAUSES.get(rest[:1])


def _too_long(file: Path) -> ConfigError:
    """What else stops JSON's parser."""
    return ConfigError(
        f"{file}: holds a number of more than {sys.get_int_max_str_digits()} digits; write a shorter one"
    )

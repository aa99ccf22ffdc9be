"""JSON files as they were written: their content, and where in them each key stands."""

import codecs
import functools
import json
import re
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
        text = _text(file, file.read_bytes())
        content = json.loads(text, object_pairs_hook=Object.of)
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; {missing}") from None
    except IsADirectoryError:
        raise ConfigError(f"{file}: is a folder; name the file in it") from None
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from None
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


def _text(file: Path, data: bytes) -> str:
    """A file's text, with line ends as they are counted.

    Raises:
        ConfigError: it is no UTF-8.
    """
    # One of four bytes is no zero in JSON's text but where each character takes several.
    other = next((name for mark, name in ENCODINGS.items() if data.startswith(mark)), None)
    if other is None and b"\0" in data[:4]:
        other = "UTF-16 or UTF-32"
    if other is not None:
        raise ConfigError(f"{file}: is {other} text; save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = _with_line_ends(data[: error.start].decode())
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        said = f"is not UTF-8 text: byte 0x{data[error.start]:02x} is no character of it; save it as UTF-8"
        raise ConfigError(
            f"{file}: {said} (line {line}, column {column})", located=f"{file}:{line}:{column}: {said}"
        ) from None
    return _with_line_ends(text)


def _with_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_json(file: Path, error: json.JSONDecodeError) -> ConfigError:
    """That a file is no JSON, and where."""
    said = f"is not JSON: {_cause(error) or error.msg}"
    return ConfigError(
        f"{file}: {said} (line {error.lineno}, column {error.colno})",
        located=f"{file}:{error.lineno}:{error.colno}: {said}",
    )


# How files in other encodings begin; the longer marks first.
ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
COMMENT = "comments are not part of JSON; remove this one"
CURLY = "texts stand in straight double quotes, not in curly ones"
QUOTES = "texts and keys stand in double quotes"
NUMBER = "numbers are written like 1024, 0.5 or 1e-4, without + or leading zeros, and nothing between their digits"
# What is given for JSON, by how the file begins.
OTHER_FORMATS = {
    r"```": "the lines with ``` around it are not part of it; remove them",
    r"<!|<\w": "this is a page of HTML; fetch the file itself",
    r"---|%YAML|[\w-]+:(\s|$)": "this is YAML; write the same as JSON",
    r"\[\[?[A-Za-z][\w.-]*\]|[\w.-]+ *= *[\[\"'\d]": "this is TOML; write the same as JSON",
    r"\w+ *= *\{|\w+\(|import ": "this is Python; write what it holds as JSON",
}
# What people write that JSON doesn't have, by what stands where parsers stop. The first that fits counts.
CAUSES = {
    r"'": "texts stand in double quotes, not in single ones",
    r"//|/\*|#": COMMENT,
    r"True\b": "true is written in small letters",
    r"False\b": "false is written in small letters",
    r"None\b": "nothing is written null",
    "[\u201c\u201d\u201e\u2018\u2019]": CURLY,
    "[`\u00ab\u00bb\u2039\u203a\u300c\u300d\uff02\u2033]": "texts stand in straight double quotes, not in other ones",
    "[\uff0c\uff1a\uff1b\u3001]": "a comma or colon of another script stands here; write , or :",
    r"<{5}|={5}|>{5}": "marks of an unfinished merge stand here; keep one side of them",
    r"\.\.\.|\u2026": "three dots stand for nothing in JSON; remove them",
    r"\(": "lists stand in [ ], not in ( )",
    r";": "commas stand between entries, not semicolons",
    r"=": "a colon stands between a key and its value",
    r"[-+.]?\d|\.\d": NUMBER,
    r"[A-Za-z_$./~]": QUOTES,
    "[\u00a0\u2000-\u200b\u3000]": "a space that isn't one of JSON's stands here; write a usual one",
}
# The same by what the parser says.
MESSAGES = {
    "Invalid \\escape": 'write \\\\ for \\ in a text, or / in a path ("C:/data")',
    "Invalid control character at": "a text ends on the line that it begins on; write \\n for a line break",
    "Extra data": "something stands behind the end",
    "Expecting ':' delimiter": "a colon is missing between a key and its value",
    "Expecting ',' delimiter": "a comma is missing, or a bracket isn't closed",
    "Unterminated string starting at": "a text's closing quote is missing",
}


def _cause(error: json.JSONDecodeError) -> str | None:
    """The mistake that is likely meant; None where none is known."""
    if not error.doc.strip():
        return "the file is empty"
    if error.doc.lstrip()[:1] not in ("{", '"') and (other := _other_format(error.doc)) is not None:
        return other
    rest = error.doc[error.pos :]
    rest = rest.lstrip(" \t\n") if error.msg != "Invalid control character at" else rest
    before = error.doc[: error.pos].rstrip()
    if (rest[:1] in ("}", "]") and before[-1:] == ",") or (rest[:1] == "," and rest[1:].lstrip()[:1] in ("}", "]")):
        closing = rest.lstrip(", \t\r\n")[0]  # from Python 3.13 on, the comma is where the parser stops
        return f"a comma stands before the closing {closing}; remove it"
    if error.msg.startswith("Invalid \\"):
        return MESSAGES["Invalid \\escape"]
    if error.msg == "Invalid control character at" and rest[:1] not in ("", "\n"):
        return f"{rest[0]!a} stands in a text as it is; leave it out, or write \\u{ord(rest[0]):04x}"
    if error.msg in ("Invalid control character at", "Unterminated string starting at"):
        return MESSAGES[error.msg]
    found = next((cause for pattern, cause in CAUSES.items() if re.match(pattern, rest)), None)
    number = re.search(r"[\[:,]\s*-?[\d.]+(,?)$", before)
    if number and error.msg != "Extra data" and re.match(r"\d" if number[1] else r"[\w.]", rest):
        return NUMBER
    if found == NUMBER and error.msg.startswith("Expecting property name"):
        return QUOTES
    if error.msg == "Extra data" and found != COMMENT:
        return MESSAGES[error.msg]
    if found == NUMBER and error.msg == "Expecting ',' delimiter" and not before[-1:].isdigit():
        return MESSAGES[error.msg]
    return found or MESSAGES.get(error.msg)


def _other_format(text: str) -> str | None:
    """What the file is in place of JSON, where that shows at its beginning."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    first = next(lines, "").strip()
    return next((cause for pattern, cause in OTHER_FORMATS.items() if re.match(pattern, first)), None)


def _too_long(file: Path) -> ConfigError:
    """What else stops JSON's parser."""
    return ConfigError(
        f"{file}: holds a number of more than {sys.get_int_max_str_digits()} digits; write a shorter one"
    )

"""Members of a file that can't be read, each with its reason: the others are read all the same.

A file is looked at member by member only where it can't be read as it is. What can be read is then copied to a file of
its own, and that is read in its place.
"""

import codecs
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hf_assets.errors import DatasetError

# In the metadata of a Parquet file that was made of another.
KEY = b"hf_assets.faults"
# So many are noted by name; of the others, how many there are.
MAX_FAULTS = 10_000

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Fault(NamedTuple):
    """A row that isn't there, since its part of the file can't be read.

    Attributes:
        member: which line, or which sample of an archive.
    """

    member: str
    reason: str
    message: str


def dumps(faults: Sequence[Fault]) -> bytes:
    return json.dumps(list(faults[:MAX_FAULTS])).encode(errors="replace")


def loads(metadata: dict[bytes, bytes] | None) -> list[Fault]:
    """The faults that a Parquet file's metadata names."""
    return [Fault(*one) for one in json.loads((metadata or {}).get(KEY, b"[]"))]


def without_bad_lines(local: Path, path: str, kind: str, target: Path) -> list[Fault]:
    """Copy the lines of a file that can be read.

    Args:
        path: in the repository, for messages.
        kind: of the file: "json" for JSON Lines, else text.
        target: the copy, in UTF-8.

    Returns:
        The lines that can't; none where the file isn't one of lines.

    Raises:
        DatasetError: no line can be read.
    """
    found: list[Fault] = []
    num_good = 0
    check = _json_fault if kind == "json" else _text_fault
    with local.open("rb") as lines, target.open("wb") as copy:
        for number, line in enumerate(lines, 1):
            fault = check(line) if line.strip() else None
            if fault is None:
                copy.write(line)
                num_good += bool(line.strip())
                continue
            found.append(Fault(f"line {number:,}", "undecodable", fault))
    if found and not num_good:
        shown = "JSON Lines in UTF-8" if kind == "json" else "text in UTF-8"
        raise DatasetError(
            f'"{path}" can\'t be read as {shown}: none of its {len(found):,} lines is ({found[0].message}); mend the '
            "file, or fetch it again"
        )
    return found


def is_array(local: Path) -> bool:
    """Whether a file of JSON begins as one array, so that it isn't one of lines."""
    with local.open("rb") as file:
        return file.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["


def require_characters(local: Path) -> None:
    """`datasets` drops halves of surrogate pairs from an array's texts.

    Raises:
        ValueError: a text has one.
    """
    data = local.read_bytes()
    if _HALF.search(data) and has_surrogate(json.loads(data.removeprefix(codecs.BOM_UTF8))):
        raise ValueError("a text in it has half of a surrogate pair, which is no character")


def without_bad_elements(local: Path, path: str, target: Path) -> list[Fault]:
    """Copy the objects of a JSON array that can be read, each to a line.

    Behind one that can't, the next is taken to begin where an object ends and another begins.

    Args:
        path: in the repository, for messages.

    Returns:
        The elements that can't; none where the file isn't such an array.

    Raises:
        DatasetError: no element can be read.
    """
    text = local.read_bytes().decode(errors="surrogateescape").lstrip("\ufeff \t\r\n")
    found: list[Fault] = []
    decoder, position, number, num_good = json.JSONDecoder(), 1, 0, 0
    with target.open("w", encoding="utf-8") as copy:
        while (position := _GAP.match(text, position).end()) < len(text) and text[position] != "]":  # type: ignore[union-attr]
            number += 1
            try:
                value, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError) as error:
                reason = f"it is no JSON: {error}"
                behind = _BETWEEN.search(text, position)
                position = len(text) if behind is None else behind.end() - 1
            else:
                reason = _value_fault(value) or ""
            if reason:
                found.append(Fault(f"element {number:,}", "undecodable", reason.encode(errors="replace").decode()))
                continue
            copy.write(json.dumps(value, ensure_ascii=False) + "\n")
            num_good += 1
    if found and not num_good:
        raise DatasetError(
            f'"{path}" can\'t be read as an array of JSON objects in UTF-8: none of its {len(found):,} elements is '
            f"({found[0].message}); mend the file, or fetch it again"
        )
    return found


# Half of a pair, escaped; or what looks like one behind an escaped backslash.
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
# Between elements; and where one object ends and the next begins.
_GAP, _BETWEEN = re.compile(r"[\s,]*"), re.compile(r"\}\s*,\s*\{")


def is_utf_16(local: Path) -> bool:
    """Whether a text file says in front that it is in UTF-16."""
    with local.open("rb") as file:
        return file.read(2) in UTF_16


def require_utf_8(local: Path) -> None:
    """
    Raises:
        UnicodeDecodeError: the file isn't UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with local.open("rb") as file:
        while block := file.read(1 << 20):
            decoder.decode(block)
    decoder.decode(b"", final=True)


def in_utf_8(local: Path, target: Path) -> None:
    """Copy a text file in UTF-16 as UTF-8."""
    with local.open(encoding="utf-16", newline="") as text, target.open("w", encoding="utf-8", newline="") as copy:
        while block := text.read(1 << 20):
            copy.write(block)


def _text_fault(line: bytes) -> str | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 at byte {error.start:,} (0x{line[error.start]:02x}): save the file as UTF-8"
    return None


def _json_fault(line: bytes) -> str | None:
    if (fault := _text_fault(line)) is not None:
        return fault
    try:
        value = json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}"
    return _value_fault(value)


def _value_fault(value: object) -> str | None:
    if not isinstance(value, dict):
        return f"it is JSON, but no object: {type(value).__name__}"
    return "a text in it has half of a surrogate pair, which is no character" if has_surrogate(value) else None


def has_surrogate(value: object) -> bool:
    """Whether a text within a value can't be written as UTF-8."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return True
        return False
    if isinstance(value, dict):
        return any(has_surrogate(one) for pair in value.items() for one in pair)
    return any(map(has_surrogate, value)) if isinstance(value, list) else False

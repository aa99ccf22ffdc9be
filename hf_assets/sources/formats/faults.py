"""Members of a file that can't be read, each with its reason: the others are read all the same.

A file is looked at member by member only where it can't be read as it is. What can be read is then copied to a file of
its own, and that is read in its place.
"""

import codecs
import json
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
            if kind == "json" and number == 1 and line.lstrip(b"\xef\xbb\xbf \t")[:1] == b"[":
                return []  # one array, and no lines
            found.append(Fault(f"line {number:,}", "undecodable", fault))
    if found and not num_good:
        shown = "JSON Lines in UTF-8" if kind == "json" else "text in UTF-8"
        raise DatasetError(
            f'"{path}" can\'t be read as {shown}: none of its {len(found):,} lines is ({found[0].message}); mend the '
            "file, or fetch it again"
        )
    return found


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

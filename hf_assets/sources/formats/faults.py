"""Members of a file that can't be read, each with its reason: the others are read all the same.

A file is looked at member by member only where it can't be read as it is. What can be read is then copied to a file of
its own, and that is read in its place.
"""

import codecs
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from hf_assets.errors import DatasetError

# In the metadata of a Parquet file that was made of another.
KEY = b"hf_assets.faults"
# So many are noted by name; of the others, how many there are.
MAX_FAULTS = 10_000

# Byte order marks, the longer first: one begins with another.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Of text without one, so much is looked at; a third of it in Latin letters shows the encoding.
HEAD_BYTES = 256


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
            if fault is not None and kind == "json" and line.rstrip().endswith(b","):  # as in an array
                line = line.rstrip()[:-1] + b"\n"
                fault = check(line)
            if fault is None:
                copy.write(line.removeprefix(codecs.BOM_UTF8))
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


def settle_types(local: Path, target: Path) -> None:
    """Copy JSON Lines so that each field has one type in all of them (`settled`)."""
    with local.open("rb") as lines:
        values = [loads_written(line) for line in lines if line.strip()]
    with target.open("w", encoding="utf-8") as copy:
        copy.writelines(json.dumps(value, ensure_ascii=False) + "\n" for value in settled(values))


class Written(float):
    """A number of JSON with a point or an exponent, as it is written."""

    text: str

    def __new__(cls, text: str) -> "Written":
        made = super().__new__(cls, text)
        made.text = text
        return made


def loads_written(text: bytes | str) -> Any:
    """JSON whose numbers are `Written`.

    Raises:
        ValueError: it is none, or an object has a field twice.
    """
    return json.loads(text, parse_float=Written, object_pairs_hook=_distinct)


def written(value: object) -> str:
    """JSON text of a value, with numbers as they were written."""
    if isinstance(value, dict):
        fields = (f"{json.dumps(key, ensure_ascii=False)}: {written(one)}" for key, one in value.items())
        return f"{{{', '.join(fields)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return value.text if isinstance(value, Written) else json.dumps(value, ensure_ascii=False)


def settled(values: list[Any]) -> list[Any]:
    """Values of one type: at the depth where they differ, what stands among lists is a list of one, and among texts and
    other values, texts stay, numbers are as they are written, and all else is JSON text.
    """
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, dict) for value in there):
        names = list(dict.fromkeys(name for value in there for name in value))
        fields = {name: settled([(value or {}).get(name) for value in values]) for name in names}
        return [
            None if value is None else {name: fields[name][at] for name in names} for at, value in enumerate(values)
        ]
    try:
        pa.array(there)
        return values
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        pass
    if any(isinstance(value, list) for value in there):
        lists = [value if value is None or isinstance(value, list) else [value] for value in values]
        items = iter(settled([item for one in lists if one is not None for item in one]))
        return [None if one is None else [next(items) for _ in one] for one in lists]
    return [_as_text(value) for value in values]


def _as_text(value: Any) -> str | None:
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))  # as pandas writes it
    return None if is_missing else value if isinstance(value, str) else written(value)


def is_array(local: Path) -> bool:
    """Whether a file of JSON begins as one array, so that it isn't one of lines."""
    with local.open("rb") as file:
        return file.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["


def without_bad_elements(
    local: Path, path: str, target: Path, field: str | None = None, text_column: str = ""
) -> list[Fault]:
    """Copy the objects of a JSON array that can be read, or of a file that is one behind another, each to a line.

    Behind one that can't, the next is taken to begin where an object ends and another begins.

    Args:
        path: in the repository, for messages.
        field: in which the array lies; None: the file is the array.
        text_column: of an array of texts alone, the column that they make.

    Returns:
        The elements that can't; none where the file isn't such an array.

    Raises:
        DatasetError: no element can be read.
    """
    text = local.read_bytes().decode(errors="surrogateescape").lstrip("\ufeff \t\r\n")
    if field is not None:
        begin = re.search(rf"{re.escape(json.dumps(field))}\s*:\s*\[", text)
        if begin is None:
            raise DatasetError(f'"{path}" has no array called "{field}": correct field in README.md, or mend the file')
        text = text[begin.end() - 1 :]
    found: list[Fault] = []
    decoder, number, num_good = json.JSONDecoder(object_pairs_hook=_distinct), 0, 0
    position = int(text.startswith("["))
    with target.open("w", encoding="utf-8") as copy:
        are_texts = bool(text_column) and _TEXTS.match(text) is not None
        while (position := _GAP.match(text, position).end()) < len(text) and text[position] != "]":  # type: ignore[union-attr]
            number, start = number + 1, position
            try:
                value, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError) as error:
                reason = f"it is no JSON: {error}"
                behind = _BETWEEN.search(text, position)
                position = len(text) if behind is None else behind.end() - 1
            else:
                value = {text_column: value} if are_texts and isinstance(value, str) else value
                reason = _value_fault(value) or ""
            if reason:
                found.append(Fault(f"element {number:,}", "undecodable", reason.encode(errors="replace").decode()))
                continue
            # as it is written, since a number may be more than Python makes of it; a text has no end of a line in it
            line = json.dumps(value, ensure_ascii=False) if are_texts else _ENDS.sub(" ", text[start:position])
            copy.write(line + "\n")
            num_good += 1
    if found and not num_good:
        raise DatasetError(
            f'"{path}" can\'t be read as an array of JSON objects in UTF-8: none of its {len(found):,} elements is '
            f"({found[0].message}); mend the file, or fetch it again"
        )
    return found


# Between elements; and where one object, or a line, ends and the next object begins.
_GAP, _BETWEEN = re.compile(r"[\s,]*"), re.compile(r"(?:\}\s*,|,[ \t]*\r?\n)\s*\{")
# How an array of texts begins; and ends of lines, which stand between values.
_TEXTS, _ENDS = re.compile(r'\[\s*"'), re.compile(r"[\r\n]")


def wide_encoding(head: bytes) -> str | None:
    """The encoding of a text in UTF-16 or UTF-32, by its byte order mark, else by where its zeros are; None of others.

    Args:
        head: its first `HEAD_BYTES`.
    """
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    for width, encoding in ((4, "utf-32"), (2, "utf-16")):
        zeros = [head[at::width].count(0) / max(len(head[at::width]), 1) for at in range(width)]
        if len(head) >= 2 * width and zeros[0] == 0 and min(zeros[1:]) > 1 / 3:
            return f"{encoding}-le"
        if len(head) >= 2 * width and zeros[-1] == 0 and min(zeros[:-1]) > 1 / 3:
            return f"{encoding}-be"
    return None


def encoding_of(local: Path) -> str | None:
    """`wide_encoding` of a file."""
    with local.open("rb") as file:
        return wide_encoding(file.read(HEAD_BYTES))


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


def in_utf_8(local: Path, target: Path, encoding: str) -> None:
    """Copy a text file as UTF-8."""
    with local.open(encoding=encoding, newline="") as text, target.open("w", encoding="utf-8", newline="") as copy:
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
        value = json.loads(line.removeprefix(codecs.BOM_UTF8).rstrip(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}"
    return _value_fault(value)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'it has two fields called "{twice}"')
    return made


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

"""Texts beside media: which belongs to which, and what they say."""

import os
import re
from collections.abc import Iterable

from hf_assets.sources import unicode_names
from hf_assets.sources.formats import faults, foreign
from hf_assets.sources.formats.faults import Fault

# Endings of files of captions, in capitals or not, in the order in which they are taken.
TEXT_SUFFIXES = (".txt", ".caption")
# Endings of files of lyrics beside audio.
LYRICS_SUFFIXES = (".lyrics",)
# Of a file of captions or lyrics, whose lines become texts one by one.
MAX_TEXT_BYTES = 8 << 20
# What ends a line; other separators that Unicode knows are part of it.
LINE_END = re.compile(r"\r\n|\r|\n")


def key(path: str) -> str:
    """By what a file of captions belongs to a media file."""
    return unicode_names.composed(os.path.splitext(path)[0])


def by_key(names: Iterable[str], suffixes: tuple[str, ...] = TEXT_SUFFIXES) -> dict[str, str]:
    """The files with these endings, by their path without ending; of several, the ending that comes first."""
    found: dict[str, tuple[int, str]] = {}
    for path in names:
        suffix = os.path.splitext(path)[1].lower()
        if suffix not in suffixes:
            continue
        rank, stem = suffixes.index(suffix), key(path)
        if stem not in found or rank < found[stem][0]:
            found[stem] = (rank, path)
    return {stem: path for stem, (_, path) in found.items()}


def text_of(data: bytes) -> str:
    """What a file says; nothing where it can't be read (`fault_of` says why)."""
    return "" if _why_not(data) else _decoded(data)


def fault_of(name: str, data: bytes) -> Fault | None:
    """Why a file can't be read; None where it can."""
    why = _why_not(data)
    return None if why is None else Fault(name, why[0], f'"{name}" {why[1]}')


def _why_not(data: bytes) -> tuple[str, str] | None:
    """The reason, and what to say of the file."""
    if len(data) > MAX_TEXT_BYTES:
        return "too_large", f"has more than the {MAX_TEXT_BYTES:,d} bytes of captions"
    if (pointer := foreign.pointer_of(data[: foreign.HEAD_BYTES])) is not None:
        return "undecodable", f"is {pointer}"
    try:
        _decoded(data)
    except UnicodeDecodeError:
        return "undecodable", "is not UTF-8 text: save it as UTF-8"
    return None


def _decoded(data: bytes) -> str:
    return data.decode(faults.wide_encoding(data[: faults.HEAD_BYTES]) or "utf-8-sig")


def lines(text: str) -> list[str]:
    """The captions of a text."""
    return [line.strip() for line in LINE_END.split(text) if line.strip()]

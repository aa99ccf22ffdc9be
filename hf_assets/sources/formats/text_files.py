"""Texts beside media: which belongs to which, and what they say."""

import os
import re
from collections.abc import Iterable

from hf_assets.sources import unicode_names
from hf_assets.sources.formats import faults
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
    """What a file says; nothing where it isn't text, or too large (`fault_of` says so)."""
    if len(data) > MAX_TEXT_BYTES:
        return ""
    encoding = faults.wide_encoding(data[: faults.HEAD_BYTES]) or "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return ""


def fault_of(name: str, num_bytes: int) -> Fault:
    """Why a file that isn't empty says nothing."""
    if num_bytes > MAX_TEXT_BYTES:
        return Fault(name, "too_large", f'"{name}" has more than the {MAX_TEXT_BYTES:,d} bytes of captions')
    return Fault(name, "undecodable", f'"{name}" is not UTF-8 text: save it as UTF-8')


def lines(text: str) -> list[str]:
    """The captions of a text."""
    return [line.strip() for line in LINE_END.split(text) if line.strip()]

"""Files that aren't what their names say, by how they begin: a Git LFS pointer, a web page, nothing at all."""

from pathlib import Path

from hf_assets.errors import DatasetError
from hf_assets.media import signatures

HEAD_BYTES = 256
# Of files whose rows may be any text, what can be no text of people.
NEVER_TEXT = (b"version https://git-lfs", b"par1", b"7z\xbc\xaf", b"rar!", b"\x93numpy")
WEB_PAGES = (b"<!doctype html", b"<html")
ANY_TEXT = ("text", "xml")


def require(local: Path, path: str, kind: str) -> None:
    """
    Args:
        path: in the repository, for messages.
        kind: as which it is read: a builder of `datasets`, or a format.

    Raises:
        DatasetError: what the file is in place of that.
    """
    with local.open("rb") as file:
        start = file.read(HEAD_BYTES)
    if (what := what_is(start, kind)) is not None:
        raise DatasetError(f'"{path}" is {what}')


def what_is(start: bytes, kind: str) -> str | None:
    """What a file is that begins so, and can't be read; None where it may well be what its name says.

    Args:
        start: its first `HEAD_BYTES`.
    """
    if not start:
        return "empty: fetch it again, or remove it"
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    wrong: tuple[bytes, ...] = NEVER_TEXT if kind in ANY_TEXT else (*NEVER_TEXT, *WEB_PAGES)
    if kind.lower() == "parquet" or kind.endswith("folder"):
        wrong = tuple(one for one in wrong if one != b"par1")
    return next((name for begin, name in signatures.OTHERS if begin in wrong and head.startswith(begin)), None)


def pointer_of(start: bytes) -> str | None:
    """What a text is that is a Git LFS pointer; None of another."""
    return what_is(start, "text") if start.startswith(NEVER_TEXT[0]) else None

"""File names in Unicode's different forms: macOS writes `é` as two characters (NFD), most others as one (NFC).

Both name the same file.
"""

import unicodedata
from collections.abc import Iterable

from hf_assets.errors import DatasetError

FORMS = ("NFC", "NFD")


def composed(name: str) -> str:
    """A name in one form, by which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def require_distinct(paths: Iterable[str], where: str) -> None:
    """Refuse files whose names differ by nothing but their form: no row can say which of them it means.

    Args:
        where: the folder or the dataset, for messages.
    """
    seen: dict[str, str] = {}
    for path in paths:
        require_another(path, seen, where)


def require_another(path: str, seen: dict[str, str], where: str) -> None:
    """`require_distinct`, path by path.

    Args:
        seen: those before, which this one is added to.
    """
    if path.isascii():
        return
    other = seen.setdefault(composed(path), path)
    if other != path:
        raise DatasetError(
            f'{where} has two files called "{composed(path)}", whose names differ only by their Unicode form (one '
            f"letter with its accent, or two characters): {other!a} and {path!a}; rename one of them"
        )

"""Rows that name a file which isn't there: what they name, and the file that they were meant to, where one is nearly
called so: in other capitals, with a space as `%20` or `_`, or with a slash in front.
"""

import posixpath
import re
from collections.abc import Iterable
from urllib.parse import unquote

import pyarrow as pa

from hf_assets.errors import MediaError
from hf_assets.media import signatures
from hf_assets.sources.formats.parquet import WantedColumns, read_columns
from hf_assets.sources.source import Source
from hf_assets.sources.spec import DataFile, Snapshot
from hf_assets.sources.unicode_names import composed

# Of a file's rows that name nothing that is there, so many are looked into.
MAX_ROWS = 1000
NAMES_NOTHING = "the row holds no media bytes, and names no file that the dataset has"


class NearNames:
    """The files of a dataset by nearly their names."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths: dict[str, str] = {}
        self._names: dict[str, list[str]] = {}
        for path in paths:
            self._paths.setdefault(_folded(path), path)
            self._names.setdefault(_folded(posixpath.basename(path)), []).append(path)

    def hint(self, name: str, beside: str) -> str:
        """What to say of a name that no file has; empty where no file is nearly called so.

        Args:
            beside: path of the file whose row names it.
        """
        folded = _folded(name)
        below = _folded(posixpath.join(posixpath.dirname(beside), name.lstrip("/\\")))
        found = self._paths.get(below) or self._paths.get(folded)
        if found is None:
            alike = self._names.get(posixpath.basename(folded), [])
            found = alike[0] if len(alike) == 1 else None
        return "" if found is None else f'; the dataset has "{found[:200]}": write the name as the file is called'


def _folded(name: str) -> str:
    plain = composed(unquote(name)).casefold().replace("\\", "/")
    return posixpath.normpath(re.sub(r"[\s_]+", "_", plain.strip())).lstrip("/")


class Missing:
    """Why rows without media have none."""

    def __init__(self, source: Source, snapshot: Snapshot, column: str) -> None:
        self._source, self._snapshot, self._column = source, snapshot, column
        self._near: NearNames | None = None
        self._named: tuple[str, pa.Array | None] = ("", None)
        self._num_rows = 0

    def error_of(self, file: DataFile, file_row: int) -> MediaError:
        """What to say of a row that holds no bytes."""
        if file.hash != self._named[0]:
            with self._source.open_ranges(self._snapshot, file) as handle:
                found = read_columns(handle, WantedColumns(self._column, ()), file.path)
            self._named, self._num_rows = (file.hash, found.media_paths), 0
        names, self._num_rows = self._named[1], self._num_rows + 1
        name = None if names is None or self._num_rows > MAX_ROWS else names[file_row].as_py()
        if not name:
            return MediaError("missing", NAMES_NOTHING)
        if what := signatures.describe_text(name):
            return MediaError("missing", f"the row holds {what}")
        if self._near is None:
            self._near = NearNames(self._source.paths(self._snapshot))
        hint = self._near.hint(name, file.path)
        return MediaError("missing", f'the row names "{name[:200]}", which isn\'t in the dataset{hint}')

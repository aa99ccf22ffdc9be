"""Metadata that lie beside an archive of media and name its members, as people make them; `datasets` reads neither."""

import posixpath
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets.errors import DatasetError
from hf_assets.sources.formats import csv_text, faults, foreign, json_rows, whole_parquet
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.unicode_names import composed

NAME = "file_name"


class Joiner:
    """Adds the columns of metadata to an archive's rows."""

    def __init__(self, members: Sequence[str], table: pa.Table, archive: str) -> None:
        """
        Args:
            members: names of the archive's.
            table: has `NAME`.
            archive: its path in the repository; its name without ending may be a folder of the paths in the metadata.
        """
        self._table = table
        self._names = [None if name is None else str(name) for name in table[NAME].to_pylist()]
        self._rows: dict[str, int] = {}
        # by names alone, where they are distinct: the archive's folder may be part of the path
        self._alone: dict[str, int | None] = {}
        counts = Counter(_key(posixpath.basename(_slashed(name))) for name in members)
        for row, name in enumerate(self._names):
            if name is not None:
                path = _slashed(name).removeprefix("./")
                self._rows.setdefault(_key(path), row)
                last = _key(posixpath.basename(path))
                if counts[last] == 1:
                    self._alone[last] = row if last not in self._alone else None
        folder, stem = posixpath.split(_key(archive).split(".")[0])
        self._above = ["", f"{stem}/", f"{folder}/{stem}/", f"{folder}/"]
        self._used = set(map(self._find, map(_key, members)))

    def __call__(self, part: pa.Table) -> pa.Table:
        at = [self._find(_key(path or "")) for path in _paths(part).to_pylist()]
        found = self._table.take(pa.array(at, pa.int64()))
        for name in found.column_names:
            if name != NAME and name not in part.column_names:
                part = part.append_column(name, found[name])
        return part

    def _find(self, path: str) -> int | None:
        named = (self._rows[f"{above}{path}"] for above in self._above if f"{above}{path}" in self._rows)
        return next(named, self._alone.get(posixpath.basename(path)))

    def missing(self) -> list[Fault]:
        """The rows that say something of no member."""
        left = (name for row, name in enumerate(self._names) if row not in self._used and name)
        return [Fault(name, "missing", f'metadata name "{name[:200]}", which isn\'t in the archive') for name in left]


def joiner(
    members: Sequence[str], metadata: Sequence[Path], found: list[Fault], texts: Set[str] = frozenset(), path: str = ""
) -> Joiner | None:
    """What adds the columns of metadata to an archive's rows; None where the archive has metadata of its own.

    Args:
        members: names of the archive's.
        found: is given the rows of metadata that can't be read.
        texts: the columns that README.md calls text.
        path: of the archive.

    Raises:
        DatasetError: metadata have no rows.
    """
    tables = [_read(one, found, texts) for one in metadata if not _is_blank(one)]
    if not any(map(len, tables)) and not found:
        raise DatasetError("the metadata beside an archive of media have no rows: fill them, or remove them")
    table = pa.concat_tables(tables, promote_options="permissive")
    is_named = any(posixpath.basename(_slashed(name)).startswith("metadata.") for name in members)
    return None if NAME not in table.column_names or is_named else Joiner(members, table, path)


def inside(
    archive: zipfile.ZipFile, path: str, named: Sequence[str], found: list[Fault], texts: Set[str] = frozenset()
) -> pa.Table | None:
    """What metadata within a ZIP say of its media, with the members' names as `file_name`; None where there are none,
    or such as name several files a row. Words are words in them, and a bad row costs itself.

    Args:
        path: of the ZIP, for messages.
        named: what metadata are called.
        found: is given the rows that can't be read.
        texts: the columns that README.md calls text.

    Raises:
        DatasetError: metadata have no rows.
    """
    tables: list[pa.Table] = []
    blank: list[str] = []
    members = {_slashed(member): member for member in sorted(archive.namelist())}
    by_form = {composed(plain): member for plain, member in members.items()}
    for plain, member in members.items():
        folder, name = posixpath.split(plain)
        if name not in named or member.startswith("__MACOSX/"):
            continue
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place) / name
            copy.write_bytes(archive.read(member))
            table = pa.table({}) if _is_blank(copy) else _read(copy, found, texts)
        if not len(table) and not found:
            blank.append(plain)
            continue
        others = [one for one in table.column_names if one.endswith(("_file_name", "file_names"))]
        if NAME not in table.column_names or others:
            return None
        if not (pa.types.is_string(table[NAME].type) or pa.types.is_large_string(table[NAME].type)):
            return None
        paths = [
            given and posixpath.normpath(posixpath.join(folder, _slashed(given))) for given in table[NAME].to_pylist()
        ]
        paths = [one and by_form.get(composed(one), one) for one in paths]
        at = table.column_names.index(NAME)
        tables.append(table.set_column(at, NAME, pa.array(paths, pa.string())))
    if blank and not tables:
        raise DatasetError(f'"{blank[0]}" in "{path}" has no rows: fill it, or remove it')
    return pa.concat_tables(tables, promote_options="permissive") if tables else None


def _paths(part: pa.Table) -> pa.ChunkedArray:
    """Of each row, the path of its first media."""
    held = [name for name in part.column_names if pa.types.is_struct(part[name].type)]
    media = [part[name] for name in held if part[name].type.get_field_index("path") >= 0]
    return pc.coalesce(*(pc.struct_field(one, "path") for one in media))


def _slashed(path: str) -> str:
    """A path as ZIP has it: some programs of Windows write backslashes."""
    return path.replace("\\", "/")


def _is_blank(path: Path) -> bool:
    """Whether a file has nothing but white space in its first bytes, and no more behind them."""
    with path.open("rb") as file:
        return not file.read(faults.HEAD_BYTES).strip(b"\xef\xbb\xbf \t\r\n") and not file.read(1)


def _key(path: str) -> str:
    """By what a path is looked up: a WebDataset's members have endings in small letters."""
    stem, ending = posixpath.splitext(composed(_slashed(path)))
    return stem + ending.lower()


def _read(path: Path, found: list[Fault], texts: Set[str] = frozenset()) -> pa.Table:
    """
    Args:
        found: is given the rows that can't be read.
    """
    bad: list[Fault] = []
    table = _rows(path, bad, texts)
    found += [one._replace(member=f"{path.name}, {one.member}") for one in bad]
    return table


def _rows(path: Path, found: list[Fault], texts: Set[str]) -> pa.Table:
    foreign.require(path, path.name, "imagefolder")
    with path.open("rb") as file:
        start = file.read(faults.HEAD_BYTES)
    if (encoding := faults.wide_encoding(start)) is not None:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / path.name
            faults.in_utf_8(path, plain, encoding)
            return _rows(plain, found, texts)
    start = start.lstrip()
    if start.startswith(b"PAR1"):
        return csv_text.with_file_name(whole_parquet.read(path, path.name, found))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "metadata.parquet"
        if start.startswith((b"{", b"\xef\xbb\xbf{")):
            return csv_text.with_file_name(json_rows.read(path, path.name, found))
        csv_text.metadata_table(path, copy, found, texts)
        return pq.read_table(copy)

"""Metadata that lie beside an archive of media and name its members, as people make them; `datasets` reads neither."""

import posixpath
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets.errors import DatasetError
from hf_assets.sources.formats import csv_text, faults
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.unicode_names import composed

NAME = "file_name"


def joiner(
    members: Sequence[str], metadata: Sequence[Path], found: list[Fault]
) -> Callable[[pa.Table], pa.Table] | None:
    """What adds the columns of metadata to an archive's rows; None where the archive has metadata of its own.

    Args:
        members: names of the archive's.
        found: is given the rows of metadata that can't be read.

    Raises:
        DatasetError: metadata have no rows.
    """
    names = [posixpath.basename(_slashed(name)) for name in members]
    counts = Counter(map(_key, names))
    tables = [_read(one, found) for one in metadata if not _is_blank(one)]
    if not any(map(len, tables)) and not found:
        raise DatasetError("the metadata beside an archive of media have no rows: fill them, or remove them")
    table = pa.concat_tables(tables, promote_options="permissive")
    if NAME not in table.column_names or any(name.startswith("metadata.") for name in names):
        return None
    rows: dict[str, int] = {}
    alone: dict[str, int] = {}  # by names alone, where they are distinct: the archive's folder may be part of the path
    for row, name in enumerate(table[NAME].to_pylist()):
        if name is not None:
            path = _slashed(str(name)).removeprefix("./")
            rows.setdefault(_key(path), row)
            if counts[_key(posixpath.basename(path))] == 1:
                alone.setdefault(_key(posixpath.basename(path)), row)

    def join(part: pa.Table) -> pa.Table:
        paths = [_key(path or "") for path in _paths(part).to_pylist()]
        at = [rows.get(path, alone.get(posixpath.basename(path))) for path in paths]
        found = table.take(pa.array(at, pa.int64()))
        for name in found.column_names:
            if name != NAME and name not in part.column_names:
                part = part.append_column(name, found[name])
        return part

    return join


def inside(archive: zipfile.ZipFile, path: str, named: Sequence[str], found: list[Fault]) -> pa.Table | None:
    """What metadata within a ZIP say of its media, with the members' names as `file_name`; None where there are none,
    or such as name several files a row. Words are words in them, and a bad row costs itself.

    Args:
        path: of the ZIP, for messages.
        named: what metadata are called.
        found: is given the rows that can't be read.

    Raises:
        DatasetError: metadata have no rows.
    """
    tables: list[pa.Table] = []
    blank: list[str] = []
    members = {_slashed(member): member for member in sorted(archive.namelist())}
    for plain, member in members.items():
        folder, name = posixpath.split(plain)
        if name not in named or member.startswith("__MACOSX/"):
            continue
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place) / name
            copy.write_bytes(archive.read(member))
            table = pa.table({}) if _is_blank(copy) else _read(copy, found)
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
        paths = [members.get(one, one) for one in paths]
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


def _read(path: Path, found: list[Fault]) -> pa.Table:
    with path.open("rb") as file:
        start = file.read(faults.HEAD_BYTES)
    if (encoding := faults.wide_encoding(start)) is not None:
        plain = path.with_name(f"utf8_{path.name}")
        faults.in_utf_8(path, plain, encoding)
        return _read(plain, found)
    start = start.lstrip()
    if start.startswith(b"PAR1"):
        return csv_text.with_file_name(pq.read_table(path))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "metadata.parquet"
        if start.startswith((b"{", b"\xef\xbb\xbf{")):
            return csv_text.with_file_name(faults.read_lines(path, found))
        csv_text.metadata_table(path, copy, found)
        return pq.read_table(copy)

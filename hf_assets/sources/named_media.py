"""Rows that name a file of the dataset as their media: which file that is, and its hash."""

import os
import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError
from hf_assets.media import signatures
from hf_assets.sources import texts_beside, unicode_names
from hf_assets.sources.formats.parquet import Columns
from hf_assets.sources.near_names import NearNames
from hf_assets.sources.source import Source
from hf_assets.sources.spec import WHOLE_FILE, DataFile, Snapshot


class NamedFiles(NamedTuple):
    """The files that rows name; null where there is no such file."""

    path: pa.Array
    hash: pa.Array


def hashes_of(source: Source, snapshot: Snapshot, beside: str, names: pa.Array) -> NamedFiles:
    """Find files by the names that rows give them: relative to the file of these rows, else to the repository.

    Args:
        beside: path of the rows' file.
    """
    if not snapshot.media:
        nothing = pa.nulls(len(names), pa.string())
        return NamedFiles(nothing, nothing)
    plain = _within(names, snapshot)
    folder = posixpath.dirname(beside)
    below = _normal(pc.binary_join_element_wise(folder, plain, "/")) if folder else plain
    hashes = source.locate(snapshot, below)
    paths = pc.if_else(pc.is_valid(hashes), below, pa.scalar(None, pa.string()))
    if folder and hashes.null_count:
        others = source.locate(snapshot, plain)
        paths = pc.coalesce(paths, pc.if_else(pc.is_valid(others), plain, pa.scalar(None, pa.string())))
        hashes = pc.coalesce(hashes, others)
    if pc.any(pc.and_(pc.is_null(hashes), pc.invert(pc.fill_null(pc.string_is_ascii(names), True)))).as_py():
        for form in unicode_names.FORMS:
            for tried in (below, plain):
                other = pc.utf8_normalize(tried, form)
                others = source.locate(snapshot, other)
                paths = pc.coalesce(paths, pc.if_else(pc.is_valid(others), other, pa.scalar(None, pa.string())))
                hashes = pc.coalesce(hashes, others)
    return NamedFiles(paths, hashes)


class Named:
    """What the rows of a split name, and whether it is there, gathered table by table.

    Attributes:
        num_missing: rows that name what isn't there.
        example: what the first of them names.
    """

    def __init__(self) -> None:
        self.num_missing, self.example = 0, ""
        self._is_any_there = False
        self._names_all = True
        self._first_name: str | None = None
        self._beside = ""
        self._hash = fingerprint.TableHash(_HASHES)
        self._pieces = fingerprint.Pieces()

    def add(self, files: Sequence[DataFile], parts: list[Columns], hashes: pa.Array) -> None:
        """
        Args:
            files: which these parts are of.
            hashes: of the files that the rows of these parts name; null where there is no such file.
        """
        self._is_any_there |= hashes.null_count < len(hashes)
        for piece in self._pieces.add(pa.table([hashes], schema=_HASHES)):
            self._hash.add(piece)
        start = 0
        for file, part in zip(files, parts, strict=True):
            if part.media_paths is not None:
                is_missing = pc.and_(pc.is_null(hashes.slice(start, part.num_rows)), pc.is_valid(part.media_paths))
                if num_missing := pc.sum(is_missing).as_py() or 0:
                    self.example = self.example or part.media_paths.filter(is_missing)[0].as_py()
                    self.num_missing += num_missing
            start += part.num_rows
            if part.media_paths is None:
                self._names_all = False
            elif self._first_name is None:
                self._first_name = next(filter(None, part.media_paths.to_pylist()), None)
                self._beside = file.path

    def settle(self, column: str, snapshot: Snapshot, source: Source) -> str:
        """Once all rows were seen.

        Returns:
            A hash of what the named files hold; empty where no row names one.

        Raises:
            DatasetError: rows name files, and not one of them is there.
        """
        if self._is_any_there:
            for piece in self._pieces.end():
                self._hash.add(piece)
            return self._hash.hexdigest()
        if self._first_name is not None and self._names_all:
            if what := signatures.describe_text(self._first_name):
                raise DatasetError(f'column "{column}" of dataset "{snapshot.repository}" holds {what}')
            paths = list(source.paths(snapshot))
            hint = NearNames(paths).hint(self._first_name, self._beside) or texts_beside.archive_hint(paths)
            raise DatasetError(
                f'column "{column}" names files such as "{self._first_name[:200]}", and none of them is in dataset '
                f'"{snapshot.repository}"{hint or ": name the column that holds the media, or add the files"}'
            )
        return ""


_HASHES = pa.schema([pa.field("hash", pa.string())])


def with_named_media(
    table: pa.Table, source: Source, snapshot: Snapshot, parts: list[Columns], named: Named
) -> pa.Table:
    """Let rows that name a file lie there, whole (`WHOLE_FILE`).

    Args:
        table: `row`, `schema.LOCATION`, `schema.SOURCE_PATH` and more, of some files.
        parts: what was read of each of these files.
        named: is given what they name.
    """
    paths, hashes = [pa.array([], pa.string())], [pa.array([], pa.string())]
    for file, part in zip(snapshot.files, parts, strict=True):
        nothing = pa.nulls(part.num_rows, pa.string())
        found = NamedFiles(nothing, nothing)
        if part.media_paths is not None:
            found = hashes_of(source, snapshot, file.path, part.media_paths)
        paths.append(found.path)
        hashes.append(found.hash)
    path, content = pa.concat_arrays(paths), pa.concat_arrays(hashes)
    named.add(snapshot.files, parts, content)
    is_there = pc.is_valid(content)
    if content.null_count == len(content):
        return table
    columns = {
        "file_path": pc.if_else(is_there, path, table["file_path"].cast(pa.string())),
        "file_hash": pc.if_else(is_there, content, table["file_hash"].cast(pa.string())),
        "file_row": pc.if_else(is_there, WHOLE_FILE, table["file_row"]),
        schema.SOURCE_PATH.name: pc.if_else(is_there, path, table[schema.SOURCE_PATH.name]),
    }
    for name, values in columns.items():
        field = table.schema.field(name)
        index = table.schema.get_field_index(name)
        if pa.types.is_dictionary(field.type):
            values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
            values = values.dictionary_encode().cast(field.type)
        table = table.set_column(index, field, values)
    return table


def _within(names: pa.Array, snapshot: Snapshot) -> pa.Array:
    """Names as paths that can be looked up among the repository's."""
    repository = re.escape(snapshot.repository)
    plain = pc.replace_substring(names, "\\", "/")
    if snapshot.is_local or "://" in snapshot.repository:
        plain = pc.replace_substring_regex(plain, f"^{repository}/", "")
    else:
        plain = pc.replace_substring_regex(plain, f"^hf://datasets/{repository}(@[^/]+)?/", "")
    return _normal(plain)


def _normal(paths: pa.Array) -> pa.Array:
    """Without `.` and `..`; rare enough to look at each path that has some."""
    odd = pc.fill_null(pc.match_substring_regex(paths, r"(^|/)\.{0,2}/"), False)
    if not pc.any(odd).as_py():
        return paths
    return pa.array([path and os.path.normpath(path) for path in paths.to_pylist()], pa.string())

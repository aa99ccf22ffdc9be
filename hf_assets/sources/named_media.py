"""Rows that name a file of the dataset as their media: which file that is, and its hash."""

import os
import posixpath
import re
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError
from hf_assets.sources import unicode_names
from hf_assets.sources.formats.parquet import Columns
from hf_assets.sources.source import Source
from hf_assets.sources.spec import WHOLE_FILE, Snapshot


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


def with_named_media(
    table: pa.Table, source: Source, snapshot: Snapshot, parts: list[Columns], column: str, *, is_whole: bool = True
) -> tuple[pa.Table, str]:
    """Let rows that name a file lie there, whole (`WHOLE_FILE`).

    Args:
        table: `row`, `schema.LOCATION`, `schema.SOURCE_PATH` and more, of all files.
        parts: what was read of each file.
        is_whole: whether these are all files; of some, none of the files that rows name may be there.

    Returns:
        The table, and a hash of what the named files hold; empty where no row names one.

    Raises:
        DatasetError: rows name files, and not one of them is there.
    """
    if all(part.media_paths is None for part in parts):
        return table, ""
    paths, hashes = [], []
    for file, part in zip(snapshot.files, parts, strict=True):
        nothing = pa.nulls(part.num_rows, pa.string())
        names = nothing if part.media_paths is None else part.media_paths
        found = (
            NamedFiles(nothing, nothing) if part.media_paths is None else hashes_of(source, snapshot, file.path, names)
        )
        paths.append(found.path)
        hashes.append(found.hash)
    path, content = pa.concat_arrays(paths), pa.concat_arrays(hashes)
    is_there = pc.is_valid(content)
    if not pc.any(is_there).as_py():
        named = [
            name for part in parts if part.media_paths is not None for name in part.media_paths.to_pylist() if name
        ]
        if is_whole and named and all(part.media_paths is not None for part in parts):
            raise DatasetError(
                f'column "{column}" names files such as "{named[0][:200]}", and none of them is in dataset '
                f'"{snapshot.repository}": name the column that holds the media, or add the files'
            )
        return table, ""
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
    return table, fingerprint.of_table(pa.table({"hash": content}))


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

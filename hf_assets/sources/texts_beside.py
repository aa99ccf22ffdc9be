"""What to say where a column of captions isn't there, and texts or a table lie beside media: how they are read."""

import contextlib
import zipfile
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets.errors import DatasetError
from hf_assets.sources import listing
from hf_assets.sources.formats import csv_text, member_texts, text_files
from hf_assets.sources.source import Source
from hf_assets.sources.spec import ALL_MEDIA_SUFFIXES, DataFile, Snapshot

# What tables may be called that lie beside media, in capitals or not.
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
# Captions of a folder that lie in such texts.
TEXT_FILES = ("textfile", "whole_textfile")
TARS = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz")
NUM_EXAMPLES, SHOWN_CHARACTERS = 3, 80


def hint(source: Source, snapshot: Snapshot, file: DataFile, *, is_media: bool = False) -> str:
    """Words to put behind a message about a file's columns; none where neither texts nor tables lie beside media.

    Args:
        is_media: the column that is missing is that of media.
    """
    rules = source.spec.folder
    if rules is not None and rules.captions in TEXT_FILES:
        return ""  # they are read
    if is_media and not listing.is_archive(file.path) and file.content != listing.LISTED:
        with contextlib.suppress(DatasetError, OSError, pa.ArrowException):
            if found := _of_table(source, snapshot, file):
                return found
    is_listed = file.content == listing.LISTED
    try:
        texts = _of_archive(source, snapshot, file) if listing.is_archive(file.path) else _loose(source, snapshot)
    except (DatasetError, OSError, zipfile.BadZipFile):  # of a message, the first part is what matters
        return ""
    shown = ", ".join(f'"{" ".join(text.split())[:SHOWN_CHARACTERS]}"' for text in texts)
    if shown:
        return f'; texts lie beside its media: set "caption_strategy": "textfile" to read them, as {shown}'
    tables = sorted(path for path in source.paths(snapshot) if path.lower().endswith(TABLES)) if is_listed else []
    if not tables:
        return ""
    return f"; \"{tables[0]}\" isn't read: set data_files to it, and image_column to its column of the media's names"


def archive_hint(paths: Iterable[str]) -> str:
    """What to say of a table that names files which aren't there, where there are archives; else nothing."""
    archives = sorted(path for path in paths if listing.is_archive(path) or path.lower().endswith(TARS))
    if not archives:
        return ""
    return (
        f'; a table that says of the members of "{archives[0]}" what they are is called metadata.csv or '
        "metadata.jsonl, and names them in its column file_name"
    )


def _of_table(source: Source, snapshot: Snapshot, file: DataFile) -> str:
    """Of a table that has a column of names, but none called as media are."""
    with source.open_ranges(snapshot, file) as handle:
        names = pq.ParquetFile(pa.PythonFile(handle, mode="r")).schema_arrow.names
    named = next((name for name in names if name.lower() in (*csv_text.FILE_NAMES, *csv_text.PATH_NAMES)), None)
    paths = list(source.paths(snapshot))
    if named is None:
        return ""
    if any(map(listing.is_media, paths)):
        return f'; set image_column to "{named}", if it names the media'
    return archive_hint(paths)


def _loose(source: Source, snapshot: Snapshot) -> list[str]:
    paths = list(source.paths(snapshot))
    held = {text_files.key(path) for path in paths if listing.is_media(path)}
    beside = sorted(path for stem, path in text_files.by_key(paths).items() if stem in held)[:NUM_EXAMPLES]
    hashes = source.locate(snapshot, pa.array(beside, pa.string())).to_pylist()
    files = [DataFile(path, content, 0) for path, content in zip(beside, hashes, strict=True) if content is not None]
    read = [text_files.text_of(source.fetch(snapshot, one).read_bytes()) for one in files]
    return [line for text in read for line in text_files.lines(text)[:1]]


def _of_archive(source: Source, snapshot: Snapshot, file: DataFile) -> list[str]:
    with zipfile.ZipFile(source.fetch(snapshot, file)) as archive:
        return list(member_texts.examples(archive, ALL_MEDIA_SUFFIXES, NUM_EXAMPLES))

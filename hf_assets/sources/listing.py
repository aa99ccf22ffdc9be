"""The files of a repository or folder: which hold rows, and which rows may name as their media."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint
from hf_assets.errors import DatasetError
from hf_assets.sources.formats import conversion, lance_fragments, member_texts
from hf_assets.sources.formats.conversion import FOLDERS, Format
from hf_assets.sources.formats.lance_fragments import Repository
from hf_assets.sources.spec import ALL_MEDIA_SUFFIXES, LISTED_PATH, PARQUET, DataFile, FolderRules, Part

# Of a table made from a listing, in place of the hash of a file's content.
LISTED = "listed"
# Of archives whose members make samples by their names.
TARS = "webdataset"
METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")

SCHEMA = pa.schema([("path", pa.string()), ("hash", pa.string()), ("num_bytes", pa.int64())])


class Split(NamedTuple):
    """What a snapshot says of its files."""

    files: tuple[DataFile, ...]
    media: str
    format: str
    parts: tuple[Part, ...]


def is_media(path: str) -> bool:
    return path.lower().endswith(ALL_MEDIA_SUFFIXES)


def is_archive(path: str) -> bool:
    return path.lower().endswith(".zip")


def is_metadata(path: str, format: Format | None) -> bool:
    """Whether a file of a folder of media is one of the tables about them."""
    names = format.settings.get("metadata_filenames") if format is not None else None
    return PurePosixPath(path).name in (names or METADATA_NAMES)


def is_of_folder(path: str, format: Format | None) -> bool:
    """Whether a file that a folder's builder looks at is one of its media."""
    return not is_archive(path) and not is_metadata(path, format)


def archives_of(archives: Iterable[DataFile], rules: FolderRules) -> Split:
    """ZIPs of media, each with a text beside it, as the files of a split."""
    kind = next(kind for kind, column in FOLDERS.items() if column == rules.media)
    settings = {"drop_labels": True, "drop_metadata": True, member_texts.CAPTIONS: rules.captions}
    format = Format(kind, settings, None)
    return Split(tuple(_read_by(format, file) for file in archives), "", format.dumps(), ())


def media_fingerprint(entries: Iterable[DataFile]) -> str:
    """Hash of the media that rows may name, by path; empty where there are none."""
    named = sorted((entry.path, entry.hash) for entry in entries)
    return fingerprint.of_value(named) if named else ""


def table_of(entries: Iterable[DataFile]) -> pa.Table:
    listed = list(entries)
    columns = ([getattr(entry, name) for entry in listed] for name in SCHEMA.names)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def look_up(paths: pa.Array, table: pa.Table, column: str) -> pa.Array:
    """What the listing says of each path; null where it has no such file."""
    return table[column].combine_chunks().take(pc.index_in(paths, value_set=table["path"].combine_chunks()))


class Tables:
    """The tables of files that aren't Parquet, kept as Parquet in a folder."""

    def __init__(self, memory: Path) -> None:
        self.folder = memory / "converted"

    def path(self, file: DataFile) -> Path:
        return self.folder / f"{file.hash}.parquet"

    def is_kept(self, file: DataFile) -> bool:
        return self.path(file).exists()

    def split(
        self,
        listed: list[DataFile],
        siblings: list[str],
        format: Format | None,
        parts: tuple[Part, ...],
        repository: Repository,
    ) -> tuple[tuple[DataFile, ...], tuple[Part, ...]]:
        """The files that hold the rows: of a folder of media, the tables that list these.

        Args:
            listed: the split's files.
            siblings: paths of the files of all splits.
        """
        if format is None or format.kind == PARQUET:
            return tuple(listed), parts
        if format.kind == TARS:
            beside, is_alone = _metadata_of(repository, format), _is_alone(repository)
            return tuple(_joined(format, file, beside, is_alone=is_alone) for file in listed), parts
        if format.kind not in FOLDERS:
            return tuple(_read_by(format, file) for file in listed), parts
        if not parts:
            return tuple(self._folder(listed, siblings, format, repository)), ()
        tables: list[DataFile] = []
        counted: list[Part] = []
        start = 0
        for part in parts:
            made = list(self._folder(listed[start : start + part.num_files], siblings, format, repository))
            tables += made
            counted.append(part._replace(num_files=len(made)))
            start += part.num_files
        return tuple(tables), tuple(counted)

    def _folder(
        self, listed: list[DataFile], siblings: list[str], format: Format, repository: Repository
    ) -> Iterable[DataFile]:
        """Its metadata, else a table made of the listing; and its archives."""
        metadata = [file for file in listed if is_metadata(file.path, format)]
        archives = [file for file in listed if is_archive(file.path)]
        if metadata and archives and not any(is_of_folder(file.path, format) for file in listed):
            is_alone = _is_alone(repository)
            yield from (_joined(format, file, metadata, is_alone=is_alone) for file in archives)
            return
        if metadata and not format.settings.get("drop_metadata"):
            yield from (_read_by(format, file) for file in metadata)
        elif media := [file.path for file in listed if is_of_folder(file.path, format)]:
            beside = [path for path in siblings if is_of_folder(path, format)]
            labels = None if metadata else conversion.labels_of(media, beside, format.settings.get("drop_labels"))
            yield self.listed(media, labels, FOLDERS[format.kind])
        yield from (_read_by(format, file) for file in listed if is_archive(file.path))

    def listed(self, paths: list[str], labels: conversion.Labels | None, column: str) -> DataFile:
        """A table of media files, written now."""
        rows_hash = fingerprint.of_value([paths, labels, column, conversion.VERSIONS.get("imagefolder", 1)])
        file = DataFile(LISTED_PATH, rows_hash, 0, LISTED)
        if not self.is_kept(file):
            conversion.list_folder(paths, labels, column, self.path(file))
        return file

    def of(self, file: DataFile, format: str, repository: Repository) -> Path:
        """The Parquet file of another one, or of a fragment of a Lance dataset, made now if it isn't there.

        Raises:
            DatasetError: it can't be read.
        """
        path = self.path(file)
        if path.exists():
            return path
        if file.content == LISTED:
            raise DatasetError(f'"{path}" is gone: materialize raw_dataset again')
        if lance_fragments.is_fragment(file):
            repository.convert(file, Format.loads(format), path)
        else:
            by = Format.loads(format)
            beside: list[DataFile] = []
            is_joined = by.kind in FOLDERS and is_archive(file.path) and member_texts.CAPTIONS not in by.settings
            if by.kind == TARS or is_joined:
                beside = _nearest_beside(file, _metadata_of(repository, by))
            tables, is_whole = [repository.fetch(one) for one in beside], bool(beside) and _is_alone(repository)
            conversion.convert(repository.fetch(file), file.path, by, path, tables, is_whole=is_whole)
        return path


def _metadata_of(repository: Repository, format: Format) -> list[DataFile]:
    """All tables of a repository that may name members of its archives."""
    return list(repository.entries([path for path in repository.list() if is_metadata(path, format)]))


def _is_alone(repository: Repository) -> bool:
    """Whether all media of a repository are in one archive, so that what metadata name must be in it."""
    num_archives = 0
    for path in repository.list():
        is_packed = is_archive(path) or ".tar" in PurePosixPath(path.lower()).suffixes
        num_archives += is_packed
        if num_archives > 1 or (not is_packed and is_media(path)):
            return False
    return num_archives == 1


def _joined(format: Format, file: DataFile, metadata: list[DataFile], *, is_alone: bool) -> DataFile:
    """An archive of media, whose rows are those of metadata beside it as well."""
    made = _read_by(format, file)
    beside = [one.content_hash for one in _nearest_beside(file, metadata)]
    if not beside:
        return made
    return made._replace(hash=fingerprint.of_value([made.hash, beside, *(["alone"] if is_alone else [])]))


def _nearest_beside(archive: DataFile, metadata: list[DataFile]) -> list[DataFile]:
    """The metadata in an archive's folder, else in the nearest one above."""
    for folder in PurePosixPath(archive.path).parents:
        if found := [one for one in metadata if PurePosixPath(one.path).parent == folder]:
            return sorted(found)
    return []


def _read_by(format: Format, file: DataFile) -> DataFile:
    return file._replace(hash=format.rows_hash(file.hash, file.path), content=file.hash)

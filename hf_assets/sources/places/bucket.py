"""Datasets in an object store, `s3://bucket/folder`: in the Hub's layout, or a folder of media files.

What identifies a file is its size and ETag: of S3, the MD5 of an object that was written by one request, so that a copy
or a rename is known; any other ETag counts for its own object only. A file is read once to find out what its media are
(the ledger has it from there on), so an ETag that is no content hash costs one reading and no encoding.
"""

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files, fingerprint
from hf_assets.blobs import object_client
from hf_assets.blobs.object_client import Address, Object
from hf_assets.engines.ahead import map_ahead
from hf_assets.errors import DatasetError
from hf_assets.hub.listing_checks import require_name
from hf_assets.sources import data_files, listing, patterns
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.formats.conversion import FOLDERS
from hf_assets.sources.formats.lance_fragments import Repository
from hf_assets.sources.places import media_folder
from hf_assets.sources.spec import (
    LISTED_PATH,
    MAX_MEDIA_BYTES,
    MEDIA_SUFFIXES,
    DataFile,
    Part,
    Snapshot,
    SourceSpec,
    is_larger,
)

MD5 = re.compile(r'"?([0-9a-f]{32})"?')
FETCH_THREADS = 16
# Copies of files that are turned into Parquet go when they are so old.
COPY_S = 24 * 3600


class BucketFiles:
    """The objects below one address. One that changes during a run stops the run.

    Media are read by range, or object by object, and no copy of them is kept.
    """

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.asked = spec
        self.spec = spec.model_copy(update={"streaming": True})
        scheme, _, rest = spec.dataset_name.partition("://")
        bucket, _, self.prefix = rest.strip("/").partition("/")
        self.address = Address(f"{scheme}://{bucket}", spec.endpoint, spec.region)
        self.memory = memory
        self.tables = listing.Tables(memory)
        self._objects: dict[str, Object] | None = None
        self._repository: Repository | None = None

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        if file.content:
            if self._repository is None:
                self._repository = self._open_repository()
            return self.tables.of(file, snapshot.format, self._repository).open("rb")
        found = self._object(file)
        return cast(BinaryIO, io.BufferedReader(_Ranges(self, found), 1 << 16))

    def open_media(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        return self.open_ranges(snapshot, file)

    def fetches(self, snapshot: Snapshot, file: DataFile) -> bool:
        return False

    def locate(self, snapshot: Snapshot, paths: pa.Array) -> pa.Array:
        names = {name for name in paths.unique().to_pylist() if name is not None} & self.objects.keys()
        return listing.look_up(paths, listing.table_of(self._entries(sorted(names))), "hash")

    def paths(self, snapshot: Snapshot) -> Iterable[str]:
        return list(self.objects)

    def bytes_to_read(self, snapshot: Snapshot, files: Sequence[DataFile]) -> int:
        return sum(self.objects[file.path].num_bytes for file in files if file.path in self.objects)

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        return self._fetch(file)

    def read(self, snapshot: Snapshot, file: DataFile, at_most: int = MAX_MEDIA_BYTES) -> bytes | None:
        found = self._object(file)
        if is_larger(found.num_bytes, file.path, at_most):
            return None
        return self.data_of(found)

    @property
    def objects(self) -> dict[str, Object]:
        """What lies below the address, by path; listed once."""
        if self._objects is None:
            self._objects = self._list()
        return self._objects

    def data_of(self, found: Object) -> bytes:
        """All of an object, as it was listed.

        Raises:
            DatasetError: it has changed since.
        """
        with self._gone(found):
            data, version = object_client.call(self.address, "get", found.key)
        if version[0] != found.version[0]:
            raise self._change_error(found)
        return bytes(data)

    def range_of(self, found: Object, start: int, stop: int) -> bytes:
        """Some bytes of an object, as it was listed.

        Raises:
            DatasetError: it has changed since.
        """
        with self._gone(found):
            data = object_client.call(self.address, "get_range_of", found.key, start, stop, found.version[0])
        if data is None:
            raise self._change_error(found)
        return bytes(data)

    @contextlib.contextmanager
    def _gone(self, found: Object) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise self._change_error(found) from None

    def _change_error(self, found: Object) -> DatasetError:
        where = f"{self.address.url}/{found.key}"
        return DatasetError(f'"{where}" has changed since raw_dataset was made: materialize raw_dataset again')

    def _list(self) -> dict[str, Object]:
        found: list[Object] = object_client.call(self.address, "list", self.prefix, True)
        start = len(self.prefix) + 1 if self.prefix else 0
        where = f'"{self.asked.dataset_name}"'
        named = {one.key[start:]: one for one in found if not one.key.endswith("/")}
        shown = {path: one for path, one in named.items() if not any(part[:1] == "." for part in path.split("/"))}
        if patterns.SETTINGS in named:
            shown[patterns.SETTINGS] = named[patterns.SETTINGS]
        if not shown:
            raise DatasetError(f"{where} holds no files: correct the address, or put the dataset there")
        return {require_name(path, where, DatasetError): one for path, one in shown.items()}

    def _object(self, file: DataFile) -> Object:
        found = self.objects.get(file.path)
        if found is None or self._hash(found) != file.content_hash:
            where = f"{self.asked.dataset_name}/{file.path}"
            raise DatasetError(f'"{where}" has changed since raw_dataset was made: materialize raw_dataset again')
        return found

    def _hash(self, found: Object) -> str:
        tag = found.version[0] or ""
        if self.address.url.startswith("s3://") and (md5 := MD5.fullmatch(tag)):
            return fingerprint.of_value(["md5", found.num_bytes, md5[1]])
        return fingerprint.of_value([*self.address, found.key, found.num_bytes, *found.version])

    def _entries(self, paths: list[str]) -> list[DataFile]:
        found = [(path, self.objects[path]) for path in paths]
        return [DataFile(path, self._hash(one), one.num_bytes) for path, one in found]

    def _fetch(self, file: DataFile) -> Path:
        """A copy on this machine of a file that is turned into Parquet, for a while."""
        path = self.memory / "fetched" / file.content_hash / os.path.basename(file.path)
        if not path.exists():
            found = self._object(file)
            files.write_atomically(path, self.data_of(found))
        return path

    def _forget(self) -> None:
        """List anew, and remove old copies."""
        self._objects = None
        for folder in (self.memory / "fetched").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > COPY_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def _open_repository(self) -> Repository:
        return Repository(lambda: list(self.objects), self._entries, self._fetch)


class BucketSource(BucketFiles):
    """A dataset in the Hub's layout. Its files' sizes and ETags stand in for a commit."""

    def resolve(self) -> Snapshot:
        """List the split's files with their hashes.

        Which files make up the split is `datasets`' own resolution, over empty files of the same names.

        Raises:
            DatasetError: no files there, no such configuration or split.
        """
        if self.asked.revision is not None:
            raise DatasetError(
                f'"{self.asked.dataset_name}" has no revisions: remove revision "{self.asked.revision}" from the config'
            )
        self._forget()
        everything = {path: self._hash(one) for path, one in self.objects.items()}
        known = self._read_split(everything)
        if known is None:
            known = self._resolve(everything)
            files.write_atomically(self._memory_of(everything), json.dumps(known).encode())
        tables, media, format, parts = known
        split = tuple(DataFile(*file) for file in tables)
        commit = fingerprint.of_value([[[file.path, file.content_hash] for file in split], media])
        return Snapshot(
            self.asked.dataset_name, commit, False, split, media, format, tuple(Part(*part) for part in parts)
        )

    def _resolve(self, everything: dict[str, str]) -> list[Any]:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name).resolve()
            for path in everything:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                is_read = path in (patterns.README, patterns.SETTINGS) or listing.is_metadata(path, None)
                (root / path).write_bytes(self.data_of(self.objects[path]) if is_read else b"")
            try:
                listed = data_files_of(self.asked.model_copy(update={"dataset_name": str(root)}), None)
            except DatasetError as error:
                raise DatasetError(str(error).replace(str(root), self.asked.dataset_name)) from None
            paths, siblings = ([_below(one, root) for one in some] for some in (listed.paths, listed.siblings))
        repository = self._open_repository()
        entries, parts = repository.split(paths, listed.parts)
        tables, parts = self.tables.split(entries, siblings, listed.format, parts, repository)
        is_folder = listed.format is not None and listed.format.kind in FOLDERS
        own = [entry for entry in entries if is_folder and listing.is_of_folder(entry.path, listed.format)]
        held = set(siblings)
        media = [*own, *self._entries([path for path in everything if listing.is_media(path) and path not in held])]
        format = "" if listed.format is None else listed.format.dumps()
        return [tables, listing.media_fingerprint(media), format, parts]

    def _memory_of(self, everything: dict[str, str]) -> Path:
        spec = self.asked
        asked = [data_files.VERSION, spec.dataset_name, spec.dataset_config, spec.split, spec.data_files]
        return self.memory / "splits" / f"{fingerprint.of_value([*asked, sorted(everything.items())])}.json"

    def _read_split(self, everything: dict[str, str]) -> list[Any] | None:
        try:
            tables, media, format, parts = json.loads(self._memory_of(everything).read_bytes())
            listed = [DataFile(*file) for file in tables]
        except (OSError, ValueError, TypeError):
            return None
        if any(file.content == listing.LISTED and not self.tables.is_kept(file) for file in listed):
            return None
        return [tables, media, format, parts]


class BucketFolder(BucketFiles):
    """A folder of media files, at any depth, as SimpleTuner's backends of type `aws` have it."""

    def resolve(self) -> Snapshot:
        """List the media files, and make the table of their captions if anything about it changed.

        Raises:
            DatasetError: no media there, or the table of captions can't be read.
        """
        rules = self.asked.folder
        assert rules is not None
        self._forget()
        suffixes = MEDIA_SUFFIXES[rules.media]
        paths = sorted(
            (path for path in self.objects if path.lower().endswith(suffixes)), key=lambda one: one.split("/")
        )
        if not paths:
            raise DatasetError(f'"{self.asked.dataset_name}" holds no {rules.media} files: add some, or correct it')
        beside = self._beside(paths)
        hashes = [[path, self._hash(self.objects[path])] for path in beside]
        asked = [media_folder.VERSION, rules.model_dump(), paths, hashes]
        table = DataFile(LISTED_PATH, fingerprint.of_value(asked), 0, listing.LISTED)
        if not self.tables.is_kept(table):

            def make(root: Path) -> pa.Table:
                return media_folder.table_of(root, paths, rules, [root / one for one in beside])

            made = self._with_copies(beside, make)
            with files.open_atomically(self.tables.path(table)) as temporary:
                pq.write_table(made, temporary, compression="zstd", write_page_checksum=True)
        media = self._entries(paths)
        commit = fingerprint.of_value([[file.path, file.hash] for file in (*media, table)])
        return Snapshot(self.asked.dataset_name, commit, False, (table,), listing.media_fingerprint(media))

    def _beside(self, media: list[str]) -> list[str]:
        """The objects from which captions, lyrics and sizes are read."""
        rules = self.asked.folder
        assert rules is not None
        texts = sorted(set(media_folder.sidecars(self.objects, media, rules)))
        if rules.table is None:
            return texts
        if rules.table.path not in self.objects:
            where = f"{self.asked.dataset_name}/{rules.table.path}"
            raise DatasetError(f'the table of captions "{where}" does not exist: correct its path, or add it')
        return [*texts, rules.table.path]

    def _with_copies(self, paths: list[str], make: Callable[[Path], pa.Table]) -> pa.Table:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)

            def copy(path: str) -> None:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(self.data_of(self.objects[path]))

            for _ in map_ahead(copy, paths, threads=FETCH_THREADS, ahead=FETCH_THREADS):
                pass
            try:
                return make(root)
            except DatasetError as error:
                raise DatasetError(str(error).replace(str(root), self.asked.dataset_name)) from None


class _Ranges(io.RawIOBase):
    """An object of which each read is a request."""

    def __init__(self, files: BucketFiles, found: Object) -> None:
        self.files, self.found, self.at = files, found, 0

    def readinto(self, buffer: Any) -> int:
        data = self.files.range_of(self.found, self.at, min(self.at + len(buffer), self.found.num_bytes))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.found.num_bytes}[whence]
        self.at = start + offset
        return self.at

    def tell(self) -> int:
        return self.at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _below(name: str, root: Path) -> str:
    below = os.path.relpath(name, root)
    return f"{below}/".removeprefix("./") if name.endswith("/") else below

"""Splits of datasets on the Hub: resolved to a commit, listed with content hashes, opened by range or fetched whole."""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint
from hf_assets.errors import DatasetError
from hf_assets.hub import api, guard, hashes, last_seen, whole_files
from hf_assets.hub.hashes import FileHashes
from hf_assets.hub.listing_checks import require_hash, require_name
from hf_assets.sources import data_files, listing, streaming, unicode_names
from hf_assets.sources.formats.conversion import FOLDERS, Format
from hf_assets.sources.formats.lance_fragments import Repository, is_fragment
from hf_assets.sources.places.read_ranges import ReadRanges
from hf_assets.sources.spec import MAX_MEDIA_BYTES, DataFile, Part, Snapshot, SourceSpec, is_larger

T = TypeVar("T")


class HubSource:
    """A dataset repository on the Hub."""

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.spec = spec.model_copy(update={"streaming": False}) if spec.whole_files else spec
        self.memory = memory
        self.tables = listing.Tables(memory)
        self.ranges = ReadRanges(memory / "ranges")
        self.hashes = FileHashes(memory / "fetched_hashes.json", written_once=True)
        self.listings: dict[str, pa.Table] = {}
        self.repositories: dict[str, Repository] = {}

    def resolve(self) -> Snapshot:
        """Resolve the revision to a commit, and list the split's files there with their hashes.

        The Hub is asked once for the commit and the hashes; which files make up the split is `datasets`' own
        resolution, remembered per commit. A remembered listing of a full commit sha is taken without asking, and where
        the Hub can't be reached, that of the commit that was seen last (`last_seen`).

        Raises:
            DatasetError: no such dataset, revision, configuration or split; gated; the Hub can't be reached.
        """
        spec = self.spec
        if spec.is_pinned and (known := self._read_listing(str(spec.revision))) is not None:
            return Snapshot(spec.dataset_name, str(spec.revision), False, *known)
        try:
            info = self._info(spec.revision, self._as_last_seen)
        except DatasetError as error:
            is_unanswered = any(words in str(error) for words in ("can't be reached", "HF_HUB_OFFLINE"))
            if is_unanswered and last_seen.recall(self.memory, self.asked) is not None:
                raise DatasetError(f'split "{spec.split}" was not listed before, and {error}') from None
            if not any(words in str(error) for words in ("is not on the Hub", "can't be reached")):
                raise
            raise DatasetError(f'there is no folder "{spec.dataset_name}" here, and {error}') from None
        if isinstance(info, Snapshot):
            return info
        commit = str(info.sha)
        last_seen.reached(self.memory, self.asked, commit)
        split = self._read_listing(commit)
        if split is None:
            split = self._list(info)
            files.write_atomically(self._memory_of(commit), json.dumps(split).encode())
        return Snapshot(spec.dataset_name, commit, False, *split)

    @property
    def asked(self) -> tuple[str, str, str | None]:
        """Under what `last_seen` knows this revision."""
        return ("dataset", self.spec.dataset_name, self.spec.revision)

    def _as_last_seen(self, failure: api.Failure) -> Snapshot | None:
        """The split at the commit that was seen last; None where that was never listed."""
        seen = last_seen.recall(self.memory, self.asked)
        known = None if seen is None else self._read_listing(seen.commit)
        if seen is None or known is None:
            return None
        last_seen.missed(self.memory, self.asked, f'dataset "{self.spec.dataset_name}"', seen, failure)
        return Snapshot(self.spec.dataset_name, seen.commit, False, *known)

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        """Open a file of which only the byte ranges that are read are fetched: read-ahead would fetch most of it.

        One that isn't Parquet is fetched and turned into it.
        """
        if file.content:
            return self._convert(snapshot, file).open("rb")
        return self.fetch(snapshot, file).open("rb") if self.spec.whole_files else self._open(snapshot, file)

    def open_media(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        if file.content:
            return self._convert(snapshot, file).open("rb")
        return self._open(snapshot, file) if self.spec.streaming else self.fetch(snapshot, file).open("rb")

    def fetches(self, snapshot: Snapshot, file: DataFile) -> bool:
        return not self.spec.streaming and not file.content and self._cached(snapshot, file) is None

    def locate(self, snapshot: Snapshot, paths: pa.Array) -> pa.Array:
        return listing.look_up(paths, self._listing(snapshot), "hash")

    def paths(self, snapshot: Snapshot) -> Iterable[str]:
        return self._repository(snapshot).list()

    def bytes_to_read(self, snapshot: Snapshot, files: Sequence[DataFile]) -> int:
        kept = _cache_of(snapshot)
        missing = [file for file in files if self.spec.streaming or not (kept / file.content_hash).exists()]
        if not missing:
            return 0
        paths = pa.array(sorted({file.path for file in missing}), pa.string())
        sizes = listing.look_up(paths, self._listing(snapshot), "num_bytes")
        return int(pc.sum(sizes).as_py() or 0)

    def read(self, snapshot: Snapshot, file: DataFile, at_most: int = MAX_MEDIA_BYTES) -> bytes | None:
        """All of a media file, unless it has more than `at_most` bytes; a damaged one is fetched again.

        Raises:
            DatasetError: it can't be fetched, or what was fetched is damaged, too.
            MediaError: it is too large to be held.
        """
        if self.spec.streaming:
            with self._open(snapshot, file) as handle:
                if is_larger(handle.seek(0, io.SEEK_END), file.path, at_most):
                    return None
                handle.seek(0)
                data = handle.read()
            if hashes.is_of(data, file.content_hash):
                return data
            raise self._damage_error(file, "it was read over the network")
        path = self._download(snapshot, file)
        if is_larger(path.stat().st_size, file.path, at_most):
            return None
        data = path.read_bytes()
        if not hashes.is_of(data, file.content_hash):
            path = self._download(snapshot, file, force_download=True)
            data = path.read_bytes()
        if hashes.is_of(data, file.content_hash):
            return data
        raise self._damage_error(file, f'check the disk of "{path}"')

    def _open(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        from huggingface_hub import HfFileSystem

        path = f"datasets/{snapshot.repository}@{snapshot.commit}/{file.path}"
        handle: Any = api.call(
            lambda: HfFileSystem().open(path, "rb", cache_type="none"),
            self._subject(snapshot.commit, file),
            lambda failure: None if (kept := self._cached(snapshot, file)) is None else kept.open("rb"),
        )
        if isinstance(handle, io.BufferedReader):
            return handle
        if file.num_bytes and handle.size != file.num_bytes:  # of ranges, no hash can be taken
            raise DatasetError(
                f'"{file.path}" of dataset "{self.spec.dataset_name}" has {handle.size:,d} bytes, not the '
                f"{file.num_bytes:,d} that the Hub listed: run again"
            )
        subject = self._subject(snapshot.commit, file)

        def note(ranges: dict[str, str]) -> None:
            if not self.spec.streaming:  # then no file is fetched whole
                self.ranges.note(file.content_hash, ranges)

        return cast(BinaryIO, _Ranges(handle, subject, lambda: self._cached(snapshot, file), note))

    def _convert(self, snapshot: Snapshot, file: DataFile) -> Path:
        return self.tables.of(file, snapshot.format, self._repository(snapshot))

    def _repository(self, snapshot: Snapshot) -> Repository:
        def entries(paths: list[str]) -> list[DataFile]:
            listed = self._listing(snapshot)
            names = pa.array(paths, pa.string())
            hashes, sizes = (listing.look_up(names, listed, column).to_pylist() for column in ("hash", "num_bytes"))
            return [DataFile(*file) for file in zip(paths, hashes, sizes, strict=True)]

        if snapshot.commit not in self.repositories:
            self.repositories[snapshot.commit] = Repository(
                lambda: self._listing(snapshot)["path"].to_pylist(),
                entries,
                lambda file: self.fetch(snapshot, file),
            )
        return self.repositories[snapshot.commit]

    def _listing(self, snapshot: Snapshot) -> pa.Table:
        """All files of the repository at a commit."""
        if snapshot.commit not in self.listings:
            path = self._memory_of_listing(snapshot.commit)
            table = files.read_table(path)
            if table is None:
                table = self._remember_listing(self._info(snapshot.commit))
            self.listings[snapshot.commit] = table
        return self.listings[snapshot.commit]

    def _remember_listing(self, info: Any) -> pa.Table:
        table = listing.table_of(self._data_file(sibling, sibling.rfilename) for sibling in info.siblings or ())
        files.write_table(self._memory_of_listing(str(info.sha)), table)
        return table

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        """Fetch a whole file through the Hugging Face cache: a file with the same content isn't fetched twice.

        A file of LFS is checked once against its hash, and fetched again where the cache holds a damaged one.

        Raises:
            DatasetError: it can't be fetched, or what was fetched is damaged, too; or what was read of it by range
                before was something else.
        """
        path = self._download(snapshot, file)
        if not self._is_whole(path, file):
            path = self._download(snapshot, file, force_download=True)
            if not self._is_whole(path, file):
                raise self._damage_error(file, f'check the disk of "{path}"')
        if not self.spec.whole_files and (span := self.ranges.differing(file.content_hash, path)) is not None:
            raise DatasetError(
                f'bytes {span} of "{file.path}" of dataset "{self.spec.dataset_name}" were other ones when they were '
                f"read by range: remove the folder {self.memory.parent} and set {whole_files.VARIABLE}=1, then run "
                "again"
            )
        return path

    def _damage_error(self, file: DataFile, remedy: str) -> DatasetError:
        return DatasetError(
            f'"{file.path}" of dataset "{self.spec.dataset_name}" isn\'t what its hash says, though fetched anew: '
            f"{remedy}, then run again"
        )

    def _download(self, snapshot: Snapshot, file: DataFile, force_download: bool = False) -> Path:
        from huggingface_hub import hf_hub_download

        name, commit = snapshot.repository, snapshot.commit

        def download() -> Path:
            return Path(
                hf_hub_download(name, file.path, repo_type="dataset", revision=commit, force_download=force_download)
            )

        def kept(failure: api.Failure) -> Path | None:
            return None if force_download else self._cached(snapshot, file)

        return api.call(download, self._subject(commit, file), kept)

    def _cached(self, snapshot: Snapshot, file: DataFile) -> Path | None:
        """Where the Hugging Face cache holds a file with this content; None where it doesn't."""
        kept = _cache_of(snapshot) / file.content_hash
        return kept if kept.is_file() else None

    def _is_whole(self, path: Path, file: DataFile) -> bool:
        blob = path.resolve()  # what commits share
        if len(file.content_hash) != hashes.SHA256_DIGITS:  # small files
            return hashes.git_sha1(blob) == file.content_hash
        return self.hashes.of([blob])[blob] == file.content_hash

    def _info(self, revision: str | None, otherwise: Callable[[api.Failure], Snapshot | None] | None = None) -> Any:
        from huggingface_hub import HfApi

        name = self.spec.dataset_name

        def ask() -> Any:
            return guard.described(lambda: HfApi().dataset_info(name, revision=revision, files_metadata=True))

        return api.call(ask, self._subject(revision), otherwise)

    def _list(self, info: Any) -> listing.Split:
        spec = self.spec
        self._require_access(info)
        listed = self._call(lambda: data_files.data_files_of(spec, info.sha), spec.revision)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        root = f"hf://datasets/{spec.dataset_name}@{info.sha}/"
        repository = Repository(
            lambda: siblings,
            lambda paths: [self._data_file(siblings.get(path), path) for path in paths],
            lambda file: self.fetch(Snapshot(spec.dataset_name, str(info.sha), False, ()), file),
        )
        entries, parts = repository.split(_inner_paths(root, listed.paths), listed.parts)
        beside = _inner_paths(root, listed.siblings)
        tables, parts = self.tables.split(entries, beside, listed.format, parts, repository)
        streaming.check(spec, tables, listed.format)
        media = self._media(entries, beside, siblings, listed.format)
        if media or any(map(is_fragment, tables)):
            self._remember_listing(info)
        format = "" if listed.format is None else listed.format.dumps()
        return listing.Split(tables, listing.media_fingerprint(media), format, parts)

    def _require_access(self, info: Any) -> None:
        from huggingface_hub import HfApi

        name = self.spec.dataset_name
        if info.gated:  # open to see for everyone; `datasets` would hide why it can't be read
            self._call(lambda: HfApi().auth_check(name, repo_type="dataset"), self.spec.revision)

    def _media(
        self, entries: list[DataFile], beside: list[str], siblings: dict[str, Any], format: Format | None
    ) -> list[DataFile]:
        """The files that rows may name: a folder's own, and media that belong to no split."""
        is_folder = format is not None and format.kind in FOLDERS
        own = [entry for entry in entries if is_folder and listing.is_of_folder(entry.path, format)]
        held = set(beside)
        others = [path for path in siblings if listing.is_media(path) and path not in held]
        media = [*own, *(self._data_file(siblings[path], path) for path in others)]
        unicode_names.require_distinct((file.path for file in media), f'dataset "{self.spec.dataset_name}"')
        return media

    def _data_file(self, sibling: Any, path: str) -> DataFile:
        if sibling is None:
            raise DatasetError(
                f'dataset "{self.spec.dataset_name}" keeps "{path}" outside its repository, where it has no hash: '
                "copy the file into it"
            )
        where = f'dataset "{self.spec.dataset_name}"'
        listed = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        content_hash = require_hash(listed, path, where, DatasetError)
        return DataFile(require_name(path, where, DatasetError), content_hash, int(sibling.size or 0))

    def _memory_of(self, commit: str) -> Path:
        spec = self.spec
        asked = [spec.dataset_name, commit, spec.dataset_config, spec.split, spec.data_files]
        return self.memory / "splits" / f"{fingerprint.of_value([data_files.VERSION, *asked])}.json"

    def _memory_of_listing(self, commit: str) -> Path:
        return self.memory / "listings" / f"{fingerprint.of_value([self.spec.dataset_name, commit])}.parquet"

    def _read_listing(self, commit: str) -> listing.Split | None:
        try:
            listed, media, format, parts = json.loads(self._memory_of(commit).read_bytes())
            tables = tuple(DataFile(*file) for file in listed)
            split = listing.Split(tables, str(media), str(format), tuple(Part(*part) for part in parts))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # a listing that is damaged is asked for anew
        if any(file.content == listing.LISTED and not self.tables.is_kept(file) for file in split.files):
            return None
        streaming.check(self.spec, split.files, Format.loads(split.format) if split.format else None)
        return split

    def _call(self, request: Callable[[], T], revision: str | None) -> T:
        return api.call(request, self._subject(revision))

    def _subject(self, revision: str | None, file: DataFile | None = None) -> api.Subject:
        need = "" if file is None else f'"{file.path}"'
        return api.Subject("dataset", self.spec.dataset_name, revision, DatasetError, need=need)


def _cache_of(snapshot: Snapshot) -> Path:
    """Where the Hugging Face cache keeps files of a dataset, named by what the Hub lists as their hashes."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=snapshot.repository, repo_type="dataset") / "blobs"


def _inner_paths(root: str, urls: list[str]) -> list[str]:
    """Paths within a repository; addresses elsewhere stay as they are."""
    return [url.removeprefix(root) for url in urls]


class _Ranges(io.RawIOBase):
    """A remote file of which each read is a call to the Hub: tried again, and with its errors.

    Attributes:
        cached: where the Hugging Face cache holds it, for when the Hub is gone.
        note: is given, at the end, the hash of each range that was read.
    """

    def __init__(
        self,
        handle: Any,
        subject: api.Subject,
        cached: Callable[[], Path | None],
        note: Callable[[dict[str, str]], None],
    ) -> None:
        self.handle = handle
        self.subject = subject
        self.cached = cached
        self.note = note
        self.ranges: dict[str, str] = {}

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        data = api.call(lambda: bytes(self.handle.read(size)), self.subject, lambda failure: self._kept(start, size))
        self.ranges[f"{start}-{start + len(data)}"] = fingerprint.of_bytes(data)
        return data

    def _kept(self, start: int, size: int) -> bytes | None:
        path = self.cached()
        if path is None:
            return None
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(size)
        self.seek(start + len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self.handle.seek(offset, whence))

    def tell(self) -> int:
        return int(self.handle.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.note(self.ranges)
        self.handle.close()
        super().close()

"""Splits of datasets on the Hub: resolved to a commit, listed with content hashes, opened by range or fetched whole."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from hf_assets import files, fingerprint
from hf_assets.errors import DatasetError
from hf_assets.sources import api, data_files
from hf_assets.sources.hashes import FileHashes
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec

SHA256_DIGITS = 64

T = TypeVar("T")


class HubSource:
    """A dataset repository on the Hub."""

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.spec = spec
        self.memory = memory / "splits"
        self.hashes = FileHashes(memory / "fetched_hashes.json", written_once=True)

    def resolve(self) -> Snapshot:
        """Resolve the revision to a commit, and list the split's files there with their hashes.

        The Hub is asked once for the commit and the hashes; which files make up the split is `datasets`' own
        resolution, remembered per commit. A remembered listing of a full commit sha is taken without asking.

        Raises:
            DatasetError: no such dataset, revision, configuration or split; gated; the Hub can't be reached.
        """
        spec = self.spec
        if spec.is_pinned and (known := self._remembered(str(spec.revision))) is not None:
            return Snapshot(spec.dataset_name, str(spec.revision), False, known)
        info = self._info()
        commit = str(info.sha)
        listed = self._remembered(commit)
        if listed is None:
            listed = self._list(info)
            files.write_atomically(self._memory_of(commit), json.dumps(listed).encode())
        return Snapshot(spec.dataset_name, commit, False, listed)

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        """Open a file of which only the byte ranges that are read are fetched: read-ahead would fetch most of it."""
        from huggingface_hub import HfFileSystem

        path = f"datasets/{snapshot.repository}@{snapshot.commit}/{file.path}"
        handle: Any = self._call(lambda: HfFileSystem().open(path, "rb", cache_type="none"), snapshot.commit)
        return cast(BinaryIO, _Ranges(handle, lambda read: self._call(read, snapshot.commit)))

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        """Fetch a whole file through the Hugging Face cache: a file with the same content isn't fetched twice.

        A file of LFS is held once against its hash, and fetched again where the cache holds a damaged one.

        Raises:
            DatasetError: it can't be fetched, or what was fetched is damaged, too.
        """
        path = self._download(snapshot, file)
        if self._is_whole(path, file):
            return path
        path = self._download(snapshot, file, force_download=True)
        if self._is_whole(path, file):
            return path
        raise DatasetError(
            f'"{file.path}" of dataset "{snapshot.repository}" isn\'t what its hash says, though fetched anew: '
            f'check the disk of "{path}", then run again'
        )

    def _download(self, snapshot: Snapshot, file: DataFile, force_download: bool = False) -> Path:
        from huggingface_hub import hf_hub_download

        name, commit = snapshot.repository, snapshot.commit
        return Path(
            self._call(
                lambda: hf_hub_download(
                    name, file.path, repo_type="dataset", revision=commit, force_download=force_download
                ),
                commit,
            )
        )

    def _is_whole(self, path: Path, file: DataFile) -> bool:
        if len(file.hash) != SHA256_DIGITS:
            return True  # git's hash of a small file, which isn't one of the content alone
        blob = path.resolve()  # what commits share
        return self.hashes.of([blob])[blob] == file.hash

    def _info(self) -> Any:
        from huggingface_hub import HfApi

        name, revision = self.spec.dataset_name, self.spec.revision
        return self._call(lambda: HfApi().dataset_info(name, revision=revision, files_metadata=True), revision)

    def _list(self, info: Any) -> tuple[DataFile, ...]:
        from huggingface_hub import HfApi

        spec = self.spec
        if info.gated:  # open to see for everyone; `datasets` would hide why it can't be read
            self._call(lambda: HfApi().auth_check(spec.dataset_name, repo_type="dataset"), spec.revision)
        urls = self._call(lambda: data_files.data_files_of(spec, info.sha), spec.revision)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        paths = [url.removeprefix(f"hf://datasets/{spec.dataset_name}@{info.sha}/") for url in urls]
        return tuple(self._data_file(siblings.get(path), path) for path in paths)

    def _data_file(self, sibling: Any, path: str) -> DataFile:
        if sibling is None:
            raise DatasetError(
                f'dataset "{self.spec.dataset_name}" keeps "{path}" outside its repository, where it has no hash: '
                "copy the file into it"
            )
        return DataFile(path, str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id), int(sibling.size or 0))

    def _memory_of(self, commit: str) -> Path:
        spec = self.spec
        name = fingerprint.of_value(
            [data_files.VERSION, spec.dataset_name, commit, spec.dataset_config, spec.split],
        )
        return self.memory / f"{name}.json"

    def _remembered(self, commit: str) -> tuple[DataFile, ...] | None:
        try:
            return tuple(DataFile(*file) for file in json.loads(self._memory_of(commit).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # a listing that is damaged is asked for anew

    def _call(self, request: Callable[[], T], revision: str | None) -> T:
        return api.call(request, api.Asked("dataset", self.spec.dataset_name, revision, DatasetError))


class _Ranges(io.RawIOBase):
    """A remote file of which each read is a call to the Hub: tried again, and with its errors."""

    def __init__(self, handle: Any, call: Callable[[Callable[[], bytes]], bytes]) -> None:
        self.handle = handle
        self.call = call

    def read(self, size: int = -1) -> bytes:
        return self.call(lambda: bytes(self.handle.read(size)))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self.handle.seek(offset, whence))

    def tell(self) -> int:
        return int(self.handle.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.handle.close()
        super().close()

"""Splits of datasets on the Hub: resolved to a commit, listed with content hashes, opened by range or fetched whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from hf_assets import files, fingerprint
from hf_assets.errors import DatasetError
from hf_assets.sources import api
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec

T = TypeVar("T")


class HubSource:
    """A dataset repository on the Hub."""

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.spec = spec
        self.memory = memory / "splits"

    def resolve(self) -> Snapshot:
        """Resolve the revision to a commit, and list the split's files there with their hashes.

        The Hub is asked once for the commit and the hashes; which files make up the split is `datasets`' own resolution, remembered per
        commit.

        Raises:
            DatasetError: no such dataset, revision, configuration or split; gated; the Hub can't be reached.
        """
        from huggingface_hub import HfApi

        spec = self.spec
        info = self._call(
            lambda: HfApi().dataset_info(spec.dataset_name, revision=spec.revision, files_metadata=True), spec.revision
        )
        commit = str(info.sha)
        listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        return Snapshot(
            spec.dataset_name, commit, False, tuple(self._data_file(listed, path) for path in self._paths(commit))
        )

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        """Open a file so that only the byte ranges that are read are fetched: no read-ahead, which would fetch most of it."""
        from huggingface_hub import HfFileSystem

        path = f"datasets/{snapshot.repository}@{snapshot.commit}/{file.path}"
        handle: Any = self._call(lambda: HfFileSystem().open(path, "rb", cache_type="none"), snapshot.commit)
        return handle  # type: ignore[no-any-return]

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        """Fetch a whole file through the Hugging Face cache: a file with the same content isn't fetched twice."""
        from huggingface_hub import hf_hub_download

        return Path(
            self._call(
                lambda: hf_hub_download(snapshot.repository, file.path, repo_type="dataset", revision=snapshot.commit),
                snapshot.commit,
            )
        )

    def _paths(self, commit: str) -> list[str]:
        spec = self.spec
        name = fingerprint.of_value([spec.dataset_name, commit, spec.dataset_config, spec.split])
        known = self.memory / f"{name}.json"
        if known.exists():
            paths: list[str] = json.loads(known.read_text())
            return paths
        urls = self._call(lambda: data_files_of(spec, spec.dataset_name, commit), spec.revision)
        paths = [url.removeprefix(f"hf://datasets/{spec.dataset_name}@{commit}/") for url in urls]
        files.write_atomically(known, json.dumps(paths).encode())
        return paths

    def _data_file(self, listed: dict[str, Any], path: str) -> DataFile:
        if path not in listed:
            raise DatasetError(
                f'dataset "{self.spec.dataset_name}" keeps "{path}" outside its repository, where it has no hash: copy the file into it'
            )
        sibling = listed[path]
        return DataFile(path, str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id), int(sibling.size or 0))

    def _call(self, request: Callable[[], T], revision: str | None) -> T:
        return api.call(request, kind="dataset", name=self.spec.dataset_name, revision=revision, error=DatasetError)

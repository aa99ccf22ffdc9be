"""Splits of local folders in the Hub's layout."""

import os
from pathlib import Path
from typing import BinaryIO

from hf_assets import fingerprint
from hf_assets.errors import DatasetError
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.hashes import FileHashes
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec


class LocalSource:
    """A folder. Its files' hashes stand in for a commit; a file that changes during a run stops the run.

    A file is hashed once, by SHA-256 as the Hub does for large files, and remembered in the folder `memory`.
    """

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.spec = spec
        self.hashes = FileHashes(memory / "file_hashes.json")

    def resolve(self) -> Snapshot:
        """List the split's files with their hashes.

        Raises:
            DatasetError: no such folder, configuration or split.
        """
        folder = Path(self.spec.dataset_name)
        if not folder.is_dir():
            raise DatasetError(
                f'dataset folder "{folder}" does not exist: correct dataset_name (on the Hub: user/name), or create it'
            )
        if self.spec.revision is not None:
            raise DatasetError(
                f'dataset folder "{folder}" has no revisions: remove revision "{self.spec.revision}" from the config'
            )
        root = folder.resolve()  # as `datasets` does, so that its paths lie below
        paths = [Path(name) for name in data_files_of(self.spec, None)]
        hashes = self.hashes.of(paths)
        listed = tuple(DataFile(os.path.relpath(path, root), hashes[path], path.stat().st_size) for path in paths)
        commit = fingerprint.of_value([[file.path, file.hash] for file in listed])
        return Snapshot(str(root), commit, True, listed)

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        return self.fetch(snapshot, file).open("rb")

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        path = Path(snapshot.repository) / file.path
        if not path.is_file() or self.hashes.of([path])[path] != file.hash:
            raise DatasetError(f'"{path}" has changed since raw_dataset was made: materialize raw_dataset again')
        return path

"""Splits of local folders in the Hub's layout."""

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from hf_assets import files, fingerprint
from hf_assets.errors import DatasetError
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec


class LocalSource:
    """A folder. Its files' hashes stand in for a commit; a file that changes during a run stops the run.

    A file is hashed once (SHA-256, as the Hub does for large files) and remembered by its size, times and inode in the folder `memory`.
    """

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.spec = spec
        self.memory = memory / "file_hashes.json"

    def resolve(self) -> Snapshot:
        """List the split's files with their hashes.

        Raises:
            DatasetError: no such folder, configuration or split.
        """
        folder = Path(self.spec.dataset_name)
        if not folder.is_dir():
            raise DatasetError(f'dataset folder "{folder}" does not exist: correct dataset_name, or create the folder')
        if self.spec.revision is not None:
            raise DatasetError(
                f'dataset folder "{folder}" has no revisions: remove revision "{self.spec.revision}" from the config'
            )
        paths = [Path(name) for name in data_files_of(self.spec, str(folder), None)]
        hashes = self._hashes(paths)
        listed = tuple(DataFile(os.path.relpath(path, folder), hashes[path], path.stat().st_size) for path in paths)
        commit = fingerprint.of_value([[file.path, file.hash] for file in listed])
        return Snapshot(str(folder), commit, True, listed)

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        return self.fetch(snapshot, file).open("rb")

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        path = Path(snapshot.repository) / file.path
        if not path.exists() or self._hashes([path])[path] != file.hash:
            raise DatasetError(f'"{path}" has changed since raw_dataset was made: materialize raw_dataset again')
        return path

    def _hashes(self, paths: list[Path]) -> dict[Path, str]:
        known: dict[str, str] = json.loads(self.memory.read_text()) if self.memory.exists() else {}
        keys = {path: _identity(path) for path in paths}
        fresh = {key: _sha256(path) for path, key in keys.items() if key not in known}
        if fresh:
            files.write_atomically(self.memory, json.dumps({**known, **fresh}).encode())
        return {path: {**known, **fresh}[key] for path, key in keys.items()}


def _identity(path: Path) -> str:
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

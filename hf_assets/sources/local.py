"""Splits of local folders in the Hub's layout."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import BinaryIO

from hf_assets import files, fingerprint
from hf_assets.errors import DatasetError
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec

# A file that changed this shortly before it was hashed can change again within one tick of the file system's clock.
SETTLED_AFTER_NS = 2_000_000_000


class LocalSource:
    """A folder. Its files' hashes stand in for a commit; a file that changes during a run stops the run.

    A file is hashed once (SHA-256, as the Hub does for large files) and remembered by its size, times and inode in the
    folder `memory`.
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
            raise DatasetError(
                f'dataset folder "{folder}" does not exist: correct dataset_name (on the Hub: user/name), or create it'
            )
        if self.spec.revision is not None:
            raise DatasetError(
                f'dataset folder "{folder}" has no revisions: remove revision "{self.spec.revision}" from the config'
            )
        root = folder.resolve()  # as `datasets` does, so that its paths lie below
        paths = [Path(name) for name in data_files_of(self.spec, None)]
        hashes = self._hashes(paths)
        listed = tuple(DataFile(os.path.relpath(path, root), hashes[path], path.stat().st_size) for path in paths)
        commit = fingerprint.of_value([[file.path, file.hash] for file in listed])
        return Snapshot(str(root), commit, True, listed)

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        return self.fetch(snapshot, file).open("rb")

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        path = Path(snapshot.repository) / file.path
        if not path.is_file() or self._hashes([path])[path] != file.hash:
            raise DatasetError(f'"{path}" has changed since raw_dataset was made: materialize raw_dataset again')
        return path

    def _hashes(self, paths: list[Path]) -> dict[Path, str]:
        known = self._remembered()
        found: dict[Path, str] = {}
        settled: dict[str, str] = {}
        for path in paths:
            state = _state(path)
            found[path] = known.get(state) or _sha256(path)
            if state not in known and _is_settled(path):
                settled[state] = found[path]
        if settled:
            files.write_atomically(self.memory, json.dumps({**known, **settled}).encode())
        return found

    def _remembered(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.memory.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}  # a memory that is damaged holds nothing: every file is hashed anew


def _state(path: Path) -> str:
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"


def _is_settled(path: Path) -> bool:
    """Whether another change would show in the file's times, as in git's index."""
    status = path.stat()
    return time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_AFTER_NS


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

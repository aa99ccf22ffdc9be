"""Splits of local folders in the Hub's layout."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from hf_assets import fingerprint, near_paths
from hf_assets.errors import DatasetError
from hf_assets.hub.hashes import FileHashes
from hf_assets.hub.listing_checks import require_name
from hf_assets.sources import listing, unicode_names
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.formats.conversion import FOLDERS
from hf_assets.sources.formats.lance_fragments import Repository
from hf_assets.sources.places.remembered_listing import remembered
from hf_assets.sources.spec import MAX_MEDIA_BYTES, DataFile, Snapshot, SourceSpec, is_larger


class LocalFiles:
    """The files of a local folder. One that changes during a run stops the run.

    A file is hashed once, by SHA-256 as the Hub does for large files, and remembered in the folder `memory`.
    """

    def __init__(self, spec: SourceSpec, memory: Path) -> None:
        self.spec = spec
        self.memory = memory
        self.hashes = FileHashes(memory / "file_hashes.json")
        self.tables = listing.Tables(memory)
        self.repositories: dict[str, Repository] = {}
        self.links = _Links(spec.follow_links)

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        if not file.content:
            return self.fetch(snapshot, file).open("rb")
        if snapshot.commit not in self.repositories:
            self.repositories[snapshot.commit] = self._repository(snapshot)
        return self.tables.of(file, snapshot.format, self.repositories[snapshot.commit]).open("rb")

    def open_media(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        return self.open_ranges(snapshot, file)

    def fetches(self, snapshot: Snapshot, file: DataFile) -> bool:
        return False

    def locate(self, snapshot: Snapshot, paths: pa.Array) -> pa.Array:
        root = Path(snapshot.repository)
        names = [name for name in paths.unique().to_pylist() if name is not None and _is_inside(root, name)]
        self.links.require_inside(root, [root / name for name in names])
        hashes = self.hashes.of([root / name for name in names])
        known = listing.table_of(DataFile(name, hashes[root / name], 0) for name in names)
        return listing.look_up(paths, known, "hash")

    def paths(self, snapshot: Snapshot) -> Iterable[str]:
        return self._repository(snapshot).list()

    def bytes_to_read(self, snapshot: Snapshot, files: Sequence[DataFile]) -> int:
        return 0

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        path = Path(snapshot.repository) / file.path
        self.links.require_inside(Path(snapshot.repository), [path])
        if not path.is_file() or self.hashes.of([path])[path] != file.content_hash:
            raise self._change_error(path)
        return path

    def read(self, snapshot: Snapshot, file: DataFile, at_most: int = MAX_MEDIA_BYTES) -> bytes | None:
        path = self.fetch(snapshot, file)
        if is_larger(path.stat().st_size, file.path, at_most):
            return None
        return path.read_bytes()

    def _repository(self, snapshot: Snapshot) -> Repository:
        root = Path(snapshot.repository)
        return Repository(
            lambda: [_below(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names],
            lambda paths: self._entries(root, [root / path for path in paths]),
            lambda file: self.fetch(snapshot, file),
        )

    def _change_error(self, path: Path) -> DatasetError:
        return DatasetError(f'"{path}" has changed since raw_dataset was made: materialize raw_dataset again')

    def _entries(self, root: Path, paths: list[Path]) -> list[DataFile]:
        self.links.require_inside(root, paths)
        for path in paths:
            require_name(os.path.relpath(path, root), f'the folder "{root}"', DatasetError)
        hashes = self.hashes.of(paths)
        return [DataFile(os.path.relpath(path, root), hashes[path], path.stat().st_size) for path in paths]


class _Links:
    """Keeps a folder to itself: its files may not be links to files of other places.

    Args:
        are_followed: they may.
    """

    def __init__(self, are_followed: bool) -> None:
        self.are_followed = are_followed
        self._folders: dict[Path, Path] = {}

    def require_inside(self, root: Path, paths: list[Path]) -> None:
        """Refuse files that don't lie below a folder.

        Args:
            root: resolved.

        Raises:
            DatasetError: which one, and where it leads.
        """
        for path in paths if not self.are_followed else ():
            if (folder := self._folders.get(path.parent)) is None:
                folder = self._folders[path.parent] = path.parent.resolve()
            real = path.resolve() if path.is_symlink() else folder / path.name
            if not real.is_relative_to(root) and not real.is_relative_to(_blobs_of(root)):
                raise DatasetError(
                    f'"{path}" leads out of the dataset\'s folder, to "{real}": copy the file into it, or set '
                    "follow_links to true if you trust it"
                )


def _blobs_of(root: Path) -> Path:
    """Where the files of a folder lie that is a snapshot in the Hugging Face cache; else the folder itself."""
    is_snapshot = root.parent.name == "snapshots" and root.parent.parent.name.startswith("datasets--")
    return root.parent.parent / "blobs" if is_snapshot else root


class LocalSource(LocalFiles):
    """A folder in the Hub's layout. Its files' hashes stand in for a commit."""

    def resolve(self) -> Snapshot:
        """List the split's files with their hashes.

        Raises:
            DatasetError: no such folder, configuration or split.
        """
        folder = Path(self.spec.dataset_name)
        if not folder.is_dir():
            raise DatasetError(
                f'dataset folder "{folder}" does not exist: correct dataset_name (on the Hub: user/name), or create it'
                f"{near_paths.hint(folder)}"
            )
        if self.spec.revision is not None:
            raise DatasetError(
                f'dataset folder "{folder}" has no revisions: remove revision "{self.spec.revision}" from the config'
            )
        root = folder.resolve()  # as `datasets` does, so that its paths lie below
        listed = remembered(self.spec, root, self.memory, lambda: data_files_of(self.spec, None))
        repository = self._repository(Snapshot(str(root), "", True, ()))
        entries, parts = repository.split([_below(name, root) for name in listed.paths], listed.parts)
        siblings = [_below(name, root) for name in listed.siblings]
        tables, parts = self.tables.split(entries, siblings, listed.format, parts, repository)
        is_folder = listed.format is not None and listed.format.kind in FOLDERS
        own = [entry for entry in entries if is_folder and listing.is_of_folder(entry.path, listed.format)]
        held = set(siblings)
        named = [path for path in media_below(root) if os.path.relpath(path, root) not in held]
        media = [*own, *self._entries(root, named)]
        unicode_names.require_distinct((file.path for file in media), f'dataset folder "{folder}"')
        commit = fingerprint.of_value([[file.path, file.content_hash] for file in (*entries, *media)])
        format = "" if listed.format is None else listed.format.dumps()
        return Snapshot(str(root), commit, True, tables, listing.media_fingerprint(media), format, parts)


def media_below(root: Path) -> list[Path]:
    """The media files of a folder and all folders below it, in the order of their paths; hidden ones are left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in names if not name.startswith(".") and listing.is_media(name)]
    found = [path for path in found if path.is_file()]  # not a link to nothing
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _below(name: str, root: Path) -> str:
    """A path within a folder; a slash behind it stays."""
    below = os.path.relpath(name, root)
    return f"{below}/".removeprefix("./") if name.endswith("/") else below


def _is_inside(root: Path, name: str) -> bool:
    """Whether a name that a row gives is one of the folder's files, and not one of another place."""
    return not os.path.isabs(name) and ".." not in Path(name).parts and (root / name).is_file()

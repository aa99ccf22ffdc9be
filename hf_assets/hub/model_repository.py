"""What a model repository holds, pinned to one commit and hashed without a download."""

import glob
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hf_assets.errors import ModelError
from hf_assets.hub import api, hashes

T = TypeVar("T")


class Repository(Protocol):
    """A folder or a Hub repository: the same files for as long as the object lives."""

    @property
    def name(self) -> str:
        """The Hub id, or the absolute path of the folder."""

    @property
    def sha(self) -> str | None:
        """The commit; None for a folder."""

    @property
    def paths(self) -> frozenset[str]:
        """Every file, relative to the root, with forward slashes."""

    def hash(self, path: str) -> str:
        """The hash of one file's content."""

    def fetch(self, paths: Iterable[str]) -> Path:
        """Make these files present on this machine, and return the folder that they lie in."""

    def read_json(self, path: str) -> dict[str, Any]:
        """One of the small configuration files."""


def resolve(repository: str, revision: str | None = None, *, hash_cache: Path | None = None) -> Repository:
    """List a repository at one commit. Of a Hub repository nothing is downloaded; of a folder nothing is hashed yet.

    Args:
        repository: a folder where there is one of that name, else a Hub id.
        revision: branch, tag or commit; None is the default branch.
        hash_cache: a JSON file that remembers the hashes of a folder's files by size, times and inode.

    Raises:
        ModelError: there is no such repository, revision or folder, or the Hub can't be reached.
    """
    folder = Path(repository).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ModelError(f"{repository} is a folder, which has no revisions: remove revision {revision!r}")
        return FolderRepository(folder.resolve(), hash_cache)
    if repository.startswith((".", "/", "~")) or repository.count("/") > 1 or "\\" in repository:
        raise ModelError(f"the model folder {folder} does not exist: check it, or give a Hub id such as user/model")
    return _list_hub(repository, revision)


@dataclass(frozen=True)
class FolderRepository:
    """A folder on this machine. Hidden files and folders are not part of it."""

    root: Path
    hash_cache: Path | None = None
    sha: None = None
    paths: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        found: set[str] = set()
        for folder, subfolders, names in os.walk(self.root, followlinks=True):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            inside = Path(folder).relative_to(self.root)
            found.update((inside / name).as_posix() for name in names if not name.startswith("."))
        object.__setattr__(self, "paths", frozenset(found))

    @property
    def name(self) -> str:
        return str(self.root)

    def hash(self, path: str) -> str:
        """The content's hash, taken when asked for: weights that nothing is loaded from are never read."""
        file = self.root / path
        return hashes.sha256(file) if self.hash_cache is None else hashes.FileHashes(self.hash_cache).of([file])[file]

    def fetch(self, paths: Iterable[str]) -> Path:
        return self.root

    def read_json(self, path: str) -> dict[str, Any]:
        try:
            data = (self.root / path).read_bytes()
        except FileNotFoundError:
            raise ModelError(f"{self.name} has no {path}: fetch the model again") from None
        return _parse_json(data, self.name, path)


@dataclass(frozen=True)
class HubRepository:
    """A Hub repository at one commit.

    Attributes:
        hashes: path -> LFS sha256 where the file is in LFS, else the git blob id.
    """

    name: str
    sha: str
    hashes: dict[str, str] = field(repr=False)

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(self.hashes)

    def hash(self, path: str) -> str:
        return self.hashes[path]

    def fetch(self, paths: Iterable[str]) -> Path:
        from huggingface_hub import snapshot_download

        patterns = [glob.escape(path) for path in paths]
        return Path(
            _call(lambda: snapshot_download(self.name, revision=self.sha, allow_patterns=patterns), self.name, self.sha)
        )

    def read_json(self, path: str) -> dict[str, Any]:
        from huggingface_hub import hf_hub_download

        file = _call(lambda: hf_hub_download(self.name, path, revision=self.sha), self.name, self.sha)
        return _parse_json(Path(file).read_bytes(), self.name, path)


def _list_hub(repository: str, revision: str | None) -> HubRepository:
    from huggingface_hub import HfApi

    info = _call(lambda: HfApi().model_info(repository, revision=revision, files_metadata=True), repository, revision)
    assert info.sha is not None
    hashes = {file.rfilename: str(file.lfs.sha256 if file.lfs else file.blob_id) for file in info.siblings or []}
    return HubRepository(repository, info.sha, hashes)


def _call(request: Callable[[], T], repository: str, revision: str | None) -> T:
    return api.call(request, api.Subject("model", repository, revision, ModelError))


def _parse_json(data: bytes, repository: str, path: str) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise ModelError(f"{repository}: {path} is not JSON ({error}): fetch the model again") from error
    if not isinstance(parsed, dict):
        raise ModelError(
            f"{repository}: {path} holds no JSON object but a {type(parsed).__name__}: fetch the model again"
        )
    return parsed

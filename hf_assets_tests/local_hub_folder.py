"""What a local Hub knows, as a folder: blobs by their sha256, and per repository its references and commits."""

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

RepoType = Literal["dataset", "model"]

REPO_ID = r"[\w-][\w.-]*/[\w-][\w.-]*"
CHUNK_BYTES = 64 * 1024
FIRST_DATE = "2024-01-01T00:00:00.000Z"

LFS_SUFFIXES = (".parquet", ".safetensors", ".bin")


@dataclass(frozen=True)
class File:
    """One file of one commit; its bytes are the blob named by their sha256.

    `pointer_size` is the size of the text that git keeps in place of an LFS file; null for a small file.
    """

    size: int
    sha256: str
    blob_id: str
    pointer_size: int | None
    last_commit: str = ""

    @property
    def etag(self) -> str:
        """What shows the client that it has these bytes already."""
        return self.blob_id if self.pointer_size is None else self.sha256

    def lfs(self, name_of_sha256: str) -> dict[str, object]:
        """The `lfs` entry of info, tree and paths-info, which name the hash differently; empty for a small file."""
        if self.pointer_size is None:
            return {}
        return {"lfs": {name_of_sha256: self.sha256, "size": self.size, "pointerSize": self.pointer_size}}


@dataclass(frozen=True)
class Commit:
    sha: str
    parent: str | None
    title: str
    date: str
    files: dict[str, File]


@dataclass
class Repository:
    """What lies in one repository's folder: its references, and one JSON file per commit."""

    folder: Path
    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def save(self) -> None:
        fields = {key: value for key, value in asdict(self).items() if key != "folder"}
        _write(self.folder / "repository.json", json.dumps(fields).encode())

    def add(self, commit: Commit) -> None:
        _write(self.folder / "commits" / f"{commit.sha}.json", json.dumps(asdict(commit)).encode())

    def commit(self, sha: str) -> Commit:
        return _read_commit(self.folder / "commits" / f"{sha}.json")

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full sha names, or LookupError."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if not re.fullmatch("[0-9a-f]{40}", sha) or not (self.folder / "commits" / f"{sha}.json").exists():
            raise LookupError(f"{self.folder.parent.name}/{self.folder.name} has no revision {revision!r}")
        return self.commit(sha)


@lru_cache(maxsize=256)
def _read_commit(path: Path) -> Commit:
    """A commit never changes, so one that was read is kept."""
    fields = json.loads(path.read_bytes())
    files = {path: File(**file) for path, file in fields.pop("files").items()}
    return Commit(files=files, **fields)


class HubFolder:
    """The repositories under `root`. Readers see each commit whole; one process at a time may write.

    Args:
        lfs_threshold: bytes from which a file counts as LFS, besides .parquet, .safetensors and .bin files.
    """

    def __init__(self, root: Path, *, lfs_threshold: int = 1024) -> None:
        self.root = Path(root)
        self.lfs_threshold = lfs_threshold
        self._writing = threading.Lock()
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path | None],
        *,
        repo_type: RepoType = "dataset",
        branch: str = "main",
        message: str = "Update",
    ) -> str:
        """Add or replace `files` (a None deletes) on the head of `branch`, and return the commit's sha.

        The sha follows from the repository's content and history, so the same commits give the same shas.
        """
        with self._writing:
            repository = self.load(repo_type, repo_id) or Repository(self._folder(repo_type, repo_id))
            if repository.branches and branch not in repository.branches:
                raise LookupError(f"{repo_id} has no branch {branch!r}: call create_branch first")
            parent = repository.resolve(branch) if repository.branches else None
            kept = dict(parent.files) if parent else {}
            new: dict[str, File] = {}
            for path, content in files.items():
                if PurePosixPath(path).as_posix() != path or path.startswith("/") or ".." in path.split("/"):
                    raise ValueError(f"{path!r} is not a plain relative path")
                if content is None and path not in kept:
                    raise LookupError(f"{repo_id} has no file {path!r} to delete")
                kept.pop(path, None)
                if content is not None:
                    new[path] = self._add_blob(path, content)

            parent_sha = parent.sha if parent else None
            blobs = sorted((path, file.sha256) for path, file in {**kept, **new}.items())
            identity = json.dumps([repo_type, repo_id, parent_sha, message, blobs])
            sha = hashlib.sha1(identity.encode()).hexdigest()
            date = _a_minute_later(parent.date) if parent else FIRST_DATE
            kept |= {path: replace(file, last_commit=sha) for path, file in new.items()}
            repository.add(Commit(sha, parent_sha, message, date, dict(sorted(kept.items()))))
            repository.branches[branch] = sha
            repository.save()
            return sha

    def create_branch(self, repo_id: str, name: str, at: str = "main", *, repo_type: RepoType = "dataset") -> None:
        """Let the branch `name` point at the revision `at`; an existing branch is moved there."""
        with self._changing(repo_type, repo_id) as repository:
            repository.branches[name] = repository.resolve(at).sha

    def create_tag(self, repo_id: str, name: str, at: str = "main", *, repo_type: RepoType = "dataset") -> None:
        """Let the tag `name` point at the revision `at`; an existing tag is moved there."""
        with self._changing(repo_type, repo_id) as repository:
            repository.tags[name] = repository.resolve(at).sha

    def set_private(self, repo_id: str, private: bool = True, *, repo_type: RepoType = "dataset") -> None:
        """Hide the repository from requests without an accepted token."""
        with self._changing(repo_type, repo_id) as repository:
            repository.private = private

    def set_gated(self, repo_id: str, gated: bool = True, *, repo_type: RepoType = "dataset") -> None:
        """Refuse downloads without an accepted token; info and listings stay open."""
        with self._changing(repo_type, repo_id) as repository:
            repository.gated = gated

    def delete_repo(self, repo_id: str, *, repo_type: RepoType = "dataset") -> None:
        """Delete a repository with its history; its blobs stay."""
        with self._writing:
            shutil.rmtree(self._folder(repo_type, repo_id))

    def load(self, repo_type: str, repo_id: str) -> Repository | None:
        """The repository as it is now, or None."""
        folder = self._folder(repo_type, repo_id)
        try:
            return Repository(folder, **json.loads((folder / "repository.json").read_bytes()))
        except FileNotFoundError:
            return None

    def _folder(self, repo_type: str, repo_id: str) -> Path:
        if not re.fullmatch(REPO_ID, repo_id):
            raise ValueError(f"{repo_id!r} is not a repository id: write owner/name")
        return self.root / f"{repo_type}s" / repo_id

    @contextmanager
    def _changing(self, repo_type: str, repo_id: str) -> Iterator[Repository]:
        with self._writing:
            repository = self.load(repo_type, repo_id)
            if repository is None:
                raise LookupError(f"there is no {repo_type} {repo_id}: commit to it first")
            yield repository
            repository.save()

    def _add_blob(self, path: str, content: bytes | Path) -> File:
        """Keep the bytes, and describe the file that `path` will be."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
        with opened(content) as source, tempfile.NamedTemporaryFile(dir=self.root / "blobs", delete=False) as copy:
            while chunk := source.read(CHUNK_BYTES):
                sha256.update(chunk)
                sha1.update(chunk)
                copy.write(chunk)
        os.replace(copy.name, self.root / "blobs" / sha256.hexdigest())
        lfs = size >= self.lfs_threshold or path.endswith(LFS_SUFFIXES)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256.hexdigest()}\nsize {size}\n".encode()
        blob_id = git_sha1(pointer) if lfs else sha1.hexdigest()
        return File(size, sha256.hexdigest(), blob_id, len(pointer) if lfs else None)


def opened(content: bytes | Path) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Replace the file in one step, so that a request reads the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(content)
    os.replace(temporary.name, path)


def _a_minute_later(date: str) -> str:
    return (datetime.fromisoformat(date) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")

"""What a model repository holds, pinned to one commit and hashed without a download."""

import glob
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hf_assets import near_paths
from hf_assets.errors import ModelError
from hf_assets.hub import api, guard, hashes, last_seen, whole_files
from hf_assets.hub.listing_checks import require_hash, require_name

T = TypeVar("T")

# Of configurations and indexes: those of the largest models have some hundred kB.
MAX_JSON_BYTES = 64 << 20


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
    folder = Path(os.path.expanduser(repository))
    if folder.is_dir():
        if revision is not None:
            raise ModelError(f"{repository} is a folder, which has no revisions: remove revision {revision!r}")
        return FolderRepository(folder.resolve(), hash_cache)
    if repository.startswith((".", "/", "~")) or repository.count("/") > 1 or "\\" in repository:
        meant = near_paths.hint(folder)
        raise ModelError(
            f"the model folder {folder} does not exist: check it, or give a Hub id such as user/model{meant}"
        )
    try:
        return _list_hub(repository, revision, hash_cache)
    except ModelError as error:
        if not any(words in str(error) for words in ("is not on the Hub", "can't be reached")):
            raise
        raise ModelError(f'there is no folder "{repository}" here, and {error}') from None


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
            above = {os.path.realpath(folder), *map(os.path.realpath, Path(folder).parents)}
            places = {name: os.path.realpath(os.path.join(folder, name)) for name in subfolders if name[:1] != "."}
            subfolders[:] = [name for name, place in places.items() if place not in above]  # no link leads round
            inside = Path(folder).relative_to(self.root)
            # a pipe, or a device, would be waited for
            shown = [name for name in names if name[:1] != "." and os.path.isfile(os.path.join(folder, name))]
            found.update((inside / name).as_posix() for name in shown)
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
            if not (self.root / path).is_file():  # nor a pipe
                raise FileNotFoundError
            require_json_size((self.root / path).stat().st_size, self.name, path)
            data = (self.root / path).read_bytes()
        except FileNotFoundError:
            raise ModelError(f"{self.name} has no {path}: fetch the model again") from None
        return _parse_json(data, self.name, path)


@dataclass(frozen=True)
class FileRepository(FolderRepository):
    """One file on this machine: the others of its folder are no part of it.

    Attributes:
        file: its name.
    """

    file: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", frozenset({self.file}))


def file_of(path: Path, hash_cache: Path | None) -> FileRepository:
    """A file on this machine as a repository of its own."""
    return FileRepository(path.parent, hash_cache, file=path.name)


def shapes_in(repository: Repository, path: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors of a safetensors file. Of one on the Hub only its header is fetched.

    Raises:
        ModelError: it is no file of safetensors.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import SafetensorsParsingError

    if whole_files.are_wanted():
        return _local_shapes(repository.fetch([path]) / path)
    if isinstance(repository, FolderRepository):
        return _local_shapes(repository.root / path)
    try:
        header = _call(
            lambda: HfApi().parse_safetensors_file_metadata(repository.name, path, revision=repository.sha),
            repository.name,
            repository.sha,
        )
    except SafetensorsParsingError as error:
        raise ModelError(f"{repository.name}: {path} is no file of safetensors ({error}): choose another") from error
    return {name: tuple(info.shape) for name, info in header.tensors.items()}


def _local_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        data = file.read(length) if length <= MAX_JSON_BYTES else b""
    try:
        header = json.loads(data)
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise ModelError(f"{path} is no file of safetensors, or not whole: fetch it again") from None


@dataclass(frozen=True)
class HubRepository:
    """A Hub repository at one commit.

    Attributes:
        hashes: path -> LFS sha256 where the file is in LFS, else the git blob id.
        memory: a JSON file that remembers the hashes of fetched files.
    """

    name: str
    sha: str
    hashes: dict[str, str] = field(repr=False)
    memory: Path | None = field(default=None, repr=False, compare=False)

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(self.hashes)

    def hash(self, path: str) -> str:
        return self.hashes[path]

    def fetch(self, paths: Iterable[str]) -> Path:
        wanted = list(paths)
        folder = self._download(wanted)
        if damaged := self._damaged_files(folder, wanted):
            folder = self._download(damaged, force_download=True)
            if damaged := self._damaged_files(folder, damaged):
                raise ModelError(
                    f'"{damaged[0]}" of {self.name} isn\'t what its hash says, though fetched anew: '
                    f'check the disk of "{folder}", then run again'
                )
        return folder

    def _download(self, paths: list[str], force_download: bool = False) -> Path:
        from huggingface_hub import snapshot_download

        for path in paths:
            require_name(path, f'model "{self.name}"', ModelError)
        if not force_download and (folder := _cached_folder(self.name, self.sha, paths)) is not None:
            return folder
        patterns = [glob.escape(path) for path in paths]

        def download() -> str:
            folder = snapshot_download(
                self.name, revision=self.sha, allow_patterns=patterns, force_download=force_download
            )
            if not all((Path(folder) / path).exists() for path in paths):  # the Hub wasn't reached, and nothing said so
                api.raise_unanswered()
            return folder

        lacking = [path for path in paths if _cached_folder(self.name, self.sha, [path]) is None] or paths
        more = f" and {len(lacking) - 1:,} more files" if len(lacking) > 1 else ""
        return Path(_call(download, self.name, self.sha, f'"{lacking[0]}"{more}'))

    def _damaged_files(self, folder: Path, paths: list[str]) -> list[str]:
        """The files whose bytes aren't those that the Hub listed."""
        memory = None if self.memory is None else hashes.FileHashes(self.memory, written_once=True)
        found = []
        for path in paths:
            blob = (folder / path).resolve()
            if len(self.hashes[path]) != hashes.SHA256_DIGITS:
                is_whole = hashes.git_sha1(blob) == self.hashes[path]
            else:
                is_whole = (memory.of([blob])[blob] if memory else hashes.sha256(blob)) == self.hashes[path]
            if not is_whole:
                found.append(path)
        return found

    def read_json(self, path: str) -> dict[str, Any]:
        from huggingface_hub import hf_hub_download

        def download(force_download: bool) -> bytes:
            require_name(path, f'model "{self.name}"', ModelError)
            return Path(
                _call(
                    lambda: hf_hub_download(self.name, path, revision=self.sha, force_download=force_download),
                    self.name,
                    self.sha,
                    f'"{path}"',
                )
            ).read_bytes()

        data = download(False)
        if path in self.hashes and not hashes.is_of(data, self.hashes[path]):
            data = download(True)
            if not hashes.is_of(data, self.hashes[path]):
                raise ModelError(f"{self.name}: {path} isn't what its hash says, though fetched anew: run again")
        return _parse_json(data, self.name, path)


def _cached_folder(name: str, sha: str, paths: list[str]) -> Path | None:
    """Where the Hugging Face cache holds these files of a commit; None where it lacks one."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots" / sha
    return folder if all((folder / path).is_file() for path in paths) else None


def asked(repository: str, revision: str | None) -> tuple[str, str, str | None]:
    """Under what `last_seen` knows a model."""
    return ("model", repository, revision)


def _list_hub(repository: str, revision: str | None, memory: Path | None) -> HubRepository:
    """As the Hub lists it; a commit sha that was listed before is not asked for again, nor a branch in an outage."""
    from huggingface_hub import HfApi

    def known(failure: api.Failure | None = None) -> HubRepository | None:
        seen = None if memory is None else last_seen.recall(memory.parent, asked(repository, revision))
        if memory is None or seen is None or not isinstance(seen.content, dict):
            return None
        if failure is not None:
            last_seen.missed(memory.parent, asked(repository, revision), f'model "{repository}"', seen, failure)
        return HubRepository(repository, seen.commit, seen.content, memory)

    if api.is_commit(revision) and (pinned := known()) is not None:
        return pinned
    found = api.call(
        lambda: guard.described(lambda: HfApi().model_info(repository, revision=revision, files_metadata=True)),
        api.Subject("model", repository, revision, ModelError),
        known,
    )
    if isinstance(found, HubRepository):
        return found
    listed = _listed(found, repository, memory)
    if memory is not None:
        for name in dict.fromkeys((revision, listed.sha)):
            last_seen.reached(memory.parent, asked(repository, name), listed.sha, listed.hashes)
    return listed


def _listed(info: Any, repository: str, memory: Path | None) -> HubRepository:
    assert info.sha is not None
    listed = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in info.siblings or []}
    if not api.is_commit(info.sha):
        raise ModelError(f'the Hub gives {info.sha[:100]!r} for the commit of "{repository}", which is none: run again')
    where = f'model "{repository}"'
    found = {path: require_hash(content_hash, path, where, ModelError) for path, content_hash in listed.items()}
    return HubRepository(repository, info.sha, found, memory)


def _call(request: Callable[[], T], repository: str, revision: str | None, need: str = "") -> T:
    return api.call(request, api.Subject("model", repository, revision, ModelError, need=need))


def require_json_size(num_bytes: int, repository: str, path: str) -> None:
    if num_bytes > MAX_JSON_BYTES:
        raise ModelError(f"{repository}: {path} has {num_bytes:,d} bytes, more than a configuration has")


def _parse_json(data: bytes, repository: str, path: str) -> dict[str, Any]:
    require_json_size(len(data), repository, path)
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{repository}: {path} is not JSON ({error}): fetch the model again") from error
    if not isinstance(parsed, dict):
        raise ModelError(
            f"{repository}: {path} holds no JSON object but a {type(parsed).__name__}: fetch the model again"
        )
    return parsed

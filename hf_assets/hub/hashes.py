"""SHA-256 hashes of files, each taken once and remembered by the file's size, times and inode."""

import hashlib
import json
import time
from pathlib import Path

from hf_assets import blobs

# A file that changed this shortly before it was hashed can change again within one tick of the file system's clock.
SETTLED_AFTER_NS = 2_000_000_000


SHA256_DIGITS = 64


class FileHashes:
    """Hashes remembered in one file, `memory`.

    Args:
        written_once: the files are put in place whole and never written to, so that those that are a moment old are
            remembered, too.
    """

    def __init__(self, memory: Path, written_once: bool = False) -> None:
        self.memory = memory
        self.written_once = written_once
        self._known: dict[str, str] = {}
        self._known_at: tuple[int, int] | None = None

    def of(self, paths: list[Path]) -> dict[Path, str]:
        """The files' hashes."""
        known = self._read_memory()
        found: dict[Path, str] = {}
        settled: dict[str, str] = {}
        for path in paths:
            state = _state(path)
            found[path] = known.get(state) or sha256(path)
            if state not in known and (self.written_once or _is_settled(path)):
                settled[state] = found[path]
        if settled:
            blobs.at(self.memory.parent).update(self.memory.name, lambda data: _merge(data, settled))
        return found

    def _read_memory(self) -> dict[str, str]:
        """What the memory holds, read again when its file changed."""
        try:
            status = self.memory.stat()
            if (at := (status.st_mtime_ns, status.st_ino)) != self._known_at:
                self._known, self._known_at = dict(json.loads(self.memory.read_bytes())), at
        except (FileNotFoundError, ValueError, TypeError):
            self._known, self._known_at = {}, None  # a memory that is damaged holds nothing: every file is hashed anew
        return self._known


def _merge(data: bytes | None, hashes: dict[str, str]) -> bytes:
    """With what other processes have found out meanwhile."""
    try:
        known = dict(json.loads(data or b"{}"))
    except (ValueError, TypeError):  # damaged
        known = {}
    return json.dumps({**known, **hashes}).encode()


def _state(path: Path) -> str:
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"


def _is_settled(path: Path) -> bool:
    """Whether another change would show in the file's times, as in git's index."""
    status = path.stat()
    return time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_AFTER_NS


def sha256(path: Path) -> str:
    """The hash of a file, as the Hub lists it for large files."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_sha1(path: Path) -> str:
    """The hash of a file, as git, and the Hub, list it for small files."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_of(data: bytes, content_hash: str) -> bool:
    """Whether these are the bytes of a file that the Hub lists with this hash."""
    if len(content_hash) == SHA256_DIGITS:
        return hashlib.sha256(data).hexdigest() == content_hash
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == content_hash

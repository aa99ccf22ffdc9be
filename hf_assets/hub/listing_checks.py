"""What a listing of files says, checked before it becomes part of a path on this machine."""

import re

from hf_assets.errors import HfAssetsError

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 2048


def require_name(path: str, where: str, kind: type[HfAssetsError]) -> str:
    """A file's path within its repository or folder.

    Args:
        where: the repository, for messages.
        kind: of the error.

    Raises:
        HfAssetsError: it leads elsewhere, or can't be the name of a file.
    """
    if (wrong := _wrong_with(path)) is None:
        return path
    raise kind(f"{where} holds a file {path[:100]!a}, whose name {wrong}: rename it there")


def require_hash(content_hash: object, path: str, where: str, kind: type[HfAssetsError]) -> str:
    """A content's hash: LFS SHA-256, else git's.

    Raises:
        HfAssetsError: it is none.
    """
    if isinstance(content_hash, str) and HASH.fullmatch(content_hash):
        return content_hash
    raise kind(f"{where} lists {str(content_hash)[:100]!a} as the hash of {path[:100]!a}, which is none")


def _wrong_with(path: str) -> str | None:
    try:
        parts = path.encode().split(b"/")
    except UnicodeEncodeError:
        return "is not UTF-8"
    if any(character < " " or character == "\x7f" for character in path):
        return "has control characters"
    if any(part in (b"", b".", b"..") for part in parts):
        return "leads out of it"
    if max(map(len, parts)) > MAX_NAME_BYTES or len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None

"""Take a folder for exports of one format: one export at a time, and nothing of anybody else's is touched."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hf_assets import files
from hf_assets.errors import StoreError
from hf_assets.export.place import ENTRIES, GENERATIONS, LOCK, MANIFESTS, MARK, OBJECTS, Place


@contextlib.contextmanager
def opened(root: Path, format: str, id: str, say: Callable[[str], None], beside: Sequence[str] = ()) -> Iterator[Place]:
    """A folder of exports of one format, made where it isn't there, for one export at a time: others wait.

    Args:
        beside: files that the format has beside the datasets' folders.

    Raises:
        StoreError: it holds something else, or can't be written.
    """
    with files.explain_refusals(root / MARK, "folder to export to"):
        try:
            root.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise StoreError(f'"{root}" is a file: name a folder to export to') from None
        with (root / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another export to {root}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            _require_format(root, format, beside)
            if os.path.lexists(root / id) and not _is_own_link(root / id):
                raise _foreign(root / id)
            _remove_rests(root, id)
            yield Place(root)


def _is_own_link(link: Path) -> bool:
    return link.is_symlink() and os.readlink(link).startswith(f"{GENERATIONS}/{link.name}/")


def _foreign(path: Path) -> StoreError:
    return StoreError(f'"{path}" was not made by an export: move it, or export to another folder')


def _remove_rests(root: Path, id: str) -> None:
    """What a killed export had begun to write, but payloads, see `Place.remove_begun`.

    In the folder itself nothing is begun: what is called so there is somebody else's.
    """
    for folder in (root / ENTRIES, root / MANIFESTS / id, root / GENERATIONS / id):
        for path in folder.glob(f"{files.TEMPORARY_PREFIX}*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _require_format(root: Path, format: str, beside: Sequence[str]) -> None:
    mark = root / MARK
    if not mark.exists():
        for name in (OBJECTS, GENERATIONS, MANIFESTS, ENTRIES, *beside):
            if os.path.lexists(root / name):
                raise _foreign(root / name)
        begun = root / f"{MARK}{files.TEMPORARY_PREFIX}"
        with begun.open("wb") as file:
            file.write(_mark_of(format))
            file.flush()
            os.fsync(file.fileno())
        os.replace(begun, mark)
        return
    try:
        other = json.loads(mark.read_bytes())["format"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f'"{mark}" is damaged: write {_mark_of(format).decode()} into it, if {root} holds exports as {format}'
        ) from None
    if other != format:
        raise StoreError(f'"{root}" holds exports as {other}: export {format} to another folder')


def _mark_of(format: str) -> bytes:
    return json.dumps({"format": format}).encode()

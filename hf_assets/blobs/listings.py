"""What lies in folders on a disk, listed once by who looks at them several times, such as a step of a run.

Within `held`, a listing is taken again where the folder's own time shows that an entry came, went or was replaced
since, or where this process wrote there. A file that is altered in its place changes no time of the folder: it counts
as it was when it was listed. So who notes states before it reads the files notes nothing that was not so.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from hf_assets.blobs.interface import State

# A folder that was changed just before it is listed may change once more and have the same time: file systems' clocks
# tick in milliseconds, some in two seconds.
SETTLED_NS = 2_000_000_000


class _Listing(NamedTuple):
    """The files of a folder, and how the folder was before they were listed.

    Attributes:
        num_writes: by this process, as `changed` counts them.
    """

    states: Mapping[str, State]
    modified_ns: int
    num_writes: int


_held: ContextVar[dict[Path, _Listing] | None] = ContextVar("held listings", default=None)
_counter = itertools.count(1)
_writes: dict[Path, int] = {}


@contextlib.contextmanager
def held() -> Iterator[None]:
    """List each folder once while it stays as it is. One within another is the same one."""
    if _held.get() is not None:
        yield
        return
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


def drop() -> None:
    """List all folders again: other processes wrote there for this one, and some file systems keep no folder's time."""
    if (known := _held.get()) is not None:
        known.clear()


def changed(folder: Path) -> None:
    """This process writes to a folder."""
    _writes[folder] = next(_counter)


def states_of(folder: Path) -> Mapping[str, State]:
    """Size and time of the files of a folder by their names, in the order of these; none where there is no folder."""
    known, found = _held.get(), _known(folder)
    if found is not None:
        return found
    num_writes, modified_ns, started_ns = _writes.get(folder, 0), _modified_ns(folder), time.time_ns()
    states = _list(folder)
    if known is not None and modified_ns is not None and modified_ns < started_ns - SETTLED_NS:
        known[folder] = _Listing(states, modified_ns, num_writes)
    return states


def names_of(folder: Path) -> list[str]:
    """The names of `states_of`, for which no file is looked at."""
    found = _known(folder)
    if found is not None:
        return list(found)
    return [entry.name for entry in entries_of(folder) if entry.name[0] != "." and not entry.is_dir()]


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """All that lies in a folder, in the order of the names; nothing where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=attrgetter("name"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _known(folder: Path) -> Mapping[str, State] | None:
    found = (_held.get() or {}).get(folder)
    if found is None or found.num_writes != _writes.get(folder, 0) or found.modified_ns != _modified_ns(folder):
        return None
    return found.states


def _modified_ns(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None


def _list(folder: Path) -> dict[str, State]:
    states = {}
    for entry in entries_of(folder):
        name = entry.name
        if name[0] == "." or entry.is_dir():
            continue
        try:
            status = entry.stat()
        except FileNotFoundError:  # removed since it was listed
            continue
        states[name] = status.st_size, status.st_mtime_ns
    return states

"""What a table rests on, noted beside it: by that a run knows that it would make the same table again.

A memo holds nothing that isn't looked at again: it is believed where the table, what it was made from, and every file
that was read for it are as they were. Files are known by their sizes and times, which change whenever they are written.
"""

import contextlib
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hf_assets import blobs, files, fingerprint
from hf_assets import folder as places
from hf_assets.blobs import Location
from hf_assets.blobs import State as State
from hf_assets.blobs.location import relative, resolve
from hf_assets.errors import StoreError

# Bump when memos are written in another way: older ones are then as if they weren't there.
VERSION = 3


class Rest(NamedTuple):
    """Files of one folder that were read for a result.

    Attributes:
        files: by name, as they were before they were read.
        is_all: these are all files of the folder, and another one might have changed the result.
    """

    folder: Location
    files: Mapping[str, State]
    is_all: bool = False

    def is_unchanged(self, listed: Mapping[str, State]) -> bool:
        """Whether the files are as they were.

        Args:
            listed: what lies in the folder now.
        """
        if self.is_all:
            return listed == self.files
        return self.files.items() <= listed.items()


class Memo(NamedTuple):
    """What is noted of one table.

    Attributes:
        follows_from: hash of all that decides the table but what follows.
        inputs: of each table that it was made from, the data version and the file.
        version: the table's own data version.
        tables: the files that were written with it, by their names in the dataset's metadata folder.
        rests: what else was read.
        facts: what was said of the table when it was made: JSON.
        is_exact: the files written with it name places in an input: one that was written anew, with the same data
            version, may have others.
    """

    follows_from: str
    inputs: Mapping[str, tuple[str, State]]
    version: str
    tables: Mapping[str, State]
    rests: tuple[Rest, ...]
    facts: Mapping[str, Any]
    is_exact: bool = False

    def is_intact(self, folder: Location) -> bool:
        """Whether the table, and all files that it rests on, are as they were.

        Args:
            folder: metadata folder of the dataset.
        """
        if any(state_of(folder / name) != state for name, state in self.tables.items()):
            return False
        seen: dict[Location, Mapping[str, State]] = {}
        for rest in self.rests:
            if rest.folder not in seen:
                seen[rest.folder] = states_of(rest.folder)
        return all(rest.is_unchanged(seen[rest.folder]) for rest in self.rests)

    def identity(self, folder: Location) -> str:
        """Hash of all of it.

        Args:
            folder: metadata folder of the dataset.
        """
        return fingerprint.of_value(_as_json(self, folder))


def state_of(path: Location) -> State | None:
    """A file's state; None where there is none."""
    found = blobs.at(path.parent).stat(path.name)
    return None if found is None else (found.num_bytes, found.modified_ns)


def states_of(folder: Location) -> Mapping[str, State]:
    """The state of every file of a folder."""
    return blobs.at(folder).states()


def with_files(rests: Iterable[Rest], paths: Iterable[Location | None]) -> tuple[Rest, ...] | None:
    """More files, as they are now; None where one is missing."""
    found = [*rests]
    for path in paths:
        if path is None or (state := state_of(path)) is None:
            return None
        found.append(Rest(path.parent, {path.name: state}))
    return tuple(found)


def load(folder: Location, name: str) -> Memo | None:
    """The memo of a dataset's table; None where there is none that can be read."""
    found = identified(folder, name)
    return found and found[0]


def identified(folder: Location, name: str) -> tuple[Memo, str] | None:
    """`load`, and a hash of all that is noted."""
    try:
        return _parse(places.memo(folder, name).read_bytes(), folder)
    except OSError:
        return None


@functools.lru_cache(maxsize=8)  # a step looks at the same ones again and again
def _parse(data: bytes, folder: Location) -> tuple[Memo, str] | None:
    try:
        said = data[: len(_head("0" * 32))]
        body = data[len(said) : -1]
        if said != _head(found := _hash(body)):
            return None
        noted = json.loads(body)
        rests = tuple(
            Rest(resolve(one["folder"], folder), _states(one["files"]), one["is_all"]) for one in noted["rests"]
        )
        inputs = {table: (version, _state(state)) for table, (version, state) in noted["inputs"].items()}
        return Memo(**{**noted, "inputs": inputs, "tables": _states(noted["tables"]), "rests": rests}), found
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def save(folder: Location, name: str, memo: Memo) -> None:
    """Note a table's memo, once the table is there."""
    body = json.dumps(_as_json(memo, folder), separators=(",", ":")).encode()
    files.write_atomically(places.memo(folder, name), _head(_hash(body)) + body + b"}")


def _head(hash: str) -> bytes:
    """What JSON of a memo begins with, before what is hashed."""
    return b'{"hash":"%s","memo":' % hash.encode()


def _hash(body: bytes) -> str:
    return fingerprint.of_bytes(b"%d:%s" % (VERSION, body))


def forget(folder: Location, name: str) -> None:
    """Let the next run make a table anew: it was found damaged, which its size and time didn't show."""
    with contextlib.suppress(OSError, StoreError):  # who only reads may have no right to
        files.remove(places.memo(folder, name))


def forget_file(path: Location) -> None:
    """As `forget`, for the asset that wrote a file: its table, or one beside it (`{asset}_dropped.parquet`)."""
    for asset in (path.stem, path.stem.rpartition("_")[0]):
        if asset:
            forget(path.parent, asset)


def _states(files: Mapping[str, list[int]]) -> dict[str, State]:
    return {name: _state(state) for name, state in files.items()}


def _state(noted: list[int]) -> State:
    num_bytes, modified_ns = noted
    return num_bytes, modified_ns


def _as_json(memo: Memo, folder: Location) -> dict[str, Any]:
    """Folders are noted as they are seen from the dataset's, so that all can be moved together."""
    rests = [
        {"folder": relative(one.folder, folder), "files": dict(one.files), "is_all": one.is_all} for one in memo.rests
    ]
    return {**memo._asdict(), "rests": rests}

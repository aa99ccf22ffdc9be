"""Media that were streamed to be looked at, kept on this machine within a bound until they are encoded.

With `streaming: true` nothing of a dataset is copied for good, but a new row's media are wanted twice in one run: for
their hash and facts, then for their pixels. What the bound holds is fetched once; what doesn't fit is fetched again.
It saves time only: whoever finds nothing here, or other bytes than were written, reads the source.

The media of a file's rows lie one after the other in one file (`{key}-{n}.data`), with a list of where each lies
beside it (`.json`), which is written last.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hf_assets import fingerprint
from hf_assets.errors import DatasetError
from hf_assets.folder import machine_cache

# In bytes; 0 keeps nothing.
BOUND_VARIABLE = "HF_ASSETS_SPOOL_BYTES"
BOUND_BYTES = 4 << 30
# What is older was left by a run that didn't come to its end.
OLD_S = 24 * 3600


def bound_bytes() -> int:
    """How much is kept.

    Raises:
        DatasetError: the variable is no number.
    """
    given = os.environ.get(BOUND_VARIABLE) or str(BOUND_BYTES)
    if not given.isdecimal():
        raise DatasetError(f'{BOUND_VARIABLE} is "{given}": write a number of bytes, or remove it')
    return int(given)


class _Place(NamedTuple):
    path: Path
    offset: int
    num_bytes: int
    checksum: str


class Kept:
    """Media of one file's rows that lie here."""

    def __init__(self, folder: Path, key: str) -> None:
        self._places: dict[int, _Place] = {}
        for listed in folder.glob(f"{key}-*.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                for file_row, offset, num_bytes, checksum in json.loads(listed.read_bytes()):
                    self._places[file_row] = _Place(listed.with_suffix(".data"), offset, num_bytes, checksum)

    def __contains__(self, file_row: int) -> bool:
        return file_row in self._places

    def read(self, file_row: int) -> bytes | None:
        """The media of a row; None where they aren't what was written."""
        place = self._places[file_row]
        try:
            with place.path.open("rb") as file:
                file.seek(place.offset)
                data = file.read(place.num_bytes)
        except OSError:
            return None
        return data if fingerprint.checksum(data) == place.checksum else None


class Keeping:
    """Writes the media of one file's rows, as far as there is room."""

    def __init__(self, spool: "Spool", key: str) -> None:
        self._spool = spool
        self._path = spool.folder / f"{key}-{uuid.uuid4().hex}.data"
        self._listed: list[_Place] = []
        self._rows: list[int] = []
        self._end = 0

    def add(self, file_row: int, data: bytes) -> None:
        if not self._spool.reserve(len(data)):
            return
        try:
            self._spool.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(data)
        except OSError:  # a full disk, or one that may not be written
            self._spool.give_up()
            return
        self._listed.append(_Place(self._path, self._end, len(data), fingerprint.checksum(data)))
        self._rows.append(file_row)
        self._end += len(data)

    def close(self) -> None:
        """Let what was written be found."""
        if not self._rows:
            return
        listed = [[row, *place[1:]] for row, place in zip(self._rows, self._listed, strict=True)]
        with contextlib.suppress(OSError):
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(listed), encoding="utf-8")
            temporary.rename(self._path.with_suffix(".json"))


class Spool:
    """The media that lie here.

    Raises:
        DatasetError: the setting is no number.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or machine_cache() / "spool"
        self._lock = threading.Lock()
        self._room: int | None = None

    def find(self, file_hash: str, column: str) -> Kept:
        return Kept(self.folder, _key(file_hash, column))

    @contextlib.contextmanager
    def keep(self, file_hash: str, column: str) -> Iterator[Keeping]:
        """Keep media of a file's rows; what was added is found when this ends, however it does."""
        keeping = Keeping(self, _key(file_hash, column))
        try:
            yield keeping
        finally:
            keeping.close()

    def drop(self, file_hashes: Iterable[str], column: str) -> None:
        """Remove what was kept of some files."""
        if paths := self._paths():
            keys = {_key(file_hash, column) for file_hash in file_hashes}
            self._remove(path for path in paths if path.name.split("-")[0] in keys)

    def reserve(self, num_bytes: int) -> bool:
        """Whether there is room for so many bytes more, which then count as used."""
        with self._lock:
            if self._room is None:
                self._room = bound_bytes() - self._used()
            if num_bytes > self._room:
                return False
            self._room -= num_bytes
            return True

    def give_up(self) -> None:
        """Keep nothing more."""
        with self._lock:
            self._room = 0

    def _used(self) -> int:
        """Bytes that lie here, once those are gone that nobody comes for."""
        used, old = 0, []
        for path in self._paths():
            with contextlib.suppress(OSError):
                status = path.stat()
                if time.time() - status.st_mtime > OLD_S:
                    old.append(path)
                else:
                    used += status.st_size
        self._remove(old)
        return used

    def _paths(self) -> list[Path]:
        return list(self.folder.glob("*-*"))

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()


def _key(file_hash: str, column: str) -> str:
    return fingerprint.of_value([file_hash, column])

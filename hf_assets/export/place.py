"""A folder of exports: a pool of payloads, and generations that name them.

    PLACE/{id}                               a link to the newest generation
    PLACE/.generations/{id}/{version}/…      hard links to payloads, and small files of its own
    PLACE/.manifests/{id}/{version}.parquet  which payload each name is, and what else the next export wants to know
    PLACE/.objects/{ab}/{identity}{suffix}   the payloads

A payload's name says what is in it, so it is written once, and what a trainer calls it is a matter of links: to rename
costs no payload byte. A generation appears whole or not at all, and the one before stays for who reads it. What a
killed export had written is in the pool, for the next one. A payload that no generation links to is garbage.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files
from hf_assets.errors import StoreError

OBJECTS, GENERATIONS, MANIFESTS, LOCK, MARK = ".objects", ".generations", ".manifests", ".lock", ".format.json"
# What formats note of each dataset, for the files that lie beside their folders.
ENTRIES = ".entries"
# In the name of what is noted of a generation's samples.
SAMPLES = ".samples"
CURRENT = "current.json"
# Among the facts of a generation: its files that are no payloads.
SMALL = "small"
# What the manifest of a generation lists: `name` in it, payload, and its size.
FILES = pa.schema([("name", pa.string()), ("object", pa.string()), ("num_bytes", pa.int64())])
FACTS = b"hf_assets.facts"

# Writes a small file of a generation.
Write = Callable[[Path], None]


class Generation(NamedTuple):
    """What a dataset's folder is to hold.

    Attributes:
        files: `name` and `object` of each payload.
        small: name -> what writes it; such files are made anew for each generation.
        facts: JSON, noted in the manifest.
        samples: what lies in which shard (`sharding.SAMPLES`), noted beside it.
    """

    version: str
    files: pa.Table
    small: Mapping[str, Write]
    facts: Mapping[str, Any]
    samples: pa.Table | None = None


class Manifest(NamedTuple):
    """What is noted of a generation: its payloads (`FILES`), and JSON."""

    version: str
    files: pa.Table
    facts: dict[str, Any]

    @property
    def sizes(self) -> dict[str, int]:
        """Of each payload in bytes."""
        return dict(zip(self.files["object"].to_pylist(), self.files["num_bytes"].to_pylist(), strict=True))

    @property
    def names(self) -> set[tuple[str, str]]:
        """Each name with its payload."""
        return set(zip(self.files["name"].to_pylist(), self.files["object"].to_pylist(), strict=True))


class Place:
    """One folder, for one format; open it with `opening.opened`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def current(self, id: str) -> str | None:
        """The version of a dataset's newest generation; None where there is none."""
        try:
            version = os.path.basename(os.readlink(self.root / id))
        except OSError:
            return None
        return version if self.generation(id, version).is_dir() else None

    def generation(self, id: str, version: str) -> Path:
        """The folder of a generation, which stays what it is."""
        return self.root / GENERATIONS / id / version

    def ids(self) -> list[str]:
        """The datasets that have a generation."""
        folder = self.root / GENERATIONS
        return sorted(path.name for path in folder.iterdir() if self.current(path.name)) if folder.is_dir() else []

    def manifest(self, id: str, version: str | None) -> Manifest | None:
        """What is noted of a generation; None where nothing whole is."""
        if version is None or (table := files.read_table(self._manifest(id, version))) is None:
            return None
        facts: dict[str, Any] = json.loads((table.schema.metadata or {})[FACTS])
        return Manifest(version, table, facts)

    def manifests(self, id: str) -> list[Manifest]:
        """What is noted of the generations that are still there."""
        names = (self.root / MANIFESTS / id).glob("*.parquet")
        versions = sorted(path.stem for path in names if not path.stem.endswith(SAMPLES))
        return [one for version in versions if (one := self.manifest(id, version)) is not None]

    def samples(self, id: str, known: Manifest | None) -> pa.Table | None:
        """Which samples the shards of a generation hold; None where that isn't noted."""
        return None if known is None else files.read_table(self._manifest(id, f"{known.version}{SAMPLES}"))

    def noted(self, id: str) -> Path:
        """A file that is written at each generation, and so says by its time whether there was another."""
        return self.root / MANIFESTS / id / CURRENT

    def object(self, name: str) -> Path:
        """Where a payload lies."""
        return self.root / OBJECTS / name[:2] / name

    def size(self, name: str) -> int | None:
        """Of a payload in bytes; None where it isn't there."""
        try:
            return self.object(name).stat().st_size
        except FileNotFoundError:
            return None

    def lacking(self, names: Iterable[str], known: Manifest | None = None) -> list[str]:
        """Those of these payloads that the pool lacks, or holds in another size than it is noted."""
        sizes = {} if known is None else known.sizes
        found = []
        for name in names:
            size = self.size(name)
            if size is None or size != sizes.get(name, size):
                found.append(name)
        return found

    def write(self, name: str, write: Write) -> int:
        """Write a payload, whole or not at all. Returns its size."""
        path = self.object(name)
        with files.open_atomically(path) as temporary:
            try:
                write(temporary)
            except RuntimeError as error:  # of torch's writer, which then says less than the disk did
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
        return path.stat().st_size

    def publish(self, id: str, made: Generation) -> int:
        """Make a generation the dataset's newest one, and forget those before the last.

        Returns:
            how many names it has that the one before had not for the same payload.
        """
        folder, known = self.generation(id, made.version), self.manifest(id, self.current(id))
        names = made.files["name"].to_pylist(), made.files["object"].to_pylist()
        if not self._holds(folder, made):
            self._link(folder, zip(*names, strict=True), made.small)
        sizes = pa.array([self.object(name).stat().st_size for name in names[1]], pa.int64())
        noted = made.files.append_column("num_bytes", sizes).cast(FILES)
        facts = json.dumps({**made.facts, SMALL: sorted(made.small)}).encode()
        if made.samples is not None:
            files.write_table(self._manifest(id, f"{made.version}{SAMPLES}"), made.samples)
        files.write_table(self._manifest(id, made.version), noted.replace_schema_metadata({FACTS: facts}))
        self._lead_to(id, made.version)
        return len(set(zip(*names, strict=True)) - (set() if known is None else known.names))

    def publish_again(self, id: str, version: str) -> Manifest | None:
        """Make a generation that is still there the newest one; None where it isn't, or not whole."""
        noted = self.manifest(id, version)
        if noted is None:
            return None
        lacking = self.lacking(noted.sizes, noted)
        for name in lacking:
            self.object(name).unlink(missing_ok=True)  # damaged: another generation may not know how large it was
        if lacking or not self._is_whole(self.generation(id, version), noted):
            return None
        if {self.current(id), self._last_published(id)} != {version}:
            self._lead_to(id, version)
        return noted

    def write_beside(self, name: str, data: bytes) -> Path:
        """Write a file beside the datasets' folders, where it isn't so already."""
        path, begun = self.root / name, self.root / ENTRIES / f".{name}"
        if not path.is_file() or path.read_bytes() != data:
            files.write_atomically(begun, data)
            os.replace(begun, path)
        return path

    def remove_begun(self) -> None:
        """Remove payloads that killed exports had begun to write: many such would fill the disk."""
        for path in (self.root / OBJECTS).glob(f"*/{files.TEMPORARY_PREFIX}*"):
            path.unlink()

    def collect(self) -> int:
        """Remove the payloads that no generation links to. Returns how many."""
        removed = 0
        for path in (self.root / OBJECTS).glob("*/*"):
            if path.stat().st_nlink == 1:
                path.unlink()
                removed += 1
        return removed

    def _lead_to(self, id: str, version: str) -> None:
        before = self.current(id)
        if before == version:  # an export was killed right behind this step
            before = self._last_published(id)
        link, begun = self.root / id, self.root / GENERATIONS / id / f"{files.TEMPORARY_PREFIX}link"
        begun.unlink(missing_ok=True)
        begun.symlink_to(Path(GENERATIONS) / id / version)
        os.replace(begun, link)
        files.write_atomically(self.noted(id), json.dumps({"version": version}).encode())
        if before != version:
            self._forget(id, {before, version})

    def _last_published(self, id: str) -> str | None:
        """The generation that was the newest when an export last came to its end."""
        try:
            version: str = json.loads(self.noted(id).read_bytes())["version"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version

    def _is_whole(self, folder: Path, noted: Manifest) -> bool:
        """Whether a generation has all its files: who reads it may have removed one."""
        sizes = zip(noted.files["name"].to_pylist(), noted.files["num_bytes"].to_pylist(), strict=True)
        try:
            return all((folder / name).stat().st_size == size for name, size in sizes) and all(
                (folder / name).is_file() for name in noted.facts.get(SMALL, ())
            )
        except FileNotFoundError:
            return False

    def _holds(self, folder: Path, made: Generation) -> bool:
        """Whether a folder is this generation already: a killed export may have left it, or a damaged one."""
        names = zip(made.files["name"].to_pylist(), made.files["object"].to_pylist(), strict=True)
        try:
            return all((folder / name).samefile(self.object(payload)) for name, payload in names) and all(
                (folder / name).is_file() for name in made.small
            )
        except FileNotFoundError:
            return False

    def _link(self, folder: Path, names: Iterable[tuple[str, str]], small: Mapping[str, Write]) -> None:
        temporary = folder.with_name(f"{files.TEMPORARY_PREFIX}{folder.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        made: set[Path] = set()
        for name, payload in names:
            path = temporary / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            try:
                os.link(self.object(payload), path)
            except PermissionError as error:
                raise StoreError(
                    f"{self.root} lies on a disk without hard links ({error.strerror}), which exports are made of: "
                    "choose another folder"
                ) from None
        for name, write in small.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            write(temporary / name)
        if folder.is_dir():
            _discard(folder)
        os.replace(temporary, folder)

    def _forget(self, id: str, kept: set[str | None]) -> None:
        for path in (self.root / GENERATIONS / id).iterdir():
            if path.name not in kept:
                _discard(path)
        for path in (self.root / MANIFESTS / id).iterdir():
            if path.name != CURRENT and path.name.split(".")[0] not in kept:
                path.unlink()

    def _manifest(self, id: str, version: str) -> Path:
        return self.root / MANIFESTS / id / f"{version}.parquet"


def _discard(folder: Path) -> None:
    """Remove a generation: to who looks, it is there or not, whenever this ends."""
    removed = folder.with_name(f"{files.TEMPORARY_PREFIX}{folder.name}-removed")
    shutil.rmtree(removed, ignore_errors=True)
    os.replace(folder, removed)
    shutil.rmtree(removed)


def write_bytes(data: bytes) -> Write:
    """What writes these bytes."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def write_parquet(table: pa.Table) -> Write:
    """What writes a table."""

    def write(path: Path) -> None:
        pq.write_table(table, path, compression="zstd")

    return write

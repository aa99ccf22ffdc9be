"""From what a config names to the blobs that lie there: a folder on this machine, or an address in an object store."""

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hf_assets.blobs.interface import Blobs
from hf_assets.blobs.local import LocalBlobs
from hf_assets.blobs.objects import ObjectBlobs

# What an address in an object store begins with.
SCHEMES = ("s3://", "gs://", "az://")


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An address in an object store, with as much of `pathlib.Path` as is asked of a location."""

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, part: str) -> "ObjectPath":
        scheme, rest = self.address.split("://", 1)
        return ObjectPath(f"{scheme}://{posixpath.normpath(posixpath.join(rest, part))}")

    @property
    def parent(self) -> "ObjectPath":
        return ObjectPath(self.address.rpartition("/")[0])

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    @property
    def suffix(self) -> str:
        return self.name[len(self.stem) :]

    def with_name(self, name: str) -> "ObjectPath":
        return self.parent / name

    def relative_to(self, other: "ObjectPath") -> str:
        """The name within another address.

        Raises:
            ValueError: it doesn't lie there.
        """
        if not self.address.startswith(f"{other.address}/"):
            raise ValueError(f"{self} is not within {other}")
        return self.address[len(other.address) + 1 :]

    def absolute(self) -> "ObjectPath":
        return self

    def exists(self) -> bool:
        return at(self.parent).stat(self.name) is not None

    def is_dir(self) -> bool:
        """Whether anything lies below this address: an object store has no empty folders."""
        return not at(self).is_empty()

    def read_bytes(self) -> bytes:
        return at(self.parent).get(self.name)

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """What lies right below, or at any depth where the pattern begins with `**/`."""
        is_deep = pattern.startswith("**/")
        name = pattern.removeprefix("**/")
        folder, _, name = name.rpartition("/")
        assert "*" not in folder, "only the last part of a pattern may have an asterisk"
        start = self / folder if folder else self
        for hidden in (False, True):
            for blob in at(start).list(recursive=is_deep, hidden=hidden):
                if fnmatchcase(posixpath.basename(blob.name), name):
                    yield start / blob.name


Location = Path | ObjectPath


def parse(text: str, base: Path) -> Location:
    """What a config names: an address of an object store, or a path relative to `base`."""
    if text.startswith(SCHEMES):
        return ObjectPath(text.rstrip("/"))
    return base / text


def at(location: Location) -> Blobs:
    """The blobs of a folder."""
    if isinstance(location, ObjectPath):
        return ObjectBlobs(location.address)
    return LocalBlobs(location)


def relative(location: Location, start: Location) -> str:
    """How one location is named from another, so that both can be moved together; where no way leads, in full."""
    if isinstance(location, Path) and isinstance(start, Path):
        return os.path.relpath(location, start)
    if isinstance(location, ObjectPath) and isinstance(start, ObjectPath):
        here, there = start.address.split("/"), location.address.split("/")
        if here[:3] == there[:3]:  # the same bucket
            return posixpath.relpath("/".join(there[3:]) or ".", "/".join(here[3:]) or ".")
    return str(location.absolute())


def resolve(name: str, start: Location) -> Location:
    """The inverse of `relative`."""
    if name.startswith(SCHEMES):
        return ObjectPath(name)
    if isinstance(start, Path):
        return Path(os.path.normpath(start / name))
    return Path(name) if posixpath.isabs(name) else start / name

"""A folder of an object store: `s3://bucket/folder`, `gs://…`, `az://…`."""

import contextlib
import json
import posixpath
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hf_assets import fingerprint
from hf_assets.blobs import leases, object_client
from hf_assets.blobs.interface import DAMAGED_PREFIX, Blob, Blobs
from hf_assets.blobs.object_client import Address, Object

CLOCK_PREFIX = ".clock-"
# Object stores say in whole seconds when something was written.
RESOLUTION = timedelta(seconds=1)


class ObjectBlobs(Blobs):
    """Objects whose keys begin with one prefix."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        scheme, rest = self.address.split("://", 1)
        bucket, _, self.prefix = rest.partition("/")
        self.bucket = Address(f"{scheme}://{bucket}")
        self._held: list[leases.Lease] = []  # garbage collection's, of this folder and those within

    def within(self, folder: str) -> "ObjectBlobs":
        inner = ObjectBlobs(f"{self.address}/{folder}")
        inner._held = self._held
        return inner

    def get(self, name: str) -> bytes:
        data: bytes = self._call("get", self._key(name))[0]
        return data

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        data: bytes = self._call("get_range", self._key(name), start, stop)
        return data

    def get_versioned(self, name: str) -> tuple[bytes, str] | tuple[None, None]:
        try:
            data, version = self._call("get", self._key(name))
        except FileNotFoundError:
            return None, None
        return data, json.dumps(version)

    def put(self, name: str, data: bytes | memoryview) -> Blob:
        self._call("put", self._key(name), data)
        blob = self.stat(name)
        return Blob(name, len(data), 0) if blob is None else blob

    def put_if_absent(self, name: str, data: bytes | memoryview) -> bool:
        return self.put_if_unchanged(name, data, None)

    def put_if_unchanged(self, name: str, data: bytes | memoryview, version: str | None) -> bool:
        try:
            known = None if version is None else tuple(json.loads(version))
        except ValueError:
            return False
        is_written: bool = self._call("put_if", self._key(name), data, known)
        return is_written

    def local_path(self, name: str) -> Path | None:
        return None

    def stat(self, name: str) -> Blob | None:
        found: Object | None = self._call("head", self._key(name))
        return None if found is None else _describe(name, found)

    def list(self, folder: str = "", *, recursive: bool = False, hidden: bool = False) -> Iterator[Blob]:
        found: list[Object] = self._call("list", self._key(folder), recursive)
        for one in found:
            if posixpath.basename(one.key).startswith(".") == hidden:
                yield _describe(one.key.removeprefix(f"{self.prefix}/") if self.prefix else one.key, one)

    def is_empty(self) -> bool:
        return not self._call("has_any", self._key(""))

    def set_aside(self, name: str) -> str:
        aside = posixpath.join(posixpath.dirname(name), f"{DAMAGED_PREFIX}{posixpath.basename(name)}")
        self._call("rename", self._key(name), self._key(aside))
        return aside

    def delete(self, name: str) -> int:
        for lease in self._held:
            lease.require()
        blob = self.stat(name)
        if blob is None:
            return 0
        self._call("delete", self._key(name))
        return blob.num_bytes

    def touch(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.put(name, self.get(name))

    def now(self) -> datetime:
        name = f"{CLOCK_PREFIX}{uuid.uuid4().hex}"
        self._call("put", self._key(name), b"")
        found: Object | None = self._call("head", self._key(name))
        self._call("delete", self._key(name))
        written = datetime.now(UTC) if found is None else found.modified
        return written + RESOLUTION  # whatever was written before is older

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        with leases.in_use(self):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with leases.alone(self) as lease:
            self._held.append(lease)
            try:
                yield
            finally:
                self._held.remove(lease)

    def _key(self, name: str) -> str:
        return posixpath.join(self.prefix, name).rstrip("/")

    def _call(self, verb: str, *arguments: Any) -> Any:
        return object_client.call(self.bucket, verb, *arguments)


def _describe(name: str, found: Object) -> Blob:
    """With the version in the part of the time that object stores don't have."""
    part = int(fingerprint.of_bytes(json.dumps(found.version).encode())[:12], 16) % 1_000_000_000
    return Blob(name, found.num_bytes, int(found.modified.timestamp()) * 1_000_000_000 + part)

"""Buckets of an object store by `obstore`: S3, Google Cloud Storage, Azure; one line where something is refused.

`call` is the only way to them. `obstore` runs its own threads, so a process that has used it and is then forked (as
torch's DataLoader does) would wait for ever in the child: there the same calls go to a process of their own (`served`).
"""

import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from hf_assets.errors import StoreError

# A request that is throttled, cut off or refused by a server's fault is made again so often, each time after longer.
RETRIES = 10
RETRY_S = 180
TIMEOUT_S = 300
EXTRA = "hf_assets[object-storage]"


class Address(NamedTuple):
    """A bucket, `s3://name`; endpoint and region where they aren't those of the environment."""

    url: str
    endpoint: str | None = None
    region: str | None = None


class Object(NamedTuple):
    """What a bucket says of an object. `version` names this content; it is opaque."""

    key: str
    num_bytes: int
    modified: datetime
    version: tuple[str | None, str | None]


class Bucket:
    """One bucket."""

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self.store = _open(address)

    def get(self, key: str) -> tuple[bytes, tuple[str | None, str | None]]:
        """An object's bytes and version."""
        import obstore

        with self._explain(key, "read"):
            found = obstore.get(self.store, key)
            return bytes(found.bytes()), (found.meta["e_tag"], found.meta["version"])

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Some bytes of an object, fewer where it ends before."""
        import obstore
        from obstore.exceptions import BaseError

        with self._explain(key, "read"):
            try:
                return bytes(obstore.get_range(self.store, key, start=start, end=stop)) if stop > start else b""
            except BaseError as error:
                if "InvalidRange" in str(error) or " 416 " in str(error):  # it starts where the object ends, or later
                    return b""
                raise

    def get_range_of(self, key: str, start: int, stop: int, tag: str | None) -> bytes | None:
        """Some bytes of an object with this ETag; None where it has another one by now."""
        import obstore
        from obstore.exceptions import PreconditionError

        if stop <= start:
            return b""
        with self._explain(key, "read"):
            try:
                found = obstore.get(self.store, key, options={"range": (start, stop), "if_match": tag})
                return bytes(found.bytes())
            except PreconditionError:
                return None

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object, as one request: what is cut off leaves nothing behind."""
        import obstore

        with self._explain(key, "written"):
            obstore.put(self.store, key, bytes(data), use_multipart=False)

    def put_if(self, key: str, data: bytes | memoryview, version: tuple[str | None, str | None] | None) -> bool:
        """Write an object if it has this version, or, with None, if there is none. Returns whether it was written."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        named = dict(zip(("e_tag", "version"), version or (), strict=False))
        mode: Any = {name: value for name, value in named.items() if value is not None} if version else "create"
        with self._explain(key, "written"):
            try:
                obstore.put(self.store, key, bytes(data), mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return self._holds(key, data)  # a request that was cut off and made again meets what it wrote itself
            return True

    def _holds(self, key: str, data: bytes | memoryview) -> bool:
        try:
            return self.get(key)[0] == data
        except FileNotFoundError:
            return False

    def head(self, key: str) -> Object | None:
        """What is known of an object; None where there is none."""
        import obstore

        try:
            with self._explain(key, "read"):
                return _object(obstore.head(self.store, key))
        except FileNotFoundError:
            return None

    def list(self, prefix: str, is_deep: bool) -> list[Object]:
        """The objects below a prefix, in the order of their keys."""
        import obstore

        with self._explain(prefix, "listed"):
            if is_deep:
                found = [_object(meta) for page in obstore.list(self.store, prefix or None) for meta in page]
            else:
                found = [_object(meta) for meta in obstore.list_with_delimiter(self.store, prefix or None)["objects"]]
        return sorted(found)

    def has_any(self, prefix: str) -> bool:
        """Whether any object lies below a prefix."""
        import obstore

        with self._explain(prefix, "listed"):
            return any(page for page in obstore.list(self.store, prefix or None, chunk_size=1))

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        import obstore

        with self._explain(key, "deleted"):
            try:
                obstore.delete(self.store, key)
            except FileNotFoundError:
                return

    def rename(self, key: str, new: str) -> None:
        """Give an object another key."""
        import obstore

        with self._explain(key, "renamed"):
            obstore.rename(self.store, key, new)

    @contextmanager
    def _explain(self, key: str, verb: str) -> Iterator[None]:
        """Say in a line what is wrong.

        Raises:
            FileNotFoundError: there is no such object.
            StoreError: anything else.
        """
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            text = str(error)
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
                raise FileNotFoundError(f"{self.url}/{key}") from None
            raise StoreError(_explanation(self.url, key, verb, text)) from None


def _open(address: Address) -> Any:
    url = address.url
    try:
        from obstore.store import from_url
    except ImportError:
        raise StoreError(f"{url} needs the package obstore: pip install '{EXTRA}'") from None
    options: dict[str, Any] = {
        "retry_config": {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
        "client_options": {"timeout": timedelta(seconds=TIMEOUT_S)},
    }
    if url.startswith("s3://"):
        options |= _of_aws()
        options |= {name: value for name, value in address._asdict().items() if name != "url" and value}
        if str(options.get("endpoint", "")).startswith("http://"):
            options["client_options"]["allow_http"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_url(url, **options)


def _of_aws() -> dict[str, Any]:
    """Endpoint and credentials as the AWS command line finds them; `obstore` itself reads the plain variables."""
    found: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        found["endpoint"] = endpoint
    is_plain = "AWS_ACCESS_KEY_ID" in os.environ and "AWS_PROFILE" not in os.environ
    if is_plain or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true"):
        return found
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if "AWS_PROFILE" in os.environ:
            raise StoreError(f"AWS_PROFILE needs the package boto3: pip install '{EXTRA}'") from None
        return found
    try:
        session = boto3.Session()
        has_some = session.get_credentials() is not None
    except Exception as error:  # botocore's own classes: a profile that isn't there, a role that can't be taken
        raise StoreError(f"the AWS credentials can't be used: {str(error).splitlines()[0]}") from None
    if not has_some:
        raise StoreError(
            "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a "
            "public bucket AWS_SKIP_SIGNATURE=true"
        )
    found["credential_provider"] = Boto3CredentialProvider(session)
    if session.region_name:
        found["region"] = session.region_name
    return found


def _object(meta: Any) -> Object:
    return Object(meta["path"], meta["size"], meta["last_modified"], (meta["e_tag"], meta["version"]))


# What a server's status, its code or a client's failure means, and the way out; the first that is found counts.
# A number is only looked for among statuses: a failure's text also says how long it took.
MEANINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    ((), "NoSuchBucket", "there is no such bucket: create it, or name another one"),
    (
        (),
        "ExpiredToken|TokenRefreshRequired|RequestExpired",
        "the credentials have expired: renew them, then run again",
    ),
    (
        (),
        "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|AuthorizationHeaderMalformed",
        "the credentials are not accepted: look at the key, the secret, the region (AWS_REGION) and the endpoint",
    ),
    (
        ("507",),
        "QuotaExceeded|InsufficientStorage|EntityTooLarge",
        "the store is full: free space, then run again",
    ),
    (
        ("429", "503"),
        "SlowDown|TooManyRequests",
        "the store asks for fewer requests, still so after many tries: run again later",
    ),
    (
        (),
        r"169\.254\.|no credentials|NoCredentials|Unable to locate credentials|metadata\.google",
        "no credentials were found: set them in the environment, or AWS_PROFILE",
    ),
    (("401", "403"), "AccessDenied|AccountProblem|Forbidden|Unauthorized", "these credentials may not do that"),
    (
        (),
        "redirect|PermanentRedirect|IllegalLocationConstraint",
        "the bucket lies in another region: set AWS_REGION",
    ),
    (("405",), "ReadOnly|MethodNotAllowed", "the store takes no writes"),
    (
        (),
        "error sending request|connect|timed out|timeout|error decoding|incomplete|dns",
        "the store can't be reached, or cut the connection, and did so again: look at the endpoint and the network, "
        "then run again",
    ),
)


def _explanation(url: str, key: str, verb: str, text: str) -> str:
    codes = re.search(r"<Code>(\w+)</Code>", text)
    statuses = re.search(r"status code: (\d{3})", text)
    code, status = codes[1] if codes else "", statuses[1] if statuses else ""
    first = text.split("Debug source")[0].strip().splitlines()[0] if text.strip() else "no details"
    words = code if code or status else first
    meaning = next((way for numbers, pattern, way in MEANINGS if status in numbers or re.search(pattern, words)), None)
    facts = " ".join(filter(None, (status, code)))
    place = f"{url}/{key}".rstrip("/")
    if meaning is None:
        meaning = first.split(" - ", 1)[-1] if not facts else "the store refuses it"
    return f"{place} can't be {verb}: {meaning}{f' ({facts})' if facts else ''}; nothing that was stored is lost"


_used_in: int | None = None  # the process in which obstore's threads run
_lock = threading.Lock()


@lru_cache(maxsize=16)
def open_bucket(address: Address, process: int) -> Bucket:
    return Bucket(address)


def call(address: Address, verb: str, *arguments: Any) -> Any:
    """Call a method of a bucket, in this process or, in a fork of one that used buckets, in one of its own."""
    global _used_in
    process = os.getpid()
    if _used_in is None:
        _used_in = process
    if _used_in == process:
        return getattr(open_bucket(address, process), verb)(*arguments)
    return _helper(process).call(address, verb, arguments)


class _Helper:
    """A process that has no forked ancestor, and makes the calls."""

    def __init__(self) -> None:
        from socket import socketpair

        here, there = socketpair()
        path = os.pathsep.join(sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hf_assets.blobs.served", str(there.fileno())],
            pass_fds=[there.fileno()],
            env={**os.environ, "PYTHONPATH": path},
        )
        there.close()
        self.connection = Connection(here.detach())
        self.lock = threading.Lock()

    def call(self, address: Address, verb: str, arguments: tuple[Any, ...]) -> Any:
        plain = tuple(bytes(one) if isinstance(one, memoryview) else one for one in arguments)
        try:
            with self.lock:
                self.connection.send((address, verb, plain))
                result, error = self.connection.recv()
        except (EOFError, OSError) as gone:
            raise StoreError(
                f"{address.url}: the process that talks to the store has ended ({gone}): run again"
            ) from None
        if error is not None:
            raise error
        return result


@lru_cache(maxsize=1)
def _helper_of(process: int) -> _Helper:
    return _Helper()


def _helper(process: int) -> _Helper:
    with _lock:
        return _helper_of(process)

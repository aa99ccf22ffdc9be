"""Blobs in an object store, by the S3 protocol."""

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_assets import blobs as places
from hf_assets.blobs import Blobs, ObjectPath, leases, object_client
from hf_assets.errors import StoreError
from hf_assets_tests.blobs.suite import BlobsSuite
from hf_assets_tests.s3_server import S3Server


class TestObjects(BlobsSuite):
    @pytest.fixture
    def blobs(self, address: str) -> Blobs:
        return places.at(ObjectPath(address))

    @pytest.fixture
    def again(self, address: str) -> Blobs:
        return places.at(ObjectPath(address))


@pytest.fixture
def blobs(address: str) -> Blobs:
    return places.at(ObjectPath(address))


@pytest.fixture
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_client, "RETRIES", 1)
    object_client.open_bucket.cache_clear()
    yield
    object_client.open_bucket.cache_clear()


REFUSED = [
    (404, "NoSuchBucket", "there is no such bucket: create it, or name another one"),
    (403, "AccessDenied", "these credentials may not do that"),
    (400, "ExpiredToken", "the credentials have expired: renew them, then run again"),
    (403, "SignatureDoesNotMatch", "the credentials are not accepted"),
    (503, "SlowDown", "asks for fewer requests, still so after many tries: run again later"),
    (429, "TooManyRequests", "asks for fewer requests"),
    (507, "InsufficientStorage", "the store is full: free space, then run again"),
    (405, "MethodNotAllowed", "the store takes no writes"),
]


@pytest.mark.usefixtures("few_retries")
@pytest.mark.parametrize(("status", "code", "message"), REFUSED)
def test_what_is_refused_is_one_line_that_says_what_to_do(
    s3: S3Server, blobs: Blobs, status: int, code: str, message: str
) -> None:
    blobs.put("before", b"stored")
    s3.fail(status=status, code=code)
    for act in (lambda: blobs.put("a", b"1"), lambda: blobs.put_if_absent("b", b"1"), lambda: list(blobs.list())):
        with pytest.raises(StoreError, match=re.escape(message)) as raised:
            act()
        assert "\n" not in str(raised.value)
        assert str(raised.value).startswith("s3://bucket/")
        assert "nothing that was stored is lost" in str(raised.value)
    s3.fail()
    assert [blob.name for blob in blobs.list()] == ["before"]


@pytest.mark.parametrize("fault", [{"status": 503, "code": "SlowDown"}, {"status": 429, "code": "TooManyRequests"}])
def test_a_throttled_request_is_made_again_until_it_succeeds(s3: S3Server, blobs: Blobs, fault: dict) -> None:  # type: ignore[type-arg]
    s3.fail(**fault, count=3, methods=["PUT"])
    blobs.put("a", b"1")
    assert len([request for request in s3.requests if request.startswith("PUT")]) == 4
    s3.fail(**fault, count=2, methods=["GET"])
    assert blobs.get("a") == b"1"


def test_a_connection_that_is_cut_is_made_again(s3: S3Server, blobs: Blobs) -> None:
    blobs.put("a", b"1")
    s3.fail(cut=True, count=2)
    assert blobs.get("a") == b"1"


def test_a_store_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, few_retries: None) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=r"^s3://bucket/a can't be written: the store can't be reached"):
        places.at(ObjectPath("s3://bucket")).put("a", b"")


@pytest.mark.parametrize("took", ["429.503ms", "507.401ms", "405.403ms"])
def test_how_long_a_failure_took_is_not_taken_for_a_status(took: str) -> None:
    text = (
        f"Generic S3 error: Error performing PUT http://127.0.0.1:9/bucket/a in {took}, after 1 retries - "
        "HTTP error: error sending request"
    )
    assert "can't be reached" in object_client._explanation("s3://bucket", "a", "written", text)


def test_a_fork_of_a_process_that_used_a_store_can_use_it(blobs: Blobs) -> None:
    """torch's DataLoader forks; `obstore` alone would wait for ever there."""
    blobs.put("a", b"0123")
    child = os.fork()
    if child == 0:
        try:
            is_right = blobs.get_range("a", 1, 3) == b"12" and blobs.stat("b") is None and blobs.put_if_absent("c", b"")
            os._exit(0 if is_right else 1)
        except BaseException:
            os._exit(2)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        pytest.fail("the fork waits for ever")
    assert blobs.get("c") == b""


def test_a_run_that_died_holds_garbage_collection_back_for_a_while_only(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = leases.Lease(blobs, f"{leases.RUN_PREFIX}of-a-killed-run")
    blobs.put(lease.name, lease.content)
    with pytest.raises(StoreError, match="a run is using"), blobs.alone():
        pass
    monkeypatch.setattr(leases, "LEASE_S", -2.0)
    with blobs.alone():
        assert blobs.stat(lease.name) is None


def wait_until_lost(lease: str) -> None:
    """The thread that renews a lease ends when it finds another's."""
    (thread,) = (one for one in threading.enumerate() if one.name == f"lease {lease}")
    thread.join(60)
    assert not thread.is_alive()


def test_a_run_that_was_taken_for_dead_does_not_keep_its_result(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.1)

    def run() -> None:
        with blobs.in_use():
            (lease,) = blobs.list(hidden=True)
            blobs.delete(lease.name)
            wait_until_lost(lease.name)

    with pytest.raises(StoreError, match="its result is not kept: run again"):
        run()


def test_garbage_collection_that_lost_its_lease_deletes_nothing(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs.put("folder/a", b"")
    inner = blobs.within("folder")
    monkeypatch.setattr(leases, "RENEW_S", 0.1)
    with blobs.alone():
        blobs.put(leases.GARBAGE, b"another process")
        wait_until_lost(leases.GARBAGE)
        with pytest.raises(StoreError, match="run again"):
            inner.delete("a")
    assert blobs.stat("folder/a") is not None


PLAIN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def no_credentials(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine on which nothing says who the user is. Gives where a credentials file would lie."""
    for name in PLAIN:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    object_client.open_bucket.cache_clear()
    yield tmp_path / "credentials"
    object_client.open_bucket.cache_clear()


def test_a_profile_is_used_as_the_command_line_does(
    no_credentials: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_credentials.write_text("[work]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    blobs.put("a", b"1")
    assert blobs.get("a") == b"1"
    object_client.open_bucket.cache_clear()
    monkeypatch.setenv("AWS_PROFILE", "home")
    with pytest.raises(StoreError, match=r"^the AWS credentials can't be used: .*home"):
        blobs.get("a")


@pytest.mark.usefixtures("no_credentials")
def test_no_credentials_are_one_line_and_no_wait(blobs: Blobs) -> None:
    with pytest.raises(StoreError, match=r"^no AWS credentials were found: set AWS_ACCESS_KEY_ID"):
        blobs.put("a", b"1")

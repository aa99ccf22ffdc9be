"""A server that speaks the S3 protocol."""

import uuid
from collections.abc import Iterator

import pytest

from hf_assets_tests import s3_server
from hf_assets_tests.s3_server import S3Server


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    pytest.importorskip("moto")
    with s3_server.running() as server:
        server.make_bucket("bucket")
        yield server


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, as this test's environment names it."""
    for name, value in s3_server.environment(s3_process).items():
        monkeypatch.setenv(name, value)
    s3_process.fail()
    return s3_process


@pytest.fixture
def address(s3: S3Server) -> str:
    """A folder that nothing lies in."""
    return f"s3://bucket/{uuid.uuid4().hex}"

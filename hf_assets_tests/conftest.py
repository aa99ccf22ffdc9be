"""One local Hub for the whole session.

Its address must be in the environment before huggingface_hub is imported, so it starts here.
"""

import atexit
import fcntl
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest

from hf_assets_tests import s3_server
from hf_assets_tests.local_hub import LocalHub, hub_environment
from hf_assets_tests.s3_server import S3Server

assert np.random, "imported before Hypothesis looks"
# A short path, in processes started from here too: names of Unix sockets, which Ray makes below, end at 107 bytes.
_HOME = Path(tempfile.mkdtemp(prefix="hf-tests-", dir=os.environ.setdefault("TESTS_TMPDIR", tempfile.gettempdir())))
# Test processes run side by side: each takes turns on the device only with its own, and computes in one thread.
os.environ["TMPDIR"] = tempfile.tempdir = str(_HOME)
os.environ.setdefault("OMP_NUM_THREADS", "1")
_HUB = LocalHub(_HOME / "hub").up()
os.environ.update(hub_environment(_HUB.endpoint, _HOME / "home"))
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
atexit.register(_HUB.down)

# Those with a test of half a minute or more, which is then not what is left when all others are done.
FIRST = (
    "test_refresh_for_real.py",
    "test_demo.py",
    "test_histories.py",
    "test_page.py",
    "test_processes.py",
    "test_ci.py",
    "test_command_line.py",
    "test_toy_example.py",
    "test_train_example.py",
    "test_side_by_side.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(scope="session")
def hub() -> LocalHub:
    """A Hub that speaks HTTP on 127.0.0.1; tests use repositories of their own."""
    return _HUB


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the docs, built once by whichever test process is first."""
    is_alone = "PYTEST_XDIST_WORKER" not in os.environ
    folder = (tmp_path_factory.mktemp("site") if is_alone else tmp_path_factory.getbasetemp().parent) / "site"
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            done = subprocess.run(
                [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
                cwd=Path(__file__).parents[1],
                env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"},
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                shutil.rmtree(folder, ignore_errors=True)  # the other process fails likewise, and not for want of pages
            assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(autouse=True, scope="module")
def _garbage_is_collected_fast() -> None:
    """Encoders collect garbage when they leave; what is imported by now is not looked through again and again."""
    hypothesis.given(hypothesis.strategies.none())(lambda _: None)()  # looks for who refers to numpy's random numbers
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """What is still there is passed to extension modules as ever."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _retries_at_once() -> Iterator[None]:
    """huggingface_hub tries as often as ever, without the seconds in between."""
    from huggingface_hub.utils import _http

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_http, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: None}))
        yield


@pytest.fixture(autouse=True)
def _a_hub_without_faults(hub: LocalHub) -> None:
    from hf_assets.hub import api

    hub.faults.clear()
    api._missed_at = float("-inf")  # no test is impatient since an earlier one had no Hub


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

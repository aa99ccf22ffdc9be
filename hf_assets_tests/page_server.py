"""Dagster's page without a browser: a running `dagster-webserver`, asked by GraphQL as the page asks it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# For a machine that does much else; nothing waits so long on one that doesn't.
PATIENCE_S = 120.0
CODE = """\
from pathlib import Path

import hf_assets

defs = hf_assets.build_definitions(Path(__file__).parent / "user" / "datasets.json")
"""
LOCATION = "latents.py"


class PageServer:
    """A page of whichever user's folder it is shown."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"

    def show(self, user: Path) -> None:
        """Show the history below this folder, and load its config anew."""
        link = self.folder / "user"
        link.unlink(missing_ok=True)
        link.symlink_to(user)
        answer = self.ask(
            f'mutation {{ reloadRepositoryLocation(repositoryLocationName: "{LOCATION}") {{ __typename }} }}'
        )
        assert answer["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry", answer

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        request = urllib.request.Request(
            f"{self.address}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            said = json.load(answer)
        assert "errors" not in said, said
        data: dict[str, Any] = said["data"]
        return data


@contextmanager
def served(folder: Path, user: Path, *options: str) -> Iterator[PageServer]:
    """A `dagster-webserver` in a process group of its own, which ends with the block.

    Args:
        folder: for its own files.
        user: whose config and history it shows first.
    """
    (folder / LOCATION).write_text(CODE)
    (folder / "user").symlink_to(user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "dagster_webserver", "-f", LOCATION, "-h", "127.0.0.1", "-p", str(port), *options]
    with (folder / "page.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={
                **os.environ,
                "DAGSTER_HOME": str(folder / "user" / "dagster_home"),
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not _listens(port):
                said = (folder / "page.log").read_text(errors="replace")[-3000:]
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.1)
            yield PageServer(folder, port)
        finally:
            with suppress(ProcessLookupError):  # and at once: it has nothing to save, and takes seconds to say goodbye
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0

"""The demo's graph in the Dagster page."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from examples.demo.project import ROOT, DemoError, Project, UsageError, tail

HOST = "127.0.0.1"
STOP_S = 20.0


def serve(project: Project, port: int, say: Callable[[str], None]) -> None:
    """Serve the Hub and the page until Ctrl-C.

    Raises:
        UsageError: the demo hasn't run yet, or another program has the port.
        DemoError: the page stopped by itself.
    """
    if not (project.tables / "training_set.parquet").exists():
        raise UsageError(f"there are no results in {project.folder} yet: run the demo first (make demo)")
    if _listens(port):
        raise UsageError(
            f"port {port} is in use by another program: give another one (python -m examples.demo page --port)"
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    command = ["dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "--host", HOST, "--port", str(port)]
    log = project.logs / "page.log"
    say("Starting the page …")
    with project.hub as hub, log.open("w") as output:
        # In a session of its own, so that Ctrl-C reaches it only once, from here.
        page = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project.folder,
            env=project.environment(hub.endpoint),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while page.poll() is None and not _listens(port):
                time.sleep(0.2)
            if page.returncode is None:
                say(f"http://{HOST}:{port}/asset-groups   Ctrl-C stops it; what it says is in {log}")
            page.wait()
        except KeyboardInterrupt:
            say("Stopping …")
            _stop(page)
            return
    raise DemoError(f"{tail(log)}\n\nthe page stopped with exit code {page.returncode}")


def _stop(page: subprocess.Popen[bytes]) -> None:
    """Let the page end its own processes; end them all if it takes too long, or at a second Ctrl-C."""
    page.send_signal(signal.SIGINT)
    try:
        page.wait(STOP_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(page.pid, signal.SIGKILL)
        page.wait()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex((HOST, port)) == 0

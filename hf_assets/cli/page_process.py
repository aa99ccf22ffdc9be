"""The process of Dagster's page."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hf_assets.errors import StoreError

HOST, MODULE = "127.0.0.1", "hf_assets.definitions"
STOP_S = 20.0


def serve(port: int, say: Callable[[str], None]) -> None:
    """Serve the page of `hf_assets.definitions` from the working directory until Ctrl-C.

    Raises:
        StoreError: another program has the port, or the page stopped by itself.
    """
    if _listens(port):
        raise StoreError(f"port {port} is in use by another program: give another one, such as --port {port + 1}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    say("starting the page …")
    with tempfile.NamedTemporaryFile("w+", prefix="hf-assets-page-", suffix=".log") as log:
        # In a session of its own, so that Ctrl-C reaches it only once, from here.
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-m", MODULE, "--host", HOST, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None and not _listens(port):
                time.sleep(0.2)
            if process.returncode is None:
                say(f"http://{HOST}:{port}/asset-groups   Ctrl-C stops it; what it says is in {log.name}")
            process.wait()
        except KeyboardInterrupt:
            say("stopping …")
            _stop(process)
            return
        said = Path(log.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:]
    raise StoreError("\n".join([*said, "", f"the page stopped with exit code {process.returncode}"]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let the page end its own processes; end them all if it takes too long, or at a second Ctrl-C."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex((HOST, port)) == 0

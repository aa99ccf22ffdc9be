"""Processes take turns on a device, and a killed one blocks nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hf_assets.engines import device_lock

HOLD = """
import sys, time
from pathlib import Path
from hf_assets.engines import device_lock
with device_lock.hold("cpu", lambda line: print(line, flush=True), Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_waits_says_so_and_goes_on(tmp_path: Path) -> None:
    with holder(tmp_path) as first, holder(tmp_path) as second:
        lines = {process: line(process) for process in (first, second)}
        running = next(process for process, text in lines.items() if text == "mine")
        waiting = second if running is first else first
        assert lines[waiting] == "waiting for the cpu device, on which another run encodes"
        running.communicate("\n")
        assert line(waiting) == "mine"
        waiting.communicate("\n")


def test_a_killed_process_gives_its_turn_back(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert line(process) == "mine"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with device_lock.hold("cpu", lambda line: None, tmp_path):
        pass


def test_devices_that_differ_do_not_wait_for_each_other(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        device_lock.hold("cpu", said.append, tmp_path),
        device_lock.hold("cuda:0", said.append, tmp_path),
        device_lock.hold("cuda:1", said.append, tmp_path),
    ):
        assert said == []

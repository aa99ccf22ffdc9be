"""Long work says how it goes; on a terminal a bar shows it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from hf_assets.draw.plan_text import size
from hf_assets.encode import progress
from hf_assets.encode.progress import Progress


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_it_says_done_total_rate_and_time_left_every_few_seconds_and_the_sum_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, said = Clock(monkeypatch), list[str]()
    with Progress("encoding latents", 2_000, said.append, every_s=5) as work:
        for _ in range(20):
            clock.now += 1
            work.add(100)
    assert said == [
        "encoding latents: 500 of 2,000 (25%), 100.0 per second, 15 s left",
        "encoding latents: 1,000 of 2,000 (50%), 100.0 per second, 10 s left",
        "encoding latents: 1,500 of 2,000 (75%), 100.0 per second, 5 s left",
        "encoding latents: all 2,000 in 20 s, 100.0 per second",
    ]
    assert work.facts == {"samples_per_second": 100.0, "seconds": 20.0}


def test_bytes_have_their_units_and_work_of_a_moment_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(monkeypatch), list[str]()
    for seconds in (0.2, 3600):
        with Progress("reading", 7_200_000, said.append, size=size) as work:
            clock.now += seconds
            work.add(7_200_000)
    assert said == ["reading: all 7.2 MB in less than 1 s", "reading: all 7.2 MB in 1 h, 2.0 kB per second"]


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(monkeypatch), list[str]()
    work = Progress("work", 100_000, said.append, every_s=5)
    for rate in [1000] * 40 + [10] * 40:
        clock.now += 1
        work.add(rate)
    assert "10.0 per second" in said[-1]
    assert work.per_second == pytest.approx(505)


def test_short_work_says_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with Progress("work", 3, said.append) as work:
        work.add(2)
        work.add(1)
        work.add(1)  # more than was foreseen
    assert len(said) == 1


CODE = """
from hf_assets.encode.progress import Progress
with Progress("encoding latents", 10, lambda line: None) as work:
    work.add(10)
"""


def test_a_terminal_gets_a_bar() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    with subprocess.Popen([sys.executable, "-c", CODE], stderr=theirs, env=environment) as process:
        os.close(theirs)
        assert process.wait() == 0
    assert b"encoding latents" in os.read(ours, 4096)
    os.close(ours)


def test_a_log_gets_none() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True)
    assert done.stderr == b""

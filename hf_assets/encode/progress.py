"""Long work says every few seconds how much is done, how fast, and how long it will take; a terminal gets a bar."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

# The rate in what is said is that of about so many last seconds: an average over all would hide a slowdown.
RECENT_S = 30.0


class Progress:
    """Counts done units and says so: when work begins to take long, at most once in `every_s` seconds, and at the end.

    Use it in a `with` block, so that the bar is closed.
    """

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], None],
        every_s: float = 5.0,
        size: Callable[[float], str] | None = None,
    ) -> None:
        """
        Args:
            size: writes a number of bytes, where these are what is counted.
        """
        self.what = what
        self.number, self.rate = (size, size) if size else ("{:,}".format, "{:,.1f}".format)
        self.total = total
        self.say = say
        self.every_s = every_s
        self.done = 0
        self.started = time.monotonic()
        self.said = self.started
        self.marks = [(self.started, 0)]  # (time, done), for the recent rate
        self.is_over = False
        self.bar = _bar(what, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()

    def add(self, count: int) -> None:
        """Note that so many more units are done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        now = time.monotonic()
        if self.done >= self.total and not self.is_over:
            self.is_over = True
            took = now - self.started
            rate_said = f", {self.rate(self.per_second)} per second" if took >= 1 else ""  # of less it means nothing
            self.say(f"{self.what}: all {self.number(self.total)} in {_duration(took)}{rate_said}")
        elif now - self.said >= self.every_s and not self.is_over:
            self.said = now
            self.marks = [mark for mark in self.marks if now - mark[0] <= RECENT_S] or self.marks[-1:]
            since, before = self.marks[0]
            rate = (self.done - before) / max(now - since, 1e-9)
            self.marks.append((now, self.done))
            left = f"{_duration((self.total - self.done) / rate)} left" if rate else "no progress"
            share = f"{self.done / self.total:.0%}"
            done = f"{self.number(self.done)} of {self.number(self.total)}"
            self.say(f"{self.what}: {done} ({share}), {self.rate(rate)} per second, {left}")

    @property
    def per_second(self) -> float:
        """The rate since the beginning."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    @property
    def facts(self) -> dict[str, float]:
        """Numbers to follow from run to run."""
        return {"samples_per_second": self.per_second, "seconds": time.monotonic() - self.started}


def _bar(what: str, total: int) -> Any:
    """A bar where standard error is a terminal, else None."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit_scale=True, dynamic_ncols=True, leave=False)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 1:
        return "less than 1 s"
    units = ((whole // 3600, "h"), (whole % 3600 // 60, "min"), (0 if whole >= 3600 else whole % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in units if number)

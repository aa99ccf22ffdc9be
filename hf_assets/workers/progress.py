"""A line every few seconds on long work: how much is done, how fast, how long it will take."""

import time
from collections.abc import Callable


class Progress:
    """Counts done units and says so, at most once in `every_s` seconds."""

    def __init__(self, what: str, total: int, say: Callable[[str], None], every_s: float = 5.0) -> None:
        self.what = what
        self.total = total
        self.say = say
        self.every_s = every_s
        self.done = 0
        self.started = time.monotonic()
        self.said = self.started

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.said >= self.every_s or self.done == self.total:
            self.said = now
            rate = self.per_second
            left_s = (self.total - self.done) / rate if rate else 0
            self.say(f"{self.what}: {self.done:,} of {self.total:,}, {rate:,.1f} per second, {_duration(left_s)} left")

    @property
    def per_second(self) -> float:
        return self.done / max(time.monotonic() - self.started, 1e-9)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"

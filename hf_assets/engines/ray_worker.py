"""A Ray actor: a worker in a process of its own, with a device of its own."""

import contextlib
import os
import threading
from collections import deque
from dataclasses import dataclass, field, replace

from hf_assets import inert
from hf_assets.engines import device_lock
from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.ray_decoders import Decoders
from hf_assets.engines.unit import Report, Unit, Work
from hf_assets.errors import HfAssetsError

# An actor's answer to the question what it did takes at most so long.
POLL_S = 1.0


class _Feed:
    """Units as the driver gives them (see `engines.unit.Feed`)."""

    def __init__(self) -> None:
        self._items: deque[Unit | None] = deque()  # None: nothing more is at hand
        self._changed = threading.Condition()
        self._is_ended = False

    def put(self, unit: Unit) -> None:
        """Wait until it is taken: the next one may go to a worker that is through earlier."""
        with self._changed:
            self._items.append(unit)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_ended or all(item is not unit for item in self._items))

    def drain(self) -> None:
        with self._changed:
            self._items.append(None)
            self._changed.notify_all()

    def take(self) -> list[Unit] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_ended)
            if not self._items:
                return None
            units: list[Unit] = []
            while self._items and (unit := self._items[0]) is not None:
                units.append(unit)
                self._items.popleft()
            if not units:
                self._items.popleft()
            self._changed.notify_all()
            return units

    def end(self) -> None:
        """What is in it can be taken; nothing is put any more."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._items.clear()
            self._is_ended = True
            self._changed.notify_all()


@dataclass(frozen=True)
class News:
    """What an actor has to say.

    Attributes:
        report: since it was asked last.
        is_loaded: whether its model is loaded.
        is_over: whether it is through, or failed.
    """

    report: Report = field(default_factory=Report)
    is_loaded: bool = False
    is_over: bool = False
    error: BaseException | None = None


class Stale(Exception):
    """A call that belongs to a beginning that this actor doesn't know, or no longer."""


class Actor:
    """A worker in a process of its own. Its methods run in threads, the worker in one that is kept.

    Calls may overtake each other, and one to an actor that restarts may arrive long after. So each belongs to a
    beginning, which has a number: a later one makes all before it stale.
    """

    def __init__(self, number: int, cores: float) -> None:
        inert.all_of_this_process()
        self.number = number
        self.cores = cores
        self._begun = -1
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()
        self._feed = _Feed()
        self._changed = threading.Condition()
        self._news = News()
        self._is_urgent = False

    def pid(self) -> int:
        """Of the process."""
        return os.getpid()

    def begin(self, number: int, work: Work, settings: ComputeSettings, decoders: Decoders | None = None) -> None:
        """Start with another kind of work; what was done before is over by then.

        Args:
            number: of this beginning.
            decoders: decode for this worker; None: it decodes by itself.

        Raises:
            Stale: a later one came before.
        """
        with self._beginning:
            if number < self._begun:
                raise Stale
            if self._thread is not None:
                self._feed.stop()
                self._thread.join()
            with self._changed:
                self._feed, self._news, self._is_urgent = _Feed(), News(), False
                self._begun = number
            self._thread = threading.Thread(
                target=self._run, args=(work, settings, decoders), name="worker", daemon=True
            )
            self._thread.start()

    def give(self, number: int, unit: Unit) -> None:
        """Take a unit; returns once it is begun."""
        self._feed_of(number).put(unit)

    def drain(self, number: int) -> None:
        """Nothing more is at hand: what waits is encoded and committed."""
        self._feed_of(number).drain()

    def end(self, number: int) -> None:
        """Finish what was given, and give the model's memory back."""
        self._feed_of(number).end()

    def news(self, number: int) -> News:
        """What happened since this was asked last; waits a moment for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_urgent or number != self._begun, POLL_S)
            if number != self._begun:
                raise Stale
            self._is_urgent = self._news.is_over
            news = self._news
            self._news = replace(news, report=Report())
            return news

    def _feed_of(self, number: int) -> _Feed:
        with self._changed:
            if number != self._begun:
                raise Stale
            return self._feed

    def _run(self, work: Work, settings: ComputeSettings, decoders: Decoders | None) -> None:
        error: BaseException | None = None
        try:
            compute = settings.resolve(self.cores)
            if decoders is not None:
                compute = decoders.added_to(compute, work)
            # Of CPUs, Ray keeps count; a GPU may be used by a run that knows no Ray.
            is_counted = compute.device == "cpu"
            with contextlib.nullcontext() if is_counted else device_lock.hold(compute.device, self._say):
                for report in work.worker(compute, self.number).run(self._feed):
                    self._note(report, is_loaded=True)
        except BaseException as caught:
            error = caught if isinstance(caught, HfAssetsError) else RuntimeError(f"{type(caught).__name__}: {caught}")
        with self._changed:
            self._news = replace(self._news, is_over=True, error=error)
            self._is_urgent = True
            self._changed.notify_all()

    def _note(self, report: Report, *, is_loaded: bool) -> None:
        """Add to what the driver hears next: at once, where it waits for it to give more, else every second."""
        with self._changed:
            if report.finished or report.said or is_loaded != self._news.is_loaded:
                self._is_urgent = True
                self._changed.notify_all()
            self._news = replace(self._news, report=self._news.report.plus(report), is_loaded=is_loaded)

    def _say(self, line: str) -> None:
        self._note(Report(said=(line,)), is_loaded=False)

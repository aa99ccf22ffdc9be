"""The driver of Ray actors: hands out units, and takes reports.

An actor that dies is restarted by Ray; its units are handed out again by the driver, never by Ray, so that it counts
what they cost (see `handout`).
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.handout import Handout
from hf_assets.engines.ray_decoders import Decoders
from hf_assets.engines.ray_worker import News, Stale
from hf_assets.engines.unit import Report, Say, Unit, Work
from hf_assets.errors import ModelError

# After so long without a device, and as often, it is said that one is waited for.
PATIENCE_S = 30.0
RETRY_S = 0.5
# Workers that die before their model is loaded, one after the other, end the run.
BAD_STARTS = 4


# Of all runs of this process: actors are kept from one to the next.
_BEGINNINGS = itertools.count()


@dataclass
class _Seat:
    """An actor as the driver sees it.

    Attributes:
        waiting: references of calls that aren't answered, and what was asked.
        begun: number of its beginning, of which each call says that it belongs to it.
        has_died: it is, or was, in another process than the first.
        can_take: no unit is on its way to it.
        is_drained: it knows that nothing more is at hand.
        reported: samples that it reported as settled, of units that it still has.
        done: samples that it reported as done, and not as settled.
    """

    number: int
    actor: Any
    waiting: dict[Any, str] = field(default_factory=dict)
    begun: int = field(default_factory=lambda: next(_BEGINNINGS))
    has_died: bool = False
    is_begun: bool = False
    is_loaded: bool = False
    can_take: bool = True
    is_drained: bool = False
    is_over: bool = False
    begin_at: float = 0.0
    reported: int = 0
    done: int = 0


class RayEngine:
    """See `engines.unit.Engine`. Its actors are there, or on their way."""

    def __init__(self, actors: list[Any], settings: ComputeSettings, decoders: Decoders | None = None) -> None:
        self.actors = actors
        self.settings = settings
        self.decoders = decoders
        self.num_workers = len(actors)

    def run(self, work: Work, units: list[Unit], say: Say) -> Iterator[Report]:
        import ray

        run = _Run(self, work, units, say)
        work_reference = ray.put(work)
        if self.decoders is not None:
            run.decoders = self.decoders.bound(work_reference, self.num_workers)
        yield from run.reports(work_reference)


class _Run:
    """One work's units, from the first to the last."""

    def __init__(self, engine: RayEngine, work: Work, units: list[Unit], say: Say) -> None:
        self.settings = engine.settings
        self.decoders: Decoders | None = None
        self.seats = [_Seat(number, actor) for number, actor in enumerate(engine.actors)]
        self.work = work
        self.handout = Handout(units, work.left)
        self.say = say
        self.bad_starts = 0
        self.is_ending = False

    def reports(self, work: Any) -> Iterator[Report]:
        import ray

        said_at = time.monotonic()
        while not self.is_ending or not all(seat.is_over for seat in self.seats if seat.is_begun):
            now = time.monotonic()
            for seat in self.seats:
                if not seat.is_begun and "begin" not in seat.waiting.values() and now >= seat.begin_at:
                    if self.is_ending:
                        continue
                    self._ask(seat, "begin", work, self.settings, self.decoders)
                self._keep_busy(seat)
            if not any(seat.is_begun for seat in self.seats) and now - said_at >= PATIENCE_S:
                said_at = now
                self.say(f"waiting for Ray to start {len(self.seats)} workers: no machine has a free device so far")
            pending = {reference: seat for seat in self.seats for reference in seat.waiting}
            if not pending:
                time.sleep(RETRY_S / 5)
                continue
            answered, others = ray.wait(list(pending), num_returns=1, timeout=RETRY_S)
            if answered and others:
                answered += ray.wait(others, num_returns=len(others), timeout=0)[0]
            for reference in answered:
                seat = pending[reference]
                if self.seats[seat.number] is seat:  # else its actor died meanwhile
                    yield from self._answer(seat, reference)
            if self.handout.is_done and not self.is_ending:
                self.is_ending = True
                for seat in self.seats:
                    if seat.is_begun:
                        self._ask(seat, "end")

    def _ask(self, seat: _Seat, what: str, *arguments: Any) -> None:
        seat.waiting[getattr(seat.actor, what).remote(seat.begun, *arguments)] = what

    def _keep_busy(self, seat: _Seat) -> None:
        """Give an actor its next unit, or say that there is none. One that died gets none before its model is loaded,
        so that it is known what it died of if it does again.
        """
        if not seat.is_begun or not seat.can_take or (seat.has_died and not seat.is_loaded) or self.is_ending:
            return
        unit = self.handout.next(seat.number)
        if unit is not None:
            seat.can_take = seat.is_drained = False
            self._ask(seat, "give", unit)
        elif not seat.is_drained and self.handout.given(seat.number):
            seat.is_drained = True
            self._ask(seat, "drain")

    def _answer(self, seat: _Seat, reference: Any) -> Iterator[Report]:
        import ray
        from ray.exceptions import RayActorError, RayError, RayTaskError

        what = seat.waiting.pop(reference)
        try:
            answer = ray.get(reference)
        except RayTaskError as error:  # of the actor's own code
            if isinstance(error.cause, Stale):  # it was restarted before it was seen that it died
                yield from self._bury(seat)
                return
            raise ModelError(f"a Ray worker can't start this work: {error.cause}") from error
        except (RayActorError, RayError):
            yield from self._bury(seat)
            return
        if what == "begin" and self.is_ending:  # too late to be of use: nothing waits for it
            self._ask(seat, "end")
        elif what == "begin":
            seat.is_begun = True
            self._ask(seat, "news")
        elif what == "give":
            seat.can_take = True
        elif what == "news":
            yield from self._hear(seat, answer)

    def _hear(self, seat: _Seat, news: News) -> Iterator[Report]:
        report = news.report
        seat.is_loaded = seat.is_loaded or news.is_loaded
        seat.is_over = news.is_over
        if seat.is_loaded:
            self.bad_starts = 0
        settled = report.computed + report.failed
        seat.reported += settled
        seat.done += report.done - settled
        finished = {unit.number: len(unit.jobs) for unit in self.handout.given(seat.number)}
        for number in report.finished:
            seat.reported -= finished.get(number, 0)
            self.handout.finish(seat.number, number)
        if report != Report() or news.is_loaded:
            yield report
        if news.error is not None:
            raise news.error
        if not news.is_over:
            self._ask(seat, "news")

    def _bury(self, seat: _Seat) -> Iterator[Report]:
        """An actor died, or its machine did. What it had is handed out again once Ray has restarted it, or before, to
        others.
        """
        was_begun, had_units = seat.is_begun, bool(self.handout.given(seat.number))
        blame = had_units and (seat.is_loaded or seat.has_died)
        if was_begun and not seat.is_loaded:
            self.bad_starts += 1
            if self.bad_starts >= BAD_STARTS and not blame:
                raise ModelError(
                    f"workers died {self.bad_starts} times before their model was loaded: see the logs of Ray's "
                    "workers; mostly the machine has too little memory for it"
                )
        loss = self.handout.take_back(seat.number, blame=blame)
        unreported = loss.settled - seat.reported
        fresh = _Seat(seat.number, seat.actor, has_died=seat.has_died or was_begun, begin_at=time.monotonic() + RETRY_S)
        self.seats[seat.number] = fresh
        if was_begun:
            self.say(
                f"worker {seat.number} died; what it had not stored is done again"
                + (f": {sum(len(unit.jobs) for unit in loss.given_up)} sample given up" if loss.given_up else "")
            )
        for unit in loss.given_up:
            self.work.give_up(unit, "each worker that was given this sample alone died")
        given_up = len(loss.given_up)
        yield Report(done=unreported - seat.done + given_up, computed=unreported, failed=given_up)

"""Ray actors that decode for workers whose machines have few cores beside their GPUs."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hf_assets import inert
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Work

# Jobs that are under way to each core of the decoders.
AHEAD = 2


class Decoder:
    """Decodes on CPUs, for any worker and any work, as many jobs at a time as it has cores."""

    def __init__(self) -> None:
        inert.all_of_this_process()

    def is_there(self) -> bool:
        """Whether it is: who asks waits for it."""
        return True

    def decode(self, work: Work, job: Any) -> Any:
        """A sample as a worker's device reads it, or why there is none."""
        return work.decode(job)


@dataclass(frozen=True)
class Decoders:
    """Where the workers of a run have their jobs decoded. It can be pickled.

    Attributes:
        actors: handles of `Decoder`s.
        cores: of each.
        num_workers: that share them.
        work: reference to the work in Ray's store; None before a run.
    """

    actors: list[Any]
    cores: int
    num_workers: int = 1
    work: Any = None

    def bound(self, work: Any, num_workers: int) -> "Decoders":
        """For a run's work, given by its reference."""
        return replace(self, work=work, num_workers=num_workers)

    def added_to(self, compute: Compute, work: Work) -> Compute:
        """How a worker computes that has these: its threads wait for them.

        Args:
            work: the worker's.
        """
        under_way = math.ceil(AHEAD * self.cores * len(self.actors) / self.num_workers)
        threads = max(compute.decode_threads, under_way)
        return replace(compute, decode_threads=threads, decode_elsewhere=self._decode_of(work))

    def _decode_of(self, work: Work) -> Callable[[Any], Any]:
        """What gives jobs to the actors in turn.

        One that dies leaves its job to the worker, which dies of it, too, if that is the job's fault: so deaths are
        counted in one place (`handout`).
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        turn = itertools.cycle(random.sample(self.actors, len(self.actors)))

        def decode(job: Any) -> Any:
            try:
                return ray.get(next(turn).decode.remote(self.work, job))
            except RayTaskError as error:
                raise error.cause from None
            except RayError:
                return work.decode(job)

        return decode

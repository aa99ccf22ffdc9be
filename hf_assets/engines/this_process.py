"""The engine that needs nothing: one worker, in this process."""

from collections.abc import Iterator

from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import AllAtOnce, Report, Say, Unit, Work


class ThisProcess:
    """Encodes on one device of this machine, which its maker holds."""

    num_workers = 1

    def __init__(self, compute: Compute | None = None) -> None:
        self.compute = compute or Compute()

    def run(self, work: Work, units: list[Unit], say: Say) -> Iterator[Report]:
        yield from work.worker(self.compute).run(AllAtOnce(units))

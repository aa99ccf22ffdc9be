"""Payloads that the pool lacks: made in this thread, written by several."""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from hf_assets.encode.progress import Progress
from hf_assets.export.place import Manifest, Place, Write

WRITERS = 4
# Payloads that are made and wait to be written.
AHEAD = 16


class Written(NamedTuple):
    """What an export wrote.

    Attributes:
        computed: payloads, or samples of shards, that were not there before.
        reused: those that were.
        copied: samples of shards that were written again, since others of their shard vanished.
    """

    computed: int = 0
    reused: int = 0
    copied: int = 0
    bytes_written: int = 0


def write_missing(
    place: Place,
    wanted: Mapping[str, Callable[[], Write]],
    known: Manifest | None,
    what: str,
    say: Callable[[str], None],
) -> Written:
    """Write the payloads that the pool lacks; each is there or not, whenever this ends.

    Args:
        wanted: payload -> what makes it, and gives what writes it.
        known: the last generation, whose payloads are as large as it says.
    """
    lacking = place.lacking(wanted, known)
    num_bytes = 0
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(WRITERS) as pool, Progress(what, len(lacking), say) as progress:
        for name in lacking:
            waiting.append(pool.submit(place.write, name, wanted[name]()))
            while len(waiting) > AHEAD:
                num_bytes += waiting.popleft().result()
                progress.add(1)
        while waiting:
            num_bytes += waiting.popleft().result()
            progress.add(1)
    return Written(len(lacking), len(wanted) - len(lacking), 0, num_bytes)

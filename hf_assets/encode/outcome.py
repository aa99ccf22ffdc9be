"""What a stage hands to its asset."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from hf_assets.store.draft import DraftTable
from hf_assets.store.memo import Rest


class Outcome(NamedTuple):
    """A stage's table, and how it came about.

    Attributes:
        table: about to be published.
        computed: samples computed now; None: the table is made as a whole, so all rows where it changed, else none.
        dropped: rows left out by a rule, with their reasons, or their number.
        quarantined: samples that failed (`schema.QUARANTINE`); None: nothing can fail here.
        bytes_read: media and table bytes taken from the dataset.
        facts: more numbers, such as the speed.
        rests: the files, beside the input tables, that were read for it, as they were before; None where they changed
            while they were read.
    """

    table: DraftTable
    computed: int | None = None
    reused: int = 0
    dropped: DraftTable | int = 0
    quarantined: pa.Table | None = None
    bytes_read: int = 0
    facts: Mapping[str, float] = MappingProxyType({})
    rests: tuple[Rest, ...] | None = ()


class Encoded(NamedTuple):
    """What came of a stage that encodes.

    Attributes:
        facts: what is worth knowing about the encoder and its speed.
        least: the first keys in their order, as texts: those that are shown and checked are among them.
        num_samples: rows or captions, of which several may have one key.
    """

    outcome: Outcome
    facts: dict[str, Any]
    least: pa.ChunkedArray
    num_samples: int

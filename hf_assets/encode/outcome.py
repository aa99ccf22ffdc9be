"""What a stage hands to its asset."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from hf_assets.store.memo import Rest


class Outcome(NamedTuple):
    """A stage's table, and how it came about.

    Attributes:
        identity: the columns that make the table's data version; None: all. Where a tensor lies is not part of what
            it is.
        computed: samples computed now; None: the table is made as a whole, so all rows where it changed, else none.
        dropped: rows left out by a rule, with their reasons, or their number.
        quarantined: samples that failed (`schema.QUARANTINE`); None: nothing can fail here.
        bytes_read: media and table bytes taken from the dataset.
        facts: more numbers, such as the speed.
        rests: the files, beside the input tables, that were read for it, as they were before; None where they changed
            while they were read.
    """

    table: pa.Table
    identity: tuple[str, ...] | None = None
    computed: int | None = None
    reused: int = 0
    dropped: pa.Table | int = 0
    quarantined: pa.Table | None = None
    bytes_read: int = 0
    facts: Mapping[str, float] = MappingProxyType({})
    rests: tuple[Rest, ...] | None = ()

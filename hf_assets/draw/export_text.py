"""What came of an export, as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from hf_assets.draw.plan_text import size
from hf_assets.draw.upkeep_text import count_text


def summary(done: Mapping[str, Any], place: str) -> str:
    """One line for one dataset.

    Args:
        done: the fields of `export.exporting.Exported`.
        place: where a trainer finds it.
    """
    counts = [f"{done['computed']:,} written ({size(done['bytes_written'])})"] if done["computed"] else []
    # what is written has names that are new, too
    names = ("reused", "copied", "removed", *(() if done["computed"] else ("renamed",)))
    counts += [f"{done[name]:,} {name}" for name in names if done[name]]
    what = f"{done['id']}: {count_text(done['samples'], 'sample')} as {done['format']}"
    return f"{what}: {', '.join(counts) or 'as it was'}: {place}"

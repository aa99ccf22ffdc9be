"""What came of an export, as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from hf_assets.draw.plan_text import size


def summary(done: Mapping[str, Any]) -> str:
    """One line for one dataset.

    Args:
        done: the fields of `export.exporting.Exported`.
    """
    counts = [f"{done['computed']:,} written", f"{done['reused']:,} reused"]
    counts += [f"{done[name]:,} {name}" for name in ("copied", "removed", "renamed") if done[name]]
    written = size(done["bytes_written"])
    what = f"{done['id']}: {done['samples']:,} samples as {done['format']}"
    return f"{what}: {', '.join(counts)}; {written}: {done['folder']}"

"""A path that isn't there, and one that may be meant."""

import difflib
import os
from pathlib import Path


def hint(path: Path) -> str:
    """Words to put behind a message: a path that is there and is nearly called so; none where there is none."""
    missing = next((one for one in reversed((path, *path.parents)) if not one.exists()), None)
    if missing is None:
        return ""
    try:
        names = sorted(os.listdir(missing.parent))
    except OSError:
        return ""
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(missing.name.lower(), lower, n=1)
    meant = missing.with_name(lower[near[0]]) / path.relative_to(missing) if near else None
    return f'; did you mean "{meant}"?' if meant is not None and meant.exists() else ""

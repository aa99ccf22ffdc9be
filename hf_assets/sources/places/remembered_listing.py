"""What `datasets` found out about a local folder, remembered: it takes two seconds to be imported.

Which files a split has follows from what lies in the folder (names, README.md, archives) and from the release of
`datasets`. So it is asked again only where any file there has another size, time or inode, or was written just now. Of
Parquet files it looks at the names alone: one that is exchanged for another of its name changes no split.
"""

import importlib.metadata
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_assets import files, fingerprint
from hf_assets.hub.hashes import SETTLED_AFTER_NS
from hf_assets.sources import data_files
from hf_assets.sources.data_files import SplitFiles
from hf_assets.sources.formats.conversion import Format
from hf_assets.sources.spec import PARQUET, Part, SourceSpec

# A folder of more files isn't remembered: to look at each takes as long as to ask.
MAX_FILES = 20_000


def remembered(spec: SourceSpec, root: Path, memory: Path, ask: Callable[[], SplitFiles]) -> SplitFiles:
    """What `ask` would return.

    Args:
        root: the dataset's folder.
        memory: a folder for what is remembered.
    """
    state = None if spec.data_files is not None else _state_of(root)
    asked = [spec.dataset_name, spec.dataset_config, spec.split]
    path = memory / "local_splits" / f"{fingerprint.of_value(asked)}.json"
    if state is not None and (known := _read(path, state)) is not None:
        return known
    listed = ask()
    inside = all(Path(name).is_relative_to(root) for name in (*listed.paths, *listed.siblings))
    # the folder may have changed while it was asked
    if state is not None and inside and _state_of(root) == state:
        format = None if listed.format is None else listed.format.dumps()
        content = json.dumps([state, *listed._replace(format=None)[:3], format])
        files.write_atomically(path, content.encode())
    return listed


def _read(path: Path, state: str) -> SplitFiles | None:
    try:
        seen, paths, parts, siblings, format = json.loads(path.read_bytes())
        if seen != state:
            return None
        return SplitFiles(paths, tuple(Part(*part) for part in parts), siblings, format and Format.loads(format))
    except (OSError, ValueError, TypeError):
        return None


def _state_of(root: Path) -> str | None:
    """Hash of the state of all files below a folder; None where there are too many, or one was written just now."""
    states: list[list[Any]] = []
    latest = time.time_ns() - SETTLED_AFTER_NS
    for folder, folders, names in os.walk(root):
        if any(os.path.islink(os.path.join(folder, name)) for name in folders):
            return None  # what lies there isn't seen
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)
            except OSError:  # a link that leads nowhere
                status = os.lstat(path)
            if len(states) == MAX_FILES:
                return None
            if name.lower().endswith(f".{PARQUET}") and stat.S_ISREG(status.st_mode):
                states.append([os.path.relpath(path, root)])
                continue
            if max(status.st_mtime_ns, status.st_ctime_ns) > latest:
                return None
            times = status.st_mtime_ns, status.st_ctime_ns
            states.append([os.path.relpath(path, root), status.st_size, *times, status.st_ino])
    release = importlib.metadata.version("datasets")
    return fingerprint.of_value([data_files.VERSION, release, str(root), sorted(states)])

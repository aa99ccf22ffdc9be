"""What the classes of diffusers were found to do, remembered on this machine: importing them takes seconds.

It saves time only, and follows from the installed version and the question alone.
"""

import contextlib
import json
from collections.abc import Callable
from importlib import metadata
from typing import Any

from hf_assets import files, fingerprint, folder
from hf_assets.errors import StoreError


def recall(question: list[Any], answer: Callable[[], Any]) -> Any:
    """An answer as JSON: the one that is remembered, else found out now.

    Args:
        question: JSON of all that the answer depends on, besides the version of diffusers.
    """
    key = fingerprint.of_value([metadata.version("diffusers"), *question])
    path = folder.machine_cache() / "models" / f"{key}.json"
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        # as it looks after a round trip, so that the first answer is the same as later ones
        found = json.dumps(answer())
    with contextlib.suppress(OSError, StoreError):  # where nothing can be kept, it is found out each time
        files.write_atomically(path, found.encode())
    return json.loads(found)

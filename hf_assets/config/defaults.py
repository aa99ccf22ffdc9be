"""What holds of a dataset where its entry says nothing: settled before the entry is validated, so that recipes and
their settings are frozen from the start.
"""

from collections.abc import Mapping
from typing import Any


def with_defaults(entry: Mapping[str, Any], *defaults: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with the keys that it leaves out, from the first of `defaults` that has one; blocks key by key."""
    made = dict(entry)
    for default in defaults:
        for key, value in default.items():
            if key not in made:
                made[key] = value
            elif isinstance(value, Mapping) and isinstance(made[key], Mapping):
                made[key] = with_defaults(made[key], value)
    return made

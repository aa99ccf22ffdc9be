"""Numbers, true and false as SimpleTuner's files spell them. The reader imports this: no pydantic here."""

import contextlib
import math
from typing import Any


def boolean(value: Any) -> Any:
    """SimpleTuner files hold "true" and "False" as text; such text means what it says."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value


def number(value: Any) -> Any:
    """The finite number that a text says; any other value as it is."""
    if isinstance(value, str):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                if math.isfinite(found := kind(value)):
                    return found
    return value

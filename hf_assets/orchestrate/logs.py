"""Lines in a run's log."""

from collections.abc import Callable
from typing import Any

from hf_assets import inert


def say(context: Any) -> Callable[[str], None]:
    """What a stage says, as lines of the run's log in which quoted texts do nothing."""
    return lambda line: context.log.info(inert.text(line))

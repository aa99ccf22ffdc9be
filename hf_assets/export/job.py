"""One export as the modules of the formats get it."""

from collections.abc import Callable
from typing import NamedTuple

from hf_assets.config.export_rules import ExportRules
from hf_assets.export.place import Manifest, Place
from hf_assets.export.view import View


class Job(NamedTuple):
    """What is to be exported, and where.

    Attributes:
        version: what the generation is called.
        known: the generation before; None where there is none.
    """

    view: View
    rules: ExportRules
    place: Place
    version: str
    known: Manifest | None
    say: Callable[[str], None]

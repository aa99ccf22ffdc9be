"""What an asset shows in the page, as Dagster's metadata."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hf_assets import draw
from hf_assets.show.views import View

SUMMARY = "summary"


def as_metadata(view: View) -> dict[str, Any]:
    """Numbers are plotted over time; texts are Markdown."""
    return {**view.numbers, **{name: dg.MetadataValue.md(text) for name, text in view.texts.items()}}


def arranged(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata in the order in which a person looks: pictures, the numbers that aren't zero with units, then all else.

    Zeros stay among all else: Dagster plots what is there each time.
    """
    numbers = {name: value for name, value in metadata.items() if isinstance(value, int | float)}
    summary = dg.MetadataValue.md(draw.facts(numbers))
    return dict(sorted({**metadata, SUMMARY: summary}.items(), key=lambda item: _rank(*item)))


def _rank(name: str, value: Any) -> int:
    if isinstance(value, dg.MarkdownMetadataValue):
        return 0 if name.endswith("sheet") else 1 if name == SUMMARY else 2
    return 3 if isinstance(value, int | float) else 4

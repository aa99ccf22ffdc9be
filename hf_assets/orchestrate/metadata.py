"""What an asset shows in the page, as Dagster's metadata."""

from typing import Any

import dagster as dg

from hf_assets.show.views import View


def as_metadata(view: View) -> dict[str, Any]:
    """Numbers are plotted over time; texts are Markdown."""
    return {**view.numbers, **{name: dg.MetadataValue.md(text) for name, text in view.texts.items()}}

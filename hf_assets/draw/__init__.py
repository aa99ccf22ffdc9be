"""What people look at: Markdown, charts as SVG, contact sheets as JPEG, one HTML file per dataset. All pure."""

from hf_assets.draw.markdown import (
    buckets,
    channels,
    dropped_examples,
    examples,
    failures,
    fallen,
    funnel,
    named_values,
    sizes,
)

__all__ = [
    "buckets",
    "channels",
    "dropped_examples",
    "examples",
    "failures",
    "fallen",
    "funnel",
    "named_values",
    "sizes",
]

"""What people look at: Markdown, charts as SVG, contact sheets as JPEG, one HTML file per dataset. All pure."""

from hf_assets.draw.markdown import (
    buckets,
    channels,
    drop_counts,
    dropped_examples,
    examples,
    failures,
    funnel,
    named_values,
    sizes,
)

__all__ = [
    "buckets",
    "channels",
    "drop_counts",
    "dropped_examples",
    "examples",
    "failures",
    "funnel",
    "named_values",
    "sizes",
]

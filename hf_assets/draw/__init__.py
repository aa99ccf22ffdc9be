"""How results are drawn: Markdown, charts as SVG, contact sheets as JPEG, one HTML file per dataset. All pure.

Tables and pictures in, text or bytes out: no disk, no store, no Dagster. `markdown` escapes whatever comes from a
dataset; `charts` draws bars and histograms small enough for the event log; `sheets` lays thumbnails on a contact sheet;
`html` is the frame of a report; `plan_text` and `upkeep_text` are what commands print; `columns` describes columns.

Open `markdown` first.
"""

from hf_assets.draw.markdown import (
    buckets,
    channels,
    cut_captions,
    drop_counts,
    dropped_examples,
    examples,
    facts,
    failures,
    flat,
    funnel,
    named_values,
    sizes,
)

__all__ = [
    "buckets",
    "channels",
    "cut_captions",
    "drop_counts",
    "dropped_examples",
    "examples",
    "facts",
    "failures",
    "flat",
    "funnel",
    "named_values",
    "sizes",
]

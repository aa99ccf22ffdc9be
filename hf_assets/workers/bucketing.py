"""Give every captioned row its size, crop and bucket."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.media import image
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.stages import filtering, geometry
from hf_assets.store.ledger import Ledger
from hf_assets.workers.outcome import Outcome
from hf_assets.workers.probing import probe


def size_rules(recipe: Recipe) -> tuple[str, ...]:
    """The filter rules that may have to be judged here, for the asset's code version."""
    rules = recipe.filter
    return (str(rules.min_width), str(rules.min_height)) if rules.has_size_rules and not rules.width_column else ()


def located(captions: pa.Table, raw_dataset: pa.Table) -> pa.Table:
    """Where the bytes of the captioned rows lie: `row` and `schema.LOCATION`."""
    return raw_dataset.select(["row", *schema.LOCATION.names]).filter(
        pc.is_in(raw_dataset["row"], value_set=captions["row"].combine_chunks())
    )


def ledger_of(recipe: Recipe) -> Ledger:
    """What is known of the media of this recipe's column."""
    return Ledger(recipe.folders.metadata / "ledger", recipe.image_column, image.VERSION)


def fit(recipe: Recipe, media: pa.Table, sizeless: pa.ChunkedArray) -> tuple[pa.Table, pa.Table]:
    """Compute the geometry of media (`schema.MEDIA`) from their sizes.

    Rows are dropped that are smaller than `minimum_image_size`, or than `min_width` and `min_height` where no column
    told so before.

    Args:
        sizeless: the `row`s of which no column told (`filtering.sizeless`).

    Returns:
        A table of `schema.BUCKETS`, and the dropped rows with their reasons.
    """
    assigned = geometry.assign(media, recipe.geometry)
    if len(sizeless):
        is_sizeless = pc.is_in(assigned["row"], value_set=sizeless.combine_chunks())
        by_header = filtering.judge_sizes(assigned["original_size"], recipe.filter)
        by_header = pc.if_else(is_sizeless, by_header, pa.scalar(None, pa.string()))
        judged = pc.coalesce(by_header, assigned["dropped_for"])
        assigned = assigned.set_column(assigned.schema.get_field_index("dropped_for"), "dropped_for", judged)
    is_kept = pc.is_null(assigned["dropped_for"])
    table = assigned.filter(is_kept).select(schema.BUCKETS.names).cast(schema.BUCKETS)
    dropped = assigned.filter(pc.invert(is_kept)).select(["row", "media_hash", "original_size", "dropped_for"])
    return table, dropped


def assign(
    recipe: Recipe, captions: pa.Table, raw_dataset: pa.Table, source: Source, threads: int, say: Callable[[str], None]
) -> Outcome:
    """Probe the media that no earlier run has seen, then compute every row's geometry (see `fit`)."""
    wanted = located(captions, raw_dataset)
    probed = probe(wanted, source, snapshot_of(raw_dataset), ledger_of(recipe), recipe.image_column, threads, say)
    table, dropped = fit(recipe, probed.media, filtering.sizeless(raw_dataset, recipe.filter))
    return Outcome(
        table,
        computed=probed.computed,
        reused=len(wanted) - probed.computed,
        dropped=dropped,
        quarantined=probed.quarantined,
        bytes_read=probed.bytes_read,
    )

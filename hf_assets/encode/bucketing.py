"""Give every captioned row its shape, its part of the media, and its bucket."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, folder, schema
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode import decoders
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.probe import probe
from hf_assets.kinds.medium import Medium, medium_of
from hf_assets.previews.thumbnails import Thumbnails, first
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.stages import filtering, naming
from hf_assets.store import memo
from hf_assets.store.memo import Rest

# Of the rows that the filters drop, so many are looked at for the page.
DROPPED_SHOWN = 12


def version(recipe: Recipe) -> str:
    """The asset's code version: of the medium's code and settings, and of the filter rules that may be judged here."""
    medium = medium_of(recipe)
    return code_version(medium.assigned_by, *medium.settings, *_size_rules(recipe))


def _size_rules(recipe: Recipe) -> tuple[str, ...]:
    rules = recipe.filter
    return (str(rules.min_width), str(rules.min_height)) if rules.has_size_rules and not rules.width_column else ()


def locations(captions: pa.Table, raw_dataset: pa.Table) -> pa.Table:
    """Where the bytes of the captioned rows lie: `row` and `schema.LOCATION`."""
    return raw_dataset.select(["row", *schema.LOCATION.names]).filter(
        pc.is_in(raw_dataset["row"], value_set=captions["row"].combine_chunks())
    )


def fit(
    recipe: Recipe, media: pa.Table, sizeless: pa.ChunkedArray, medium: Medium | None = None
) -> tuple[pa.Table, pa.Table]:
    """Compute the shapes and parts of media from their facts.

    Rows are dropped that the medium can't use, such as images smaller than `minimum_image_size`, and those that are
    smaller than `min_width` and `min_height` where no column showed it before.

    Args:
        media: the medium's `media`.
        medium: where several tables are fitted, so that what it found out about the model is asked once.
        sizeless: the `row`s of which no column gives the size (`filtering.sizeless`).

    Returns:
        A table of the medium's `buckets`, and the dropped rows with their reasons.
    """
    medium = medium or medium_of(recipe)
    assigned = medium.assign(media)
    if len(sizeless):
        is_sizeless = pc.is_in(assigned["row"], value_set=sizeless.combine_chunks())
        by_header = filtering.judge_sizes(assigned["original_size"], recipe.filter)
        by_header = pc.if_else(is_sizeless, by_header, pa.scalar(None, pa.string()))
        judged = pc.coalesce(by_header, assigned["dropped_for"])
        assigned = assigned.set_column(assigned.schema.get_field_index("dropped_for"), "dropped_for", judged)
    is_kept = pc.is_null(assigned["dropped_for"])
    table = assigned.filter(is_kept).select(medium.buckets.names).cast(medium.buckets)
    dropped = assigned.filter(pc.invert(is_kept)).select([*medium.media.names, "dropped_for"])
    return table, dropped


def assign(
    recipe: Recipe, captions: pa.Table, raw_dataset: pa.Table, source: Source, threads: int, say: Callable[[str], None]
) -> Outcome:
    """Probe the media that no earlier run has seen, then compute every row's shape and part (see `fit`)."""
    wanted = locations(captions, raw_dataset)
    shown = folder.dropped(recipe.folders.metadata, "filtered")
    dropped_state = memo.state_of(shown)
    probed = probe(recipe, wanted, source, snapshot_of(raw_dataset), threads, say)
    table, dropped = fit(recipe, probed.media, filtering.sizeless(raw_dataset, recipe.filter))
    num_bytes = _look_at_dropped(recipe, raw_dataset, source, probed.files)
    return Outcome(
        decoders.with_decoder_version(medium_of(recipe).with_column_facts(table, raw_dataset), recipe),
        computed=probed.computed,
        reused=len(wanted) - probed.computed,
        dropped=naming.with_source_paths(dropped, raw_dataset),
        quarantined=naming.with_source_paths(probed.quarantined, raw_dataset),
        bytes_read=probed.bytes_read + num_bytes,
        facts={**probed.speed, **decoders.counts(table)},
        rests=(*probed.rests, Rest(shown.parent, {shown.name: dropped_state} if dropped_state else {})),
    )


def dropped_by_filters(recipe: Recipe) -> pa.Table | None:
    """The rows that `filtered` dropped, with their reasons, as it left them."""
    return files.read_table(folder.dropped(recipe.folders.metadata, "filtered"))


def _look_at_dropped(recipe: Recipe, raw_dataset: pa.Table, source: Source, read: frozenset[str]) -> int:
    """Make thumbnails of a few rows that the filters dropped, so that a person sees what they do.

    Only of files whose media this run read anyway: a file is never fetched for this, nor a part of one by range.

    Args:
        read: hashes of these files.

    Returns:
        the bytes that were read.
    """
    dropped = dropped_by_filters(recipe) if read and not source.spec.streaming else None
    if dropped is None or not len(dropped):
        return 0
    thumbnails, num_bytes = Thumbnails(recipe), 0
    place = raw_dataset.select(["row", *schema.LOCATION.names])
    is_at_hand = pc.is_in(place["file_hash"].cast(pa.string()), value_set=pa.array(sorted(read), pa.string()))
    is_dropped = pc.is_in(place["row"], value_set=dropped["row"].combine_chunks())
    some = first(place.filter(pc.and_(is_at_hand, is_dropped)), DROPPED_SHOWN).sort_by("row")
    to_make = thumbnails.to_make(some)
    is_wanted = [(row["file_hash"], row["file_row"]) in to_make for row in some.to_pylist()]
    snapshot = snapshot_of(raw_dataset)
    parts = by_file(some.filter(pa.array(is_wanted, pa.bool_())), snapshot)
    for media in media_of(parts, source, snapshot, recipe.media_column):
        num_bytes += len(media.data or b"")
        thumbnails.add((media.file.hash, media.file_row), media.data or b"")
    return num_bytes

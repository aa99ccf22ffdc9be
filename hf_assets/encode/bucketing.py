"""Give every captioned row its shape, its part of the media, and its bucket."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, folder, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode import decoders
from hf_assets.encode.choosing import PLACE
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.probe import Probe
from hf_assets.kinds.medium import Medium, medium_of
from hf_assets.previews.thumbnails import First, Thumbnails
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.sources.spec import Snapshot
from hf_assets.stages import aligning, filtering, naming
from hf_assets.stages.aligning import Tables, side_by_side
from hf_assets.store import memo
from hf_assets.store.draft import DraftTable
from hf_assets.store.memo import Rest
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile

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


class Before(NamedTuple):
    """What the last run left, and the tables that it was made of."""

    remaking: Remaking
    captions: TableFile
    raw_dataset: TableFile


def output_paths(root: Location) -> tuple[Location, Location]:
    """Where the table lies, and that of the rows which are left out."""
    return folder.table(root, "buckets"), folder.dropped(root, "buckets")


def assign(
    recipe: Recipe,
    captions: Tables,
    raw_dataset: Tables,
    source: Source,
    threads: int,
    say: Callable[[str], None],
    thumbnails: Thumbnails | None = None,
    show: Callable[[pa.Table, pa.Table, pa.Table], None] = lambda table, place, left_out: None,
    before: Before | None = None,
) -> Outcome:
    """Probe the media that no earlier run has seen, then compute every row's shape and part (see `fit`).

    Args:
        thumbnails: of what is read, which are made.
        show: is given rows of the result, of each its `schema.LOCATION`, and rows that are left out.
        before: what is taken over from the last run; `captions` and `raw_dataset` have the other rows.
    """
    root, medium = recipe.folders.metadata, medium_of(recipe)
    thumbnails = thumbnails or Thumbnails(recipe)
    paths = output_paths(root)
    table, dropped = map(before.remaking.draft if before else functools.partial(DraftTable, by_row=True), paths)
    read = [*PLACE, *([schema.COLUMNS] if _reads_columns(recipe) else [])]
    snapshot = snapshot_of(next(raw_dataset(PLACE)).schema)
    dropped_file = folder.dropped(root, "filtered")
    dropped_state = memo.state_of(dropped_file)
    quarantined, decoded, num_wanted = [schema.QUARANTINE.empty_table()], Counter[str](), 0

    def survey() -> Iterator[pa.Table]:
        return (aligning.only(raw, some) for raw, some in side_by_side(raw_dataset(PLACE), captions(["row"])))

    for number in before.remaking.kept if before else ():
        assert before is not None
        found, left_out = (before.remaking.old_rows(path, number) for path in paths)
        num_wanted += before.remaking.num_rows(before.captions, number)
        decoded.update(decoders.counts(found))
        show(found, aligning.only(before.remaking.rows_of(before.raw_dataset, number, PLACE), found), left_out)
    with contextlib.closing(Probe(recipe, source, snapshot, thumbnails, threads, say)) as probe:
        for raw, some in side_by_side(raw_dataset(read), captions(["row"])):
            wanted = aligning.only(raw, some)
            num_wanted += len(wanted)
            facts = probe.facts(wanted.select(PLACE), survey)
            quarantined.append(naming.with_source_paths(facts.quarantined, raw))
            if before:
                before.remaking.forget(facts.quarantined["row"])
            found, left_out = fit(recipe, facts.media, filtering.sizeless(raw, recipe.filter), medium)
            decoded.update(decoders.counts(found))
            table.add(decoders.with_decoder_version(medium.with_column_facts(found, raw), recipe))
            left_out = naming.with_source_paths(left_out, raw)
            dropped.add(left_out)
            show(found, aligning.only(wanted, found), left_out)
    num_bytes = _look_at_dropped(recipe, raw_dataset, snapshot, source, probe.files, thumbnails)
    return Outcome(
        table,
        computed=probe.computed,
        reused=num_wanted - probe.computed,
        dropped=dropped,
        quarantined=pa.concat_tables(quarantined),
        bytes_read=probe.bytes_read + num_bytes,
        facts={**probe.speed, **decoded},
        rests=(*probe.rests, Rest(root, {dropped_file.name: dropped_state} if dropped_state else {})),
    )


def _reads_columns(recipe: Recipe) -> bool:
    """Whether the dataset's own columns decide something here."""
    return bool(_size_rules(recipe)) or medium_of(recipe).reads_columns


def judged(recipe: Recipe, raw_dataset: Tables) -> Iterator[pa.Table]:
    """Where all rows lie, with `dropped_for`, why `filtered` left them out; nothing if that isn't known."""
    dropped = files.read_tables(folder.dropped(recipe.folders.metadata, "filtered"), ["row", "dropped_for"])
    if dropped is None:
        return
    for place, some in side_by_side(raw_dataset(PLACE), dropped):
        at = pc.index_in(place["row"], value_set=some["row"].combine_chunks())
        yield place.append_column("dropped_for", some["dropped_for"].take(at))


def _look_at_dropped(
    recipe: Recipe,
    raw_dataset: Tables,
    snapshot: Snapshot,
    source: Source,
    read: frozenset[str],
    thumbnails: Thumbnails,
) -> int:
    """Make thumbnails of a few rows that the filters dropped, so that a person sees what they do.

    Only of files whose media this run read anyway: a file is never fetched for this, nor a part of one by range.

    Args:
        read: hashes of these files.

    Returns:
        the bytes that were read.
    """
    if not read or source.spec.streaming:
        return 0
    read -= {file.hash for file in snapshot.files if file.hash in read and source.fetches(snapshot, file)}
    chosen, at_hand = First(DROPPED_SHOWN), pa.array(sorted(read), pa.string())
    chosen.add(pa.schema([schema.ROW, *schema.LOCATION, schema.SOURCE_PATH]).empty_table())
    for place in judged(recipe, raw_dataset):
        is_at_hand = pc.is_in(place["file_hash"].cast(pa.string()), value_set=at_hand)
        chosen.add(place.filter(pc.and_(is_at_hand, pc.is_valid(place["dropped_for"]))).select(PLACE))
    some, places, num_bytes = chosen.rows.sort_by("row"), thumbnails.places, 0
    is_wanted = [(row["file_hash"], row["file_row"]) not in places for row in some.to_pylist()]
    parts = by_file(some.filter(pa.array(is_wanted, pa.bool_())), snapshot)
    for media in media_of(parts, source, snapshot, recipe.media_column):
        num_bytes += len(media.data or b"")
        thumbnails.add((media.file.hash, media.file_row), media.data or b"")
    return num_bytes

"""Look at each row's media once in its life: its content hash, and its facts, such as a size, from the header."""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.engines.local import map_ahead
from hf_assets.errors import MediaError
from hf_assets.sources.source import Source
from hf_assets.sources.spec import Snapshot
from hf_assets.store.ledger import Ledger
from hf_assets.workers.medium import Medium, medium_of
from hf_assets.workers.progress import Progress
from hf_assets.workers.reading import FileRows, Media, by_file, media_of

# So many rows are committed to the ledger at once: a second of work. More and smaller parts take longer to read again.
UNIT_ROWS = 8192


class Recalled(NamedTuple):
    """What the ledger tells about the wanted rows, before any media is read."""

    media: pa.Table  # the medium's `media`
    quarantined: pa.Table  # `schema.QUARANTINE`
    unknown: list[FileRows]  # the rows that it doesn't know


class Probed(NamedTuple):
    """What is known of the wanted rows' media."""

    media: pa.Table  # the medium's `media`
    quarantined: pa.Table  # `schema.QUARANTINE`
    computed: int
    bytes_read: int


def ledger_of(recipe: Recipe) -> Ledger:
    """What is known of the media of this recipe's column."""
    medium = medium_of(recipe)
    return Ledger(recipe.folders.metadata / "ledger", recipe.media_column, medium.probed_by, medium.facts)


def recall(recipe: Recipe, located: pa.Table, snapshot: Snapshot) -> Recalled:
    """Find the facts about rows in the ledger.

    Args:
        located: `row` and `schema.LOCATION` of the wanted rows, in the split's order.
    """
    medium, book = medium_of(recipe), ledger_of(recipe)
    parts = list(by_file(located, snapshot))
    known = book.read({part.file.hash for part in parts})
    media, quarantined, unknown = [medium.media.empty_table()], [schema.QUARANTINE.empty_table()], []
    for part in parts:
        facts = known.get(part.file.hash, book.known.empty_table())
        found_at = pc.index_in(pa.array(part.file_rows), value_set=facts["file_row"].combine_chunks())
        is_known = pc.is_valid(found_at).to_numpy(zero_copy_only=False)
        if not is_known.all():
            unknown.append(FileRows(part.file, part.rows[~is_known], part.file_rows[~is_known]))
        found = facts.take(found_at.drop_null()).append_column("row", pa.array(part.rows[is_known]))
        failed = pc.is_valid(found["reason"])
        media.append(medium.describe(found.filter(pc.invert(failed))))
        quarantined.append(_quarantine(found.filter(failed), part.file.path))
    return Recalled(pa.concat_tables(media), pa.concat_tables(quarantined), unknown)


def probe(
    recipe: Recipe, located: pa.Table, source: Source, snapshot: Snapshot, threads: int, say: Callable[[str], None]
) -> Probed:
    """Find the facts about rows in the ledger, and read the media of just the rows that it lacks.

    Args:
        located: `row` and `schema.LOCATION` of the wanted rows, in the split's order.
    """
    recalled = recall(recipe, located, snapshot)
    computed = sum(len(part.rows) for part in recalled.unknown)
    bytes_read = 0
    if recalled.unknown:
        look, book = functools.partial(_look, medium_of(recipe)), ledger_of(recipe)
        progress = Progress("probing media", computed, say)
        media = media_of(iter(recalled.unknown), source, snapshot, recipe.media_column)
        for file_hash, facts in groupby(
            map_ahead(look, media, threads=threads, ahead=4 * threads), key=lambda fact: fact[0]
        ):
            unit: list[dict[str, Any]] = []
            for _, num_bytes, fact in facts:
                bytes_read += num_bytes
                unit.append(fact)
                if len(unit) == UNIT_ROWS:
                    book.add(file_hash, pa.Table.from_pylist(unit, schema=book.looks))
                    progress.add(len(unit))
                    unit = []
            if unit:
                book.add(file_hash, pa.Table.from_pylist(unit, schema=book.looks))
                progress.add(len(unit))
        recalled = recall(recipe, located, snapshot)
    assert not recalled.unknown, "every row that was looked at is in the ledger"
    return Probed(recalled.media, recalled.quarantined, computed, bytes_read)


def _look(medium: Medium, media: Media) -> tuple[str, int, dict[str, Any]]:
    """(file hash, bytes read, a row of the ledger)."""
    fact: dict[str, Any] = {"file_row": media.file_row, "seen_at": datetime.now(UTC)}
    if media.data is None:
        return media.file.hash, 0, {**fact, "reason": "missing", "message": "the row holds no media bytes"}
    fact["media_hash"] = fingerprint.of_bytes(media.data)
    try:
        facts = medium.probe(media.data)
    except MediaError as error:
        return media.file.hash, len(media.data), {**fact, "reason": error.reason, "message": str(error)}
    return media.file.hash, len(media.data), {**fact, **facts}


def _quarantine(facts: pa.Table, path: str) -> pa.Table:
    stage = pa.array(["buckets"] * len(facts), pa.string())
    columns = {
        **{name: facts[name] for name in ("row", "reason", "message", "first_seen", "last_seen")},
        "address": pc.binary_join_element_wise(path, facts["file_row"].cast(pa.string()), "#"),
        "key": facts["media_hash"],
        "stage": stage,
    }
    return pa.table([columns[name] for name in schema.QUARANTINE.names], schema=schema.QUARANTINE)

"""Look at each row's media once in its life: its content hash, and its size from the header."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.engines.local import map_ahead
from hf_assets.errors import MediaError
from hf_assets.media import image
from hf_assets.sources.source import Source
from hf_assets.sources.spec import Snapshot
from hf_assets.store import ledger
from hf_assets.store.ledger import Ledger
from hf_assets.workers.progress import Progress
from hf_assets.workers.reading import FileRows, Media, by_file, media_of

# So many rows are committed to the ledger at once.
UNIT_ROWS = 1024


class Probed(NamedTuple):
    """What is known of the wanted rows' media."""

    media: pa.Table  # `schema.MEDIA`
    quarantined: pa.Table  # `schema.QUARANTINE`
    computed: int
    bytes_read: int


def probe(
    located: pa.Table,
    source: Source,
    snapshot: Snapshot,
    book: Ledger,
    column: str,
    threads: int,
    say: Callable[[str], None],
) -> Probed:
    """Find the facts about rows in the ledger, and read the media of just the rows that it lacks.

    Args:
        located: `row` and `schema.LOCATION` of the wanted rows, in the split's order.
    """
    parts = list(by_file(located, snapshot))
    hashes = {part.file.hash for part in parts}
    known = book.read(hashes)
    missing = [part for part in (_missing(part, known.get(part.file.hash)) for part in parts) if len(part.rows)]
    bytes_read = 0
    if missing:
        progress = Progress("probing media", sum(len(part.rows) for part in missing), say)
        media = media_of(iter(missing), source, snapshot, column)
        for file_hash, facts in groupby(
            map_ahead(_look, media, threads=threads, ahead=4 * threads), key=lambda fact: fact[0]
        ):
            unit: list[dict[str, Any]] = []
            for _, num_bytes, fact in facts:
                bytes_read += num_bytes
                unit.append(fact)
                if len(unit) == UNIT_ROWS:
                    book.add(file_hash, pa.Table.from_pylist(unit, schema=ledger.SCHEMA))
                    progress.add(len(unit))
                    unit = []
            if unit:
                book.add(file_hash, pa.Table.from_pylist(unit, schema=ledger.SCHEMA))
                progress.add(len(unit))
        known = book.read(hashes)
    facts = _in_order(parts, known)
    failed = pc.is_valid(facts["reason"])
    return Probed(
        _media(facts.filter(pc.invert(failed))),
        _quarantine(facts.filter(failed)),
        sum(len(part.rows) for part in missing),
        bytes_read,
    )


def _look(media: Media) -> tuple[str, int, dict[str, Any]]:
    """(file hash, bytes read, a row of the ledger)."""
    fact: dict[str, Any] = {"file_row": media.file_row, "seen_at": datetime.now(UTC)}
    if media.data is None:
        return media.file.hash, 0, {**fact, "reason": "missing", "message": "the row holds no media bytes"}
    fact["media_hash"] = fingerprint.of_bytes(media.data)
    try:
        facts = image.probe(media.data)
    except MediaError as error:
        return media.file.hash, len(media.data), {**fact, "reason": error.reason, "message": str(error)}
    return media.file.hash, len(media.data), {**fact, "width": facts.width, "height": facts.height}


def _missing(part: FileRows, known: pa.Table | None) -> FileRows:
    if known is None:
        return part
    unknown = ~np.isin(part.file_rows, known["file_row"].to_numpy())
    return FileRows(part.file, part.rows[unknown], part.file_rows[unknown])


def _in_order(parts: list[FileRows], known: dict[str, pa.Table]) -> pa.Table:
    """The ledger's facts about every wanted row, in the split's order, with `row` and `address`."""
    tables = []
    for part in parts:
        facts = known[part.file.hash]
        found = facts.take(pc.index_in(pa.array(part.file_rows), value_set=facts["file_row"].combine_chunks()))
        address = pc.binary_join_element_wise(part.file.path, found["file_row"].cast(pa.string()), "#")
        tables.append(found.append_column("row", pa.array(part.rows)).append_column("address", address))
    if tables:
        return pa.concat_tables(tables)
    empty = pa.schema([*ledger.SCHEMA, schema.ROW, pa.field("address", pa.string())])
    return empty.empty_table()


def _media(facts: pa.Table) -> pa.Table:
    return pa.table(
        [facts["row"], facts["media_hash"], schema.pairs(facts["width"], facts["height"])], schema=schema.MEDIA
    )


def _quarantine(facts: pa.Table) -> pa.Table:
    stage = pa.array(["buckets"] * len(facts), pa.string())
    columns = {
        **{name: facts[name] for name in ("row", "address", "reason", "message", "seen_at")},
        "key": facts["media_hash"],
        "stage": stage,
    }
    return pa.table([columns[name] for name in schema.QUARANTINE.names], schema=schema.QUARANTINE)

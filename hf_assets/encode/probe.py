"""Look at each row's media once in its life: its content hash, and its facts, such as a size, from the header."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode.media_files import FileRows, Media, by_file, media_of
from hf_assets.encode.pipes import Budget
from hf_assets.encode.progress import Progress
from hf_assets.engines.ahead import map_ahead
from hf_assets.errors import MediaError
from hf_assets.kinds.medium import Medium, medium_of
from hf_assets.previews.thumbnails import Place, Thumbnails
from hf_assets.sources.source import Source
from hf_assets.sources.spec import WHOLE_FILE, Snapshot
from hf_assets.store import memo
from hf_assets.store.ledger import WHOLE_FILES, Ledger
from hf_assets.store.memo import Rest

# So many rows are committed to the ledger at once: a second of work. More and smaller parts take longer to read again.
UNIT_ROWS = 8192
# So many rows, or of so many bytes, a thread looks at before it gives its looks back.
BUNCH_ROWS = 64
BUNCH_BYTES = 4 << 20
# So much of what was read may wait for a look, or one larger media file beside half of that.
AHEAD_BYTES = 256 << 20


class LedgerAnswer(NamedTuple):
    """What the ledger knows about the wanted rows, before any media is read."""

    media: pa.Table  # the medium's `media`
    quarantined: pa.Table  # `schema.QUARANTINE`
    unknown: list[FileRows]  # the rows that it doesn't know


class ProbeResult(NamedTuple):
    """What is known of the wanted rows' media."""

    media: pa.Table  # the medium's `media`
    quarantined: pa.Table  # `schema.QUARANTINE`
    computed: int
    bytes_read: int
    files: frozenset[str] = frozenset()  # hashes of the files whose media were read
    speed: Mapping[str, float] = MappingProxyType({})
    rests: tuple[Rest, ...] = ()  # the parts of the ledger


def ledger_of(recipe: Recipe) -> Ledger:
    """What is known of the media of this recipe's column."""
    medium = medium_of(recipe)
    return Ledger(folder.ledger(recipe.folders.metadata), recipe.media_column, medium.probed_by, medium.facts)


class Known:
    """The ledger, for who asks it for part of the rows at a time: it is listed once."""

    def __init__(self, recipe: Recipe) -> None:
        self.book = ledger_of(recipe)
        self._parts = self.book.parts()
        self._whole: pa.Table | None = None

    def of(self, file_hash: str) -> pa.Table:
        """What is known of the rows of a file (`known`)."""
        facts = self.book.facts(self._parts.get(file_hash, []))
        return self.book.known.empty_table() if facts is None else facts

    @property
    def whole(self) -> pa.Table:
        """What is known of media that are files of their own (`whole_known`)."""
        if self._whole is None:
            self._whole = self.book.read_whole()
        return self._whole


def recall(recipe: Recipe, located: pa.Table, snapshot: Snapshot, known: Known | None = None) -> LedgerAnswer:
    """Find the facts about rows in the ledger.

    Args:
        located: `row` and `schema.LOCATION` of the wanted rows, in the split's order.
    """
    medium, known = medium_of(recipe), known or Known(recipe)
    is_whole = pc.equal(located["file_row"], WHOLE_FILE)
    whole, in_rows = located.filter(is_whole), located.filter(pc.invert(is_whole))
    found = [LedgerAnswer(medium.media.empty_table(), schema.QUARANTINE.empty_table(), [])]
    for part in by_file(in_rows, snapshot):
        facts = known.of(part.file.hash)
        found_at = pc.index_in(pa.array(part.file_rows), value_set=facts["file_row"].combine_chunks())
        is_known = pc.is_valid(found_at).to_numpy(zero_copy_only=False)
        facts = facts.take(found_at.drop_null()).append_column("row", pa.array(part.rows[is_known]))
        addresses = pc.binary_join_element_wise(part.file.path, facts["file_row"].cast(pa.string()), "#")
        lacking = FileRows(part.file, part.rows[~is_known], part.file_rows[~is_known])
        found.append(_facts_found(medium, facts, addresses, [] if is_known.all() else [lacking]))
    if len(whole):
        facts = known.whole
        found_at = pc.index_in(whole["file_hash"].cast(pa.string()), value_set=facts["file_hash"].combine_chunks())
        is_known = pc.is_valid(found_at)
        facts = facts.take(found_at.drop_null()).append_column("row", whole["row"].filter(is_known))
        addresses = whole["file_path"].cast(pa.string()).filter(is_known)
        found.append(_facts_found(medium, facts, addresses, list(by_file(whole.filter(pc.invert(is_known)), snapshot))))
    media, quarantined = (pa.concat_tables([getattr(one, name) for one in found]) for name in ("media", "quarantined"))
    unknown = [part for one in found for part in one.unknown]
    if len(whole) and len(in_rows):
        media, quarantined = media.sort_by("row"), quarantined.sort_by("row")
    return LedgerAnswer(media, quarantined, unknown)


def probe(
    recipe: Recipe, located: pa.Table, source: Source, snapshot: Snapshot, threads: int, say: Callable[[str], None]
) -> ProbeResult:
    """Find the facts about rows in the ledger, and read the media of just the rows that it lacks.

    Args:
        located: `row` and `schema.LOCATION` of the wanted rows, in the split's order.
    """
    book = ledger_of(recipe)
    listed = memo.states_of(book.folder)
    recalled = recall(recipe, located, snapshot)
    computed = sum(len(part.rows) for part in recalled.unknown)
    bytes_read = 0
    speed: dict[str, float] = {}
    files = frozenset(part.file.hash for part in recalled.unknown)
    if recalled.unknown:
        thumbnails = Thumbnails(recipe)
        look = functools.partial(_look, medium_of(recipe), thumbnails, thumbnails.to_make(located))
        media = media_of(iter(recalled.unknown), source, snapshot, recipe.media_column, keeps=True)
        with Progress("probing media", computed, say) as progress:
            budget = Budget(AHEAD_BYTES)

            def look_at(bunch: Bunch) -> list[_Look]:
                try:
                    return list(map(look, bunch.media))
                finally:
                    budget.give_back(bunch.num_bytes)

            seen = map_ahead(look_at, bunches_of(media, budget), threads=threads, ahead=2 * threads)
            looks = itertools.chain.from_iterable(seen)
            for file_hash, facts in groupby(looks, key=lambda look: look.book):
                columns = book.whole_looks if file_hash == WHOLE_FILES else book.looks
                while unit := [_count(one, progress) for one in islice(facts, UNIT_ROWS)]:
                    bytes_read += sum(one.num_bytes for one in unit)
                    book.add(file_hash, pa.Table.from_pylist([one.fact for one in unit], schema=columns))
            speed = progress.facts
        recalled = recall(recipe, located, snapshot)
    assert not recalled.unknown, "every row that was looked at is in the ledger"
    # of a row that failed, another look may come
    rests = Rest(book.folder, {**listed, **book.written}, is_all=len(recalled.quarantined) > 0)
    return ProbeResult(recalled.media, recalled.quarantined, computed, bytes_read, files, speed, (rests,))


class Bunch(NamedTuple):
    """Media for one thread to look at, one by one: handing over each takes longer than a look at a small one."""

    media: list[Media]
    num_bytes: int


def bunches_of(media: Iterable[Media], budget: Budget) -> Iterator[Bunch]:
    """Media in bunches, each once the budget has room for it."""
    bunch: list[Media] = []
    num_bytes = 0
    for one in media:
        bunch.append(one)
        num_bytes += len(one.data or b"")
        if len(bunch) == BUNCH_ROWS or num_bytes >= BUNCH_BYTES:
            budget.take(num_bytes)
            yield Bunch(bunch, num_bytes)
            bunch, num_bytes = [], 0
    if bunch:
        budget.take(num_bytes)
        yield Bunch(bunch, num_bytes)


class _Look(NamedTuple):
    """What a look at one row's media found.

    Attributes:
        book: the part of the ledger in which it is noted: the hash of the row's file, or `WHOLE_FILES`.
        fact: a row of the ledger.
    """

    book: str
    num_bytes: int
    fact: dict[str, Any]


def _count(look: _Look, progress: Progress) -> _Look:
    progress.add(1)
    return look


def _look(medium: Medium, thumbnails: Thumbnails, to_make: set[Place], media: Media) -> _Look:
    is_whole = media.file_row == WHOLE_FILE
    fact: dict[str, Any] = {"file_row": media.file_row, "file_hash": media.file.hash, "seen_at": datetime.now(UTC)}
    if media.error is not None:
        fact |= {"reason": media.error.reason, "message": str(media.error)}
    elif media.data is None:
        message = "the row holds no media bytes, and names no file that the dataset has"
        fact |= {"reason": "missing", "message": message}
    else:
        fact["media_hash"] = fingerprint.of_bytes(media.data)
        try:
            fact |= medium.probe(media.data)
        except MediaError as error:
            fact |= {"reason": error.reason, "message": str(error)}
        else:
            if (media.file.hash, media.file_row) in to_make:
                thumbnails.add((media.file.hash, media.file_row), media.data)
    return _Look(WHOLE_FILES if is_whole else media.file.hash, media.num_bytes, fact)


def _facts_found(medium: Medium, facts: pa.Table, addresses: pa.ChunkedArray, unknown: list[FileRows]) -> LedgerAnswer:
    failed = pc.is_valid(facts["reason"])
    return LedgerAnswer(
        medium.describe(facts.filter(pc.invert(failed))),
        _quarantine(facts.filter(failed), addresses.filter(failed)),
        unknown,
    )


def _quarantine(facts: pa.Table, addresses: pa.ChunkedArray) -> pa.Table:
    columns = {
        **{name: facts[name] for name in ("row", "reason", "message", "first_seen", "last_seen")},
        "address": addresses,
        "source_path": pa.nulls(len(facts), schema.SOURCE_PATH.type),  # who asks knows it
        "key": facts["media_hash"],
        "stage": pa.array(["buckets"] * len(facts), pa.string()),
    }
    return pa.table([columns[name] for name in schema.QUARANTINE.names], schema=schema.QUARANTINE)

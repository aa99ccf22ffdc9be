"""Look at each row's media once in its life: its content hash, and its facts, such as a size, from the header."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby, islice
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
from hf_assets.previews.thumbnails import KEPT, First, Thumbnails
from hf_assets.sources.source import Source
from hf_assets.sources.spec import WHOLE_FILE, Snapshot
from hf_assets.store import memo
from hf_assets.store.ledger import WHOLE_FILES, Ledger
from hf_assets.store.memo import Rest

# So many rows are committed to the ledger at once: a second of work. More and smaller parts take longer to read again.
UNIT_ROWS = 8192
# So many rows, or of so many bytes, a thread looks at before it gives its looks back.
BUNCH_ROWS = 64
BUNCH_BYTES = 1 << 20
# So much of what was read may wait for a look, or one larger media file beside half of that.
AHEAD_BYTES = 256 << 20


class LedgerAnswer(NamedTuple):
    """What the ledger knows about the wanted rows, before any media is read."""

    media: pa.Table  # the medium's `media`
    quarantined: pa.Table  # `schema.QUARANTINE`
    unknown: list[FileRows]  # the rows that it doesn't know


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
        self._last: tuple[str, pa.Table] | None = None

    def of(self, file_hash: str) -> pa.Table:
        """What is known of the rows of a file (`known`)."""
        if self._last is None or self._last[0] != file_hash:
            facts = self.book.facts(self._parts.get(file_hash, []))
            self._last = file_hash, self.book.known.empty_table() if facts is None else facts
        return self._last[1]

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


class Probe:
    """Finds the facts about rows in the ledger, and reads the media of just the rows that it lacks.

    Attributes:
        computed: rows whose media were looked at; `bytes_read`: of them.
        files: hashes of the files whose media were read.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        snapshot: Snapshot,
        thumbnails: Thumbnails,
        threads: int,
        say: Callable[[str], None],
    ) -> None:
        self._recipe, self._source, self._snapshot = recipe, source, snapshot
        self._thumbnails, self._threads, self._say = thumbnails, threads, say
        self._book = ledger_of(recipe)
        self._listed = memo.states_of(self._book.folder)
        self._known = Known(recipe)
        self._progress: Progress | None = None
        self._num_failed = 0
        self.computed = self.bytes_read = 0
        self.files: frozenset[str] = frozenset()

    def facts(self, located: pa.Table, survey: Callable[[], Iterator[pa.Table]]) -> LedgerAnswer:
        """The facts about some rows, of which none are unknown any more.

        Args:
            located: `row` and `schema.LOCATION`, in the split's order.
            survey: gives all rows that are wanted, in tables like `located`: it is called once, if media must be read.
        """
        answer = recall(self._recipe, located, self._snapshot, self._known)
        if answer.unknown:
            if self._progress is None:
                self._progress = Progress("probing media", self._count_unknown(survey()), self._say)
            self._look_at(answer.unknown)
            self._known = Known(self._recipe)
            answer = recall(self._recipe, located, self._snapshot, self._known)
            assert not answer.unknown, "every row that was looked at is in the ledger"
        self._num_failed += len(answer.quarantined)
        return answer

    def _count_unknown(self, tables: Iterator[pa.Table]) -> int:
        shown, num_unknown = First(KEPT), 0
        for located in tables:
            shown.add(located)
            unknown = recall(self._recipe, located, self._snapshot, self._known).unknown
            num_unknown += sum(len(part.rows) for part in unknown)
        self._thumbnails.expect(shown.rows)
        return num_unknown

    def _look_at(self, unknown: list[FileRows]) -> None:
        assert self._progress is not None
        self.computed += sum(len(part.rows) for part in unknown)
        self.files |= {part.file.hash for part in unknown}
        look = functools.partial(_look, medium_of(self._recipe), self._thumbnails)
        media = media_of(iter(unknown), self._source, self._snapshot, self._recipe.media_column, keeps=True)
        budget = Budget(AHEAD_BYTES)

        def look_at(bunch: Bunch) -> list[_Look]:
            try:
                return list(map(look, bunch.media))
            finally:
                budget.give_back(bunch.num_bytes)

        bunches = bunches_of(media, budget)
        seen = map_ahead(look_at, bunches, threads=self._threads, ahead=2 * self._threads)
        looks = itertools.chain.from_iterable(seen)
        for file_hash, facts in groupby(looks, key=lambda look: look.book):
            columns = self._book.whole_looks if file_hash == WHOLE_FILES else self._book.looks
            while unit := [_count(one, self._progress) for one in islice(facts, UNIT_ROWS)]:
                self.bytes_read += sum(one.num_bytes for one in unit)
                self._book.add(file_hash, pa.Table.from_pylist([one.fact for one in unit], schema=columns))

    def close(self) -> None:
        """Nothing is asked any more."""
        if self._progress is not None:
            self._progress.close()

    @property
    def speed(self) -> Mapping[str, float]:
        return {} if self._progress is None else self._progress.facts

    @property
    def rests(self) -> tuple[Rest, ...]:
        """The parts of the ledger."""
        # of a row that failed, another look may come
        return (Rest(self._book.folder, {**self._listed, **self._book.written}, is_all=self._num_failed > 0),)


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


def _look(medium: Medium, thumbnails: Thumbnails, media: Media) -> _Look:
    is_whole = media.file_row == WHOLE_FILE
    fact: dict[str, Any] = {"file_row": media.file_row, "file_hash": media.file.hash, "seen_at": datetime.now(UTC)}
    if media.error is not None:
        fact |= {"reason": media.error.reason, "message": str(media.error)}
    else:
        assert media.data is not None, "media without an error have bytes"
        fact["media_hash"] = fingerprint.of_bytes(media.data)
        try:
            fact |= medium.probe(media.data)
        except MediaError as error:
            fact |= {"reason": error.reason, "message": str(error)}
        else:
            if (media.file.hash, media.file_row) in thumbnails.expected:
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

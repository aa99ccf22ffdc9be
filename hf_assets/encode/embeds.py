"""Encode the captions whose embeds the store lacks."""

import functools
import json
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.draw.upkeep_text import count_text
from hf_assets.encode import encoders, lookup, rates, taken_over
from hf_assets.encode.embed_stage import EmbedStage, jobs_of, relative_error
from hf_assets.encode.lookup import Found, Lookup
from hf_assets.encode.outcome import Encoded, Outcome
from hf_assets.encode.quarantine import failed_rows
from hf_assets.encode.taken_over import TakenOver
from hf_assets.encode.unit import Totals, run_units, units_of
from hf_assets.engines.unit import HoldDevice
from hf_assets.models import families, prompt
from hf_assets.models import text as text_side
from hf_assets.previews import token_counts
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import joining, keys
from hf_assets.stages.aligning import Cursor, Tables, side_by_side
from hf_assets.store import generations, pieces
from hf_assets.store.draft import DraftTable
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore

STAGE = "text_embeds"
# Of everything here that changes an embed: this module, the text side. Bump the first for a change to this module.
VERSION = f"2.{text_side.VERSION}"
# Of a table's metadata: what decides which embed a caption has.
ANSWERS = b"hf_assets.answers"
# Of a table's metadata: how many captions the rows have, by piece.
NUM_CAPTIONS = b"hf_assets.num_captions"
# Of what the table has, where that changes no embed.
TABLE_VERSION = "3"


def inputs(recipe: Recipe) -> tuple[str, ...]:
    """The tables that `encode` reads: of audio also what says how much of each clip is encoded."""
    return ("captions", "buckets") if recipe.kind == "audio" else ("captions",)


def with_keys(rows: pa.Table, encoder: encoders.Encoder) -> pa.Table:
    """`caption`, what is encoded with it (`captions.COMPANIONS`), and `embed_key` of everything to encode for these
    rows, each once, the empty caption among it.
    """
    return _with_key(_to_encode(rows), encoder)


def _to_encode(rows: pa.Table) -> pa.Table:
    return captions_stage.with_empty(captions_stage.distinct_texts(rows))


def _with_key(texts: pa.Table, encoder: encoders.Encoder) -> pa.Table:
    lyrics, durations_s = (texts[name] if name in texts.column_names else None for name in captions_stage.COMPANIONS)
    keyed = keys.embed_keys(texts["caption"], encoder.fingerprint, lyrics=lyrics, durations_s=durations_s)
    return texts.append_column("embed_key", keyed)


def companions(recipe: Recipe, encoder: encoders.Encoder) -> list[str]:
    """What of a row, beside its captions, these text encoders read: of audio only."""
    if recipe.kind != "audio" or not recipe.model.pipeline.has_text:
        return []
    usage = prompt.remembered_usage(encoder.pipeline)
    arguments = zip(captions_stage.COMPANIONS, (prompt.LYRICS, prompt.DURATION), strict=True)
    return [name for name, argument in arguments if usage.takes(argument)]


def encode(
    recipe: Recipe,
    captions: Tables,
    buckets: Tables | None,
    hold_device: HoldDevice,
    say: Callable[[str], None],
    encoder: encoders.Encoder | None = None,
    show: Callable[[pa.Table], None] = lambda table: None,
    before: TakenOver | None = None,
) -> Encoded:
    """Give every distinct caption, and the empty one, its embed: those that the store holds are reused, each other one
    is computed once.

    Args:
        buckets: of audio, the rows' parts.
        encoder: the text encoders, where they are known already.
        show: is given rows of the result.
        before: what is taken over from the last run: the embeds of the first rows, which are not among `captions`.

    Raises:
        ModelError: the text encoders can't be loaded.
    """
    encoder = encoder or encoders.text_of(recipe, VERSION)
    read = companions(recipe, encoder)
    store, totals, root = TensorStore(recipe.folders.embeds), Totals(), recipe.folders.metadata

    def rows() -> Iterator[pa.Table]:
        if buckets is None or schema.DURATION.name not in read:
            return (joining.with_companions(some, None, read) for some in captions())
        both = side_by_side(captions(), buckets())
        return (joining.with_companions(some, clips, read) for some, clips in both)

    num_texts = 0
    num_captions = _known_counts(before)
    old = _OldTexts(store, encoder, before)
    empty: list[int] = []  # numbers of the empty caption, of which each key's first counts
    with store.in_use(root, say), Lookup(store, encoder, of_texts=True) as asked:
        for piece, some in _by_piece(rows()):
            num_captions[piece] = num_captions.get(piece, 0) + len(pc.list_flatten(some["captions"]))
            texts = _to_encode(some)
            texts = texts.append_column(schema.ROW, pa.array(np.arange(num_texts, num_texts + len(texts))))
            num_texts += len(texts)
            is_old, stored = old.find(texts, piece)
            asked.add_known(texts["row"].filter(is_old), _as_found(stored), num_texts - 1)
            texts = texts.filter(pc.invert(is_old))
            empty += texts["row"].filter(_is_empty(texts)).to_pylist()
            keyed = _with_key(texts, encoder)
            asked.add(keyed["row"], keyed["embed_key"], fingerprint.packed_second_of_strings(keyed["caption"]))
        found = asked.look_up()
        if len(found.missing):
            many = count_text(len(found.missing), "caption")
            say(f"{many} to encode with the text encoders of {encoder.pipeline.name}")
            if not families.of(encoder.pipeline.class_name).text.outputs:
                say(
                    f"{encoder.pipeline.class_name} is not in the table of families (`hf-assets families`): "
                    "its captions are encoded by the general rules, one at a time"
                )
            with hold_device(say) as engine:  # while this run waited, another may have encoded some of them
                found = asked.look_up()
                stage = EmbedStage(recipe, encoder, _counted(rows(), encoder, found, before, old))
                for texts in _slabs(rows(), encoder, found.missing):
                    units = units_of(jobs_of(texts), num_workers=engine.num_workers)
                    totals = totals.then(run_units(engine, stage, units, "encoding captions", say))
            found = asked.look_up()
        draft = before.remaking.draft if before else functools.partial(DraftTable, by_row=True)
        table = draft(folder.table(root, STAGE), identity=("caption", "embed_key"))
        claim, once = generations.Claim(root, STAGE), _Once(taken_over.known(before, found))
        for some in before.pieces(["caption", "embed_key"]) if before else ():
            once.first(some["embed_key"])
            claim.add(some["embed_key"])
            show(some)
        for piece, texts, stored in _side_by_side(_numbered(rows()), found.rows()):
            some = _stored_texts(texts, stored.filter(once.first(stored["key"])))
            table.add(some, number=piece)
            claim.add(stored["key"])
            show(some)
        claim.publish()
        named = taken_over.stored(before, found)
        table.note({NUM_CAPTIONS: json.dumps(num_captions)})
        table.note({taken_over.KEYED_BY: _keyed_by(encoder)})
        table.note({ANSWERS: fingerprint.of_value([encoder.fingerprint, read, _hexes(found.failed)])})
        _say_if_empty_failed(found.failed, empty, say)
        failed = _failed_rows(rows, encoder, found.failed)
    rates.note(encoder, totals.rate)
    error, seconds_each = relative_error(totals.report), totals.device_seconds_each
    record = encoders.record(encoder, table.path, totals.rate, error, seconds_each)
    table.note({encoders.RECORD: json.dumps(record), **named.noted})
    outcome = Outcome(
        table,
        computed=totals.report.computed,
        reused=table.num_rows - totals.report.computed,
        quarantined=failed,
        rests=named.rests,
    )
    facts = {
        "pipeline": encoder.pipeline.name,
        "pipeline_class": encoder.pipeline.class_name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": named.num_bytes,
        **totals.facts,
        **({} if record.relative_error is None else {"relative_error": record.relative_error}),
    }
    return Encoded(outcome, facts, fingerprint.unpack(found.least), sum(num_captions.values()))


def _keyed_by(encoder: encoders.Encoder) -> str:
    """Hash of all that decides which key a text has."""
    return fingerprint.of_value([keys.VERSION, encoder.fingerprint])


class _OldTexts:
    """The texts of the last run's table, of which it is known what the store has."""

    def __init__(self, store: TensorStore, encoder: encoders.Encoder, before: TakenOver | None) -> None:
        self._store = store
        self._before = before if before is not None and before.keyed_by() == _keyed_by(encoder) else None

    def find(self, texts: pa.Table, piece: int) -> tuple[pa.ChunkedArray, pa.Table]:
        """Which of some texts stood in the same piece, and these rows of the table, which are taken over."""
        before = self._before
        old = before.replaced(piece, self._store) if before else None
        if before is None or old is None or captions_stage.companions(old) != captions_stage.companions(texts):
            return pa.chunked_array([pa.repeat(False, len(texts))]), schema.TEXT_EMBEDS.empty_table()
        known = captions_stage.identities(old).combine_chunks()
        at = pc.index_in(captions_stage.identities(texts), value_set=known)
        return pc.is_valid(at), before.name_again(piece, old, at.drop_null())


class _Once:
    """Keys that come several times, of which only the first is wanted."""

    def __init__(self, several: pa.Array) -> None:
        self._several = self._left = several

    def first(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Which of some keys didn't come before. Each comes once among them."""
        is_wanted = pc.or_(pc.invert(pc.is_in(keys, value_set=self._several)), pc.is_in(keys, value_set=self._left))
        if len(self._left):
            self._left = self._left.filter(pc.invert(pc.is_in(self._left, value_set=keys.combine_chunks())))
        return is_wanted


def _hexes(failed: pa.Table) -> list[str]:
    return sorted(fingerprint.unpack(failed[lookup.KEY]).to_pylist())


def answered(text_embeds: TableFile, basis: str) -> str | None:
    """Hash of all that decides which embed a caption has, and of something more; None where it isn't known.

    Args:
        text_embeds: of all captions.
    """
    known = files.metadata_of(text_embeds.path)
    return fingerprint.of_value([basis, known[ANSWERS].decode()]) if ANSWERS in known else None


def _by_piece(rows: Iterator[pa.Table]) -> Iterator[tuple[int, pa.Table]]:
    """Rows of captions by the piece in which they lie, in order; there is at least one, if only of no rows."""
    num_rows = 0
    for some in rows:
        num_rows += len(some)
        yield from pieces.cut(some)
    if not num_rows:
        yield 0, some


def _numbered(rows: Iterator[pa.Table]) -> Iterator[tuple[int, pa.Table]]:
    """The texts of each piece of rows, each once; `row` numbers them from the first to the last."""
    start = 0
    for piece, some in _by_piece(rows):
        texts = _to_encode(some)
        yield piece, texts.add_column(0, schema.ROW, pa.array(np.arange(start, start + len(texts))))
        start += len(texts)


def _side_by_side(
    numbered: Iterator[tuple[int, pa.Table]], stored: Iterator[pa.Table]
) -> Iterator[tuple[int, pa.Table, pa.Table]]:
    """Texts by the piece in which they come first, with those of them that are stored."""
    found, last = Cursor(stored), -1
    for piece, texts in numbered:
        last = texts["row"][-1].as_py() if len(texts) else last
        yield piece, texts, found.until(last)


def _known_counts(before: TakenOver | None) -> dict[int, int]:
    """How many captions the rows have whose embeds are taken over, by piece."""
    if before is None or not before.remaking.kept:
        return {}
    counts = json.loads(before.remaking.metadata(before.path)[NUM_CAPTIONS])
    return {number: counts.get(str(number), 0) for number in before.remaking.kept}


def _slabs(rows: Iterator[pa.Table], encoder: encoders.Encoder, missing: np.ndarray) -> Iterator[pa.Table]:
    """The texts to encode, with their keys: as many at a time as are held in memory.

    Args:
        missing: numbers of the texts.
    """
    waiting: list[pa.Table] = []
    num_waiting = 0
    for _, texts in _numbered(rows):
        wanted = texts.filter(pc.is_in(texts["row"], value_set=pa.array(missing)))
        waiting.append(_with_key(wanted.drop_columns("row"), encoder))
        num_waiting += len(wanted)
        if num_waiting >= lookup.LOOKED_UP_ROWS:
            yield pa.concat_tables(waiting)
            waiting, num_waiting = [], 0
    if num_waiting:
        yield pa.concat_tables(waiting)


def _counted(
    rows: Iterator[pa.Table], encoder: encoders.Encoder, found: Found, before: TakenOver | None, old: _OldTexts
) -> pa.Table:
    """The captions whose tokens are counted."""
    least = fingerprint.unpack(found.wanted_least)
    least = (before.least_with(least, lookup.NUM_LEAST) if before else least).combine_chunks()
    columns = ["caption", "embed_key"]

    def keyed() -> Iterator[pa.Table]:
        yield from before.pieces(columns) if before else ()
        for piece, some in _by_piece(rows):
            texts = _to_encode(some)
            is_old, stored = old.find(texts, piece)
            yield stored.select(columns)
            yield _with_key(texts.filter(pc.invert(is_old)), encoder).select(columns)

    return token_counts.chosen(
        pa.concat_tables([some.filter(pc.is_in(some["embed_key"], value_set=least)) for some in keyed()])
    )


def _as_found(stored: pa.Table) -> pa.Table:
    """Rows of the table of embeds as `Lookup` has them."""
    shapes = pa.nulls(len(stored), lookup.STORED.field("shape").type)
    return stored.rename_columns({"embed_key": lookup.KEY}).append_column("shape", shapes)


def _is_empty(texts: pa.Table) -> pa.Array:
    return pc.equal(texts["caption"], schema.EMPTY_CAPTION).combine_chunks()


def _say_if_empty_failed(failed: pa.Table, empty: list[int], say: Callable[[str], None]) -> None:
    """The empty caption belongs to no row that could be quarantined for it."""
    failures = failed.filter(pc.is_in(failed["row"], value_set=pa.array(empty, pa.int64())))
    for one in failures.slice(0, 1).to_pylist():
        say(f"the empty caption has no embed ({one['message']}), so no captions can be left out in training")


def _failed_rows(rows: Callable[[], Iterator[pa.Table]], encoder: encoders.Encoder, failed: pa.Table) -> pa.Table:
    """Each row with a caption that is known to fail."""
    found = [lookup.FAILED.empty_table()]
    if len(failed):
        hashes = failed[lookup.KEY].combine_chunks()
        for some in rows():
            lines = captions_stage.lines(some)
            at = pc.index_in(fingerprint.pack(_with_key(lines, encoder)["embed_key"]), value_set=hashes)
            said = failed.take(at.drop_null()).drop_columns("row")
            found.append(said.add_column(0, schema.ROW, lines["row"].filter(pc.is_valid(at))))
    return failed_rows(pa.concat_tables(found), STAGE)


def _stored_texts(texts: pa.Table, stored: pa.Table) -> pa.Table:
    """Rows of the table of embeds.

    Args:
        stored: which of the texts have an embed (`lookup.Found.rows`).
    """
    own = {field.name: field for field in (schema.LYRICS, schema.DURATION)}
    made = pa.schema([*schema.TEXT_EMBEDS, *(own[name] for name in captions_stage.companions(texts))])
    chosen = texts.take(pc.index_in(stored["row"], value_set=texts["row"].combine_chunks()))
    columns = {"embed_key": stored["key"], "shard": stored["shard"], "num_bytes": stored["num_bytes"]}
    return pa.table([columns[name] if name in columns else chosen[name] for name in made.names], schema=made)

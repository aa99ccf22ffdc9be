"""Why samples aren't in the store: `LATENTS` and `EMBEDS`, in order.

They are judged by the store's index and by the tables of the last run. These are read when the first sample is missing,
and kept on the disk by their hashes, as what is needed is: so each part is compared with its part of them.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint, folder, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.encode import embeds, encoders
from hf_assets.encode.encoders import Encoder, Record
from hf_assets.encode.lookup import Lookup
from hf_assets.stages import captions as captions_stage
from hf_assets.store.generations import NAMING
from hf_assets.store.index import RETRY
from hf_assets.store.spilling import SpilledRows


class Keyed(NamedTuple):
    """Missing samples by their keys.

    Attributes:
        keys: of the samples.
        to_retry: keys that failed before, and are marked to be tried again.
        last: keys that the last run had stored.
    """

    keys: pa.ChunkedArray
    to_retry: pa.Array
    last: pa.Array


class Hashed(NamedTuple):
    """Missing samples by what is encoded: their media, or their texts.

    Attributes:
        hashes: of the samples' media or texts.
        last: hashes of the last run's.
        now, before: of the encoder, and of the one of the last run; None where that kept no record.
        rows: of the samples; of media only.
        rows_of_gone: whose media in the last run are nowhere any more; of media only.
        has_duration: whether texts are encoded with the length of their clip.
    """

    hashes: pa.ChunkedArray
    last: pa.Array
    now: Record
    before: Record | None
    rows: pa.ChunkedArray | None = None
    rows_of_gone: pa.Array | None = None
    has_duration: bool = False


def _is_to_retry(some: Keyed) -> pa.ChunkedArray:
    return pc.is_in(some.keys, value_set=some.to_retry)


def _was_stored(some: Keyed) -> pa.ChunkedArray:
    return pc.is_in(some.keys, value_set=some.last)


def _is_new(some: Hashed) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(some.hashes, value_set=some.last))


def _took_a_place(some: Hashed) -> pa.ChunkedArray:
    """A changed row and an added one differ only where positions didn't shift; where they did, both are `new`."""
    return pc.and_(_is_new(some), pc.is_in(some.rows, value_set=some.rows_of_gone))


def _differs(part: str) -> Callable[[Hashed], bool]:
    return lambda some: some.before is not None and getattr(some.now, part) != getattr(some.before, part)


def _code_differs(some: Hashed) -> bool:
    return some.before is None or some.now.code_version != some.before.code_version


def _has_duration(some: Hashed) -> bool:
    return some.has_duration


def _always(_: Hashed) -> bool:
    return True


# A reason, and to which samples it applies: to each whether it does, or to all or none.
Reason: TypeAlias = tuple[str, Callable[[Any], pa.ChunkedArray | bool]]


class Reasons(NamedTuple):
    """Of a missing sample the first that applies; all of `by_key` go before `by_hash`."""

    by_key: Sequence[Reason]
    by_hash: Sequence[Reason]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in (*self.by_key, *self.by_hash)))


LATENTS = Reasons(
    by_key=(
        ("retry", _is_to_retry),
        ("damaged", _was_stored),
    ),
    by_hash=(
        ("media", _took_a_place),
        ("new", _is_new),
        ("settings", _differs("settings")),
        ("vae", _differs("component")),
        ("dtype", _differs("dtype")),
        ("code", _code_differs),
        ("geometry", _always),
    ),
)

EMBEDS = Reasons(
    by_key=LATENTS.by_key,
    by_hash=(
        ("caption", _is_new),
        ("settings", _differs("settings")),
        ("encoder", _differs("component")),
        ("dtype", _differs("dtype")),
        ("code", _code_differs),
        ("duration", _has_duration),
        ("code", _always),
    ),
)


def count(samples: int, evidence: Keyed | Hashed, reasons: Sequence[Reason]) -> tuple[Counter[str], np.ndarray]:
    """Count each sample under the first reason that applies.

    Returns:
        The counts, and to which samples none applies, (N,) bool.
    """
    counts: Counter[str] = Counter()
    left = np.ones(samples, bool)
    for name, applies in reasons:
        if not left.any():
            break
        answer = applies(evidence)
        hit = left & (answer if isinstance(answer, bool) else answer.to_numpy())
        if number := int(hit.sum()):
            counts[name] += number
        left &= ~hit
    return counts, left


class Missing:
    """One stage's missing samples, counted by reason: `add` all parts, then `settle`."""

    def __init__(
        self,
        recipe: Recipe,
        encoder: Encoder,
        reasons: Reasons,
        left: pa.Schema,
        evidence: "Callable[[Missing], Iterator[Hashed]]",
        temporary: Path,
    ) -> None:
        """
        Args:
            left: what `evidence` needs of a sample; the last column is its hash.
            evidence: of the samples that `left` holds, part by part.
            temporary: where tables of the last run are kept meanwhile.
        """
        self.recipe, self.encoder, self.reasons, self.temporary = recipe, encoder, reasons, temporary
        self.left = SpilledRows(temporary / "left", left, left.names[-1])
        self._counts: Counter[str] = Counter()
        self._evidence = evidence
        self._keys: SpilledRows | None = None
        self._named = NAMING[encoder.header.stage]

    def add(self, number: int, work: encoders.Work, missing: pa.Table) -> None:
        """What is missing (`Work.missing`) of a part of the needed samples."""
        if not len(missing):
            return
        markers = work.index.filter(pc.equal(work.index["status"], RETRY))
        last = _column(self._last_keys().part(number), self._named)
        evidence = Keyed(missing[work.key], _column(markers, "key"), last)
        counts, left = count(len(missing), evidence, self.reasons.by_key)
        self._counts += counts
        self.left.add(missing.filter(pa.array(left)))

    def settle(self) -> dict[str, int]:
        """All counts, by reason and in the order of reasons, without those to which nothing falls."""
        if self.left.num_rows:
            for evidence in self._evidence(self):
                counts, _ = count(len(evidence.hashes), evidence, self.reasons.by_hash)
                self._counts += counts
        return {name: self._counts[name] for name in self.reasons.names if self._counts[name]}

    def records(self) -> tuple[Record, Record | None]:
        """How the encoder makes tensors now, and how the last run's were made."""
        table = folder.table(self.recipe.folders.metadata, self.encoder.header.stage)
        return encoders.record_of(self.encoder), encoders.read_record(table)

    def last(
        self, table: str, columns: list[str], form: Callable[[pa.Table], pa.Table], kept: pa.Schema
    ) -> SpilledRows:
        """A table of the last run in a form that takes little room; no rows, or not all, where they can't be read."""
        spilled = SpilledRows(self.temporary / kept.names[-1], kept, kept.names[-1])
        for batch in _batches(folder.table(self.recipe.folders.metadata, table), columns):
            spilled.add(form(pa.table(batch)))
        spilled.close()
        return spilled

    def _last_keys(self) -> SpilledRows:
        """The keys of the last run."""
        key = self._named
        if self._keys is None:
            kept = pa.schema([pa.field(key, fingerprint.PACKED)])
            self._keys = self.last(
                self.encoder.header.stage,
                [key],
                lambda rows: pa.table([fingerprint.pack(rows[key])], schema=kept),
                kept,
            )
        return self._keys


_MEDIA = pa.schema([schema.ROW, pa.field("media_hash", fingerprint.PACKED)])
_TEXT = pa.schema([pa.field("text_hash", fingerprint.PACKED)])


def of_latents(recipe: Recipe, needed: Lookup, temporary: Path) -> Missing:
    """Why latents aren't there.

    Args:
        needed: with the packed `media_hash` of all rows.
    """

    def evidence(missing: Missing) -> Iterator[Hashed]:
        trained = missing.last(
            "training_set",
            _MEDIA.names,
            lambda rows: pa.table([rows["row"], fingerprint.pack(rows["media_hash"])], schema=_MEDIA),
            _MEDIA,
        )
        current = SpilledRows(temporary / "current", _MEDIA, "media_hash")
        for part in needed.parts():
            current.add(part)
        current.close()
        rows_of_gone = pa.concat_arrays(
            _column(was.filter(pc.invert(pc.is_in(was["media_hash"], value_set=_column(now, "media_hash")))), "row")
            for was, now in zip(trained.parts(), current.parts(), strict=True)
        )
        records = missing.records()
        for left, last in zip(missing.left.parts(), trained.parts(), strict=True):
            yield Hashed(left["media_hash"], _column(last, "media_hash"), *records, left["row"], rows_of_gone)

    return Missing(recipe, needed.encoder, LATENTS, _MEDIA, evidence, temporary)


def of_embeds(recipe: Recipe, encoder: Encoder, companions: Collection[str], temporary: Path) -> Missing:
    """Why embeds aren't there.

    Args:
        companions: what is encoded with each caption.
    """
    has_duration = schema.DURATION.name in companions
    lyrics = [name for name in companions if name == schema.LYRICS.name]

    def in_present_form(rows: pa.Table) -> pa.Table:
        """An encoder that reads no lyrics has none in its table."""
        for name in lyrics:
            if name not in rows.column_names:
                rows = rows.append_column(schema.LYRICS, pa.nulls(len(rows), schema.LYRICS.type))
        return pa.table([hash_texts(rows)], schema=_TEXT)

    def evidence(missing: Missing) -> Iterator[Hashed]:
        texts = missing.last(embeds.STAGE, ["caption", *lyrics], in_present_form, _TEXT)
        records = missing.records()
        for left, last in zip(missing.left.parts(), texts.parts(), strict=True):
            yield Hashed(left["text_hash"], _column(last, "text_hash"), *records, has_duration=has_duration)

    return Missing(recipe, encoder, EMBEDS, _TEXT, evidence, temporary)


def hash_texts(texts: pa.Table) -> pa.ChunkedArray:
    """Of each caption, with its lyrics where they have some."""
    named = [name for name in texts.column_names if name in ("caption", schema.LYRICS.name)]
    return fingerprint.packed_of_strings(captions_stage.identities(texts.select(named)))


def _batches(path: Location, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """What can be read of those columns that are there."""
    with contextlib.suppress(OSError, pa.ArrowException), pq.ParquetFile(files.parquet(path)) as file:
        yield from file.iter_batches(columns=[name for name in columns if name in file.schema_arrow.names])


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()

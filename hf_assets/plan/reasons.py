"""Why samples aren't in the store, by the tables of the last run.

These are read when the first sample is missing, and kept on the disk by their hashes, as what is needed is: so each
part is held against its part of them.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint, folder, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.encode import embeds, encoders
from hf_assets.encode.encoders import Encoder, Record
from hf_assets.stages import captions as captions_stage
from hf_assets.store.index import RETRY
from hf_assets.store.spilling import SpilledRows

_MEDIA = pa.schema([schema.ROW, pa.field("media_hash", fingerprint.PACKED)])
_TEXT = pa.schema([pa.field("text_hash", fingerprint.PACKED)])


class Why:
    """Why one stage's samples aren't in its store: `add` all parts, then `settle`.

    Attributes:
        counts: by reason.
        left: samples whose key doesn't give the reason.
    """

    def __init__(
        self,
        recipe: Recipe,
        encoder: Encoder,
        component: str,
        left: pa.Schema,
        count_left: "Callable[[Why], None]",
        temporary: Path,
    ) -> None:
        """
        Args:
            component: the reason where the encoder itself changed.
            left: what of a sample decides its reason, as a hash.
            count_left: counts all that is `left`.
            temporary: where tables of the last run are kept meanwhile.
        """
        self.recipe, self.encoder, self.component, self.temporary = recipe, encoder, component, temporary
        self.counts: Counter[str] = Counter()
        self.left = SpilledRows(temporary / "left", left, left.names[-1])
        self._count_left = count_left
        self._keys: SpilledRows | None = None

    def add(self, number: int, todo: encoders.Work, missing: pa.Table) -> None:
        """What is missing (`Work.missing`) of a part of the needed samples."""
        if not len(missing):
            return
        keys = missing[todo.key]
        markers = todo.index.filter(pc.equal(todo.index["status"], RETRY))
        left = self.count(
            missing,
            ("retry", pc.is_in(keys, value_set=_column(markers, "key"))),
            ("damaged", pc.is_in(keys, value_set=_column(self._last_keys(todo.key).part(number), todo.key))),
        )
        self.left.add(left)

    @property
    def changed(self) -> str | None:
        """What of the encoder is not as it was in the last run."""
        last = encoders.read_record(folder.table(self.recipe.folders.metadata, self.encoder.header.stage))
        return what_changed(encoders.record_of(self.encoder), last, self.component)

    def settle(self) -> None:
        """Count what is left, too."""
        if self.left.num_rows:
            self._count_left(self)

    def count(self, samples: pa.Table, *reasons: tuple[str, pa.ChunkedArray | None]) -> pa.Table:
        """Count each sample under the first reason that applies (None: to all); those to which none does."""
        left = np.ones(len(samples), bool)
        for reason, applies in reasons:
            hit = left if applies is None else left & applies.to_numpy()
            if count := int(hit.sum()):
                self.counts[reason] += count
            left = left & ~hit
        return samples.filter(pa.array(left))

    def last(
        self, table: str, columns: list[str], form: Callable[[pa.Table], pa.Table], kept: pa.Schema
    ) -> SpilledRows:
        """A table of the last run in a form that takes little room; no rows, or not all, where they can't be read."""
        spilled = SpilledRows(self.temporary / kept.names[-1], kept, kept.names[-1])
        for batch in _batches(folder.table(self.recipe.folders.metadata, table), columns):
            spilled.add(form(pa.table(batch)))
        spilled.close()
        return spilled

    def _last_keys(self, key: str) -> SpilledRows:
        """The keys of the last run."""
        if self._keys is None:
            kept = pa.schema([pa.field(key, fingerprint.PACKED)])
            self._keys = self.last(
                self.encoder.header.stage,
                [key],
                lambda rows: pa.table([fingerprint.pack(rows[key])], schema=kept),
                kept,
            )
        return self._keys


def of_latents(recipe: Recipe, encoder: Encoder, needed: SpilledRows, temporary: Path) -> Why:
    """Why latents aren't there.

    Media that the last training set lacks are `media` where they took the place of others that are gone, else `new`.
    This distinguishes a changed row from an added one where positions didn't shift; where they did, both are `new`.

    Args:
        needed: with `row` and `media_hash` of all rows.
    """

    def count_left(why: Why) -> None:
        trained = why.last(
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
        unexplained = (why.changed or "geometry", None)
        for left, last in zip(why.left.parts(), trained.parts(), strict=True):
            is_new = pc.invert(pc.is_in(left["media_hash"], value_set=_column(last, "media_hash")))
            took_a_place = pc.is_in(left["row"], value_set=rows_of_gone)
            why.count(left, ("media", pc.and_(is_new, took_a_place)), ("new", is_new), unexplained)

    return Why(recipe, encoder, "vae", _MEDIA, count_left, temporary)


def of_embeds(recipe: Recipe, encoder: Encoder, companions: Collection[str], temporary: Path) -> Why:
    """Why embeds aren't there.

    Args:
        companions: what is encoded with each caption.
    """
    with_duration = schema.DURATION.name in companions
    lyrics = [name for name in companions if name == schema.LYRICS.name]

    def in_present_form(rows: pa.Table) -> pa.Table:
        """An encoder that reads no lyrics has none in its table."""
        for name in lyrics:
            if name not in rows.column_names:
                rows = rows.append_column(schema.LYRICS, pa.nulls(len(rows), schema.LYRICS.type))
        return pa.table([hash_texts(rows)], schema=_TEXT)

    def count_left(why: Why) -> None:
        texts = why.last(embeds.STAGE, ["caption", *lyrics], in_present_form, _TEXT)
        unexplained = (why.changed or ("duration" if with_duration else "code"), None)
        for left, last in zip(why.left.parts(), texts.parts(), strict=True):
            is_new = pc.invert(pc.is_in(left["text_hash"], value_set=_column(last, "text_hash")))
            why.count(left, ("caption", is_new), unexplained)

    return Why(recipe, encoder, "encoder", _TEXT, count_left, temporary)


def hash_texts(texts: pa.Table) -> pa.ChunkedArray:
    """Of each caption, with its lyrics where they have some."""
    named = [name for name in texts.column_names if name in ("caption", schema.LYRICS.name)]
    return fingerprint.pack(fingerprint.of_strings(captions_stage.identities(texts.select(named))))


def what_changed(now: Record, last: Record | None, component: str) -> str | None:
    """What of the encoder is not as it was in the last run; `code` where that run kept no record of it."""
    if last is None:
        return "code"
    if now.settings != last.settings:
        return "settings"
    if now.component != last.component:
        return component
    if now.dtype != last.dtype:
        return "dtype"
    return "code" if now.code_version != last.code_version else None


def _batches(path: Location, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """What can be read of those columns that are there."""
    with contextlib.suppress(OSError, pa.ArrowException), pq.ParquetFile(files.parquet(path)) as file:
        yield from file.iter_batches(columns=[name for name in columns if name in file.schema_arrow.names])


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()

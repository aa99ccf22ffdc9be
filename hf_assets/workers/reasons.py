"""Why samples aren't in the store, told from the tables of the last run.

These are read when the first sample is missing, packed: some 16 bytes a row.
"""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.stages import captions as captions_stage
from hf_assets.store.index import RETRY
from hf_assets.store.spilling import Spilled
from hf_assets.workers import embeds, encoders, latents
from hf_assets.workers.encoders import Record


class WhyLatents:
    """Why latents aren't there, from the tables of the last run; these are read when the first is missing.

    Media that the last training set lacks are `media` where they took the place of others that are gone, else `new`.
    This tells a changed row from an added one where positions didn't shift; where they did, both are `new`.
    """

    def __init__(self, recipe: Recipe, needed: Spilled) -> None:
        """
        Args:
            needed: with `row`, `media_hash` and `latent_key` of all rows.
        """
        self.recipe, self.needed = recipe, needed
        self.last = encoders.recorded(recipe.folders.metadata / f"{latents.STAGE}.parquet")

    @cached_property
    def made(self) -> pa.Array:
        return _last(self.recipe, latents.STAGE, {"latent_key": fingerprint.packed})["latent_key"].combine_chunks()

    @cached_property
    def trained(self) -> pa.Table:
        return _last(self.recipe, "training_set", {"row": lambda rows: rows, "media_hash": fingerprint.packed})

    @cached_property
    def media(self) -> pa.Array:
        """Of all rows, also those of other parts."""
        hashes = [part["media_hash"].combine_chunks() for part in self.needed.parts()]
        return pa.concat_arrays(hashes)

    def of(self, todo: encoders.Work, missing: pa.Table) -> dict[str, int]:
        """How many of the missing fall to each reason."""
        if not len(missing):
            return {}
        trained = self.trained
        before = trained["media_hash"].take(pc.index_in(missing["row"], value_set=trained["row"].combine_chunks()))
        is_gone = pc.invert(pc.is_in(before, value_set=self.media))
        is_known = pc.is_in(missing["media_hash"], value_set=trained["media_hash"].combine_chunks())
        return _first(
            len(missing),
            ("retry", _marked(todo, missing)),
            ("damaged", pc.is_in(missing["latent_key"], value_set=self.made)),
            ("media", pc.and_(pc.invert(is_known), pc.and_(pc.is_valid(before), is_gone))),
            ("new", pc.invert(is_known)),
            (_changed(encoders.record_of(todo.encoder), self.last, "vae") or "geometry", None),
        )


class WhyEmbeds:
    """Why embeds aren't there, from the table of the last run; it is read when the first is missing."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.last = encoders.recorded(recipe.folders.metadata / f"{embeds.STAGE}.parquet")

    @cached_property
    def made(self) -> pa.Array:
        return _last(self.recipe, embeds.STAGE, {"embed_key": fingerprint.packed})["embed_key"].combine_chunks()

    @cached_property
    def texts(self) -> pa.Array:
        return _last_texts(self.recipe)

    def of(self, todo: encoders.Work, missing: pa.Table) -> dict[str, int]:
        """How many of the missing fall to each reason."""
        if not len(missing):
            return {}
        return _first(
            len(missing),
            ("retry", _marked(todo, missing)),
            ("damaged", pc.is_in(missing["embed_key"], value_set=self.made)),
            ("caption", pc.invert(pc.is_in(missing["text_hash"], value_set=self.texts))),
            (_changed(encoders.record_of(todo.encoder), self.last, "encoder") or "code", None),
        )


def _marked(todo: encoders.Work, missing: pa.Table) -> pa.ChunkedArray:
    """Which of the missing failed before, and are to be tried again."""
    markers = todo.index.filter(pc.equal(todo.index["status"], RETRY))
    return pc.is_in(missing[todo.key], value_set=markers["key"].combine_chunks())


def _changed(now: Record, last: Record | None, component: str) -> str | None:
    """What of the encoder is not as it was in the last run; `code` where that run kept no record of it."""
    if last is None:
        return "code"
    if now.component != last.component:
        return component
    if now.dtype != last.dtype:
        return "dtype"
    return "code" if now.code_version != last.code_version else None


def _first(total: int, *reasons: tuple[str, pa.ChunkedArray | None]) -> dict[str, int]:
    """How many samples fall to each reason, each to the first that applies; None applies to all that are left."""
    left = np.ones(total, bool)
    counts = {}
    for reason, applies in reasons:
        hit = left if applies is None else left & applies.to_numpy()
        if count := int(hit.sum()):
            counts[reason] = count
        left = left & ~hit
    return counts


def _last_texts(recipe: Recipe) -> pa.Array:
    """Packed hashes of the texts that the last run embedded; none where they can't be read."""
    hashes = [pa.chunked_array([], fingerprint.PACKED)]
    try:
        with pq.ParquetFile(recipe.folders.metadata / f"{embeds.STAGE}.parquet") as file:
            named = [name for name in ("caption", schema.LYRICS.name) if name in file.schema_arrow.names]
            hashes += [hashed(pa.Table.from_batches([batch])) for batch in file.iter_batches(columns=named)]
    except (OSError, pa.ArrowException):
        hashes = hashes[:1]
    return pa.chunked_array([chunk for one in hashes for chunk in one.chunks], fingerprint.PACKED).combine_chunks()


def _last(recipe: Recipe, name: str, columns: Mapping[str, Callable[[pa.Array], pa.ChunkedArray]]) -> pa.Table:
    """Columns of a table of the last run, each in a form that takes little memory; no rows where none can be read."""
    empty = {column: pa.array([], pa.int64() if column == "row" else fingerprint.PACKED) for column in columns}
    tables = [pa.table(empty)]
    try:
        with pq.ParquetFile(recipe.folders.metadata / f"{name}.parquet") as file:
            tables += [
                pa.table({column: form(batch[column]) for column, form in columns.items()})
                for batch in file.iter_batches(columns=list(columns))
            ]
    except (OSError, pa.ArrowException):
        return tables[0]
    return pa.concat_tables(tables)


def hashed(texts: pa.Table) -> pa.ChunkedArray:
    """Of each caption, with its lyrics where they have some."""
    return fingerprint.packed(fingerprint.of_strings(captions_stage.identities(texts)))

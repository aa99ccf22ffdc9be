"""Which encoder is used, pinned for one stage of one run; and which of its results the store already holds."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint
from hf_assets.blobs import Location, State
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import VideoSettings
from hf_assets.encode.revisions import hash_cache
from hf_assets.errors import ModelError
from hf_assets.models.components import text_fingerprint, vae_fingerprint
from hf_assets.models.pipeline import Pipeline, resolve_pipeline
from hf_assets.stages import keys
from hf_assets.store.index import ATTEMPT, failures, stored_rows
from hf_assets.store.runs import OpenIndex
from hf_assets.store.tensors import TensorStore


class Header(NamedTuple):
    """What a shard's metadata say about how it was made.

    Attributes:
        pipeline: its name.
        revision: its commit; empty for a folder.
        encoder: fingerprint of the component's files and settings.
        dtype: of what is stored.
        computed_in: the type that the encoder computes in, and how its weights are kept.
        settings: what of the posterior or the clip is stored, where that isn't the usual; None for captions.
    """

    stage: str
    pipeline: str
    revision: str
    encoder: str
    dtype: str
    computed_in: str
    code_version: str
    normalisation: str
    settings: str | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """As safetensors keeps it."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Encoder(NamedTuple):
    """A side of a pipeline at one commit.

    Attributes:
        fingerprint: of all that a result depends on besides the sample: weights, settings, dtype, code versions.
        header: of the shards.
        tried_by: version of code that isn't in keys, of which a mended one tries what failed again.
    """

    pipeline: Pipeline
    fingerprint: str
    header: Header
    tried_by: str = ""

    @property
    def identity(self) -> list[Any]:
        """All that a table of its results says of it: JSON."""
        return [self.fingerprint, self.header, self.pipeline.class_name, self.tried_by]


HELD_COLUMNS = ("key", "shard", "shape", "num_bytes")
INDEX_COLUMNS = (*ATTEMPT, "shard", "shape", "num_bytes")
# The column of what is looked up with `fingerprint.second_of_text` of a caption, packed.
SECOND_HASH = "second_hash"


class Work(NamedTuple):
    """What a stage's rows need, and what its store has of it. Nothing is loaded for it.

    Attributes:
        key: the column of `keyed` that names the tensors.
        keyed: the stage's rows; of captions, `SECOND_HASH` may be among their columns (`fingerprint.PACKED`).
        index: what the store's index says of these keys: `key` and `INDEX_COLUMNS`.
        held: the index's rows that name tensors, with `HELD_COLUMNS`.
        held_at: the first row of `held` that has each row's key; null where none has.
    """

    encoder: Encoder
    store: TensorStore
    key: str
    keyed: pa.Table
    index: pa.Table
    held: pa.Table
    held_at: pa.ChunkedArray

    @property
    def failures(self) -> pa.Table:
        """What can't be computed (`store.index.failures`)."""
        return failures(self.index, self.encoder.tried_by)

    @property
    def lacking(self) -> pa.Table:
        """The rows whose key is not stored."""
        return self.keyed.filter(pc.is_null(self.held_at))

    @property
    def missing(self) -> pa.Table:
        """The first row of each key that is to be encoded, in order: neither stored, nor known to fail."""
        lacking = self.lacking
        if not len(lacking):
            return lacking
        has_failed = pc.is_in(lacking[self.key], value_set=self.failures["key"].combine_chunks())
        lacking = lacking.filter(pc.invert(has_failed))
        first = (
            pa.table({"key": lacking[self.key], "at": pa.array(np.arange(len(lacking)))})
            .group_by("key")
            .aggregate([("at", "min")])
        )
        return lacking.take(first["at_min"].combine_chunks().sort())

    @property
    def stored(self) -> pa.Table:
        """The rows whose key is stored, with the `shard` that holds it, the `shape` of its first tensor, and the
        `num_bytes` of all its tensors.
        """
        at = self.held_at.drop_null()
        found = self.held.select(["shard", "shape"]).take(at)
        stored = self.keyed.filter(pc.is_valid(self.held_at))
        num_bytes = pa.array(self._num_bytes()[at.to_numpy()])
        for name, column in (("shard", found["shard"]), ("shape", found["shape"]), ("num_bytes", num_bytes)):
            stored = stored.append_column(name, column)
        return stored

    def _num_bytes(self) -> np.ndarray:
        """(N,) int64: at the first row of each key in `held` the bytes of all its tensors; 0 at its others."""
        first = pc.index_in(self.held["key"], value_set=self.held["key"].combine_chunks()).to_numpy()
        num_bytes = np.zeros(len(self.held), np.int64)
        np.add.at(num_bytes, first, pc.fill_null(self.held["num_bytes"], 0).to_numpy())
        return num_bytes

    @property
    def stored_bytes(self) -> int:
        """Bytes of the tensors of the distinct keys that are stored."""
        return pc.sum(self.held["num_bytes"]).as_py() or 0

    @property
    def num_stored(self) -> int:
        """How many distinct keys are stored."""
        is_used = np.zeros(len(self.held), bool)
        is_used[self.held_at.drop_null().to_numpy()] = True
        return int(is_used.sum())


def look_up(
    store: TensorStore,
    encoder: Encoder,
    key: str,
    keyed: pa.Table,
    present: Mapping[str, State] | None = None,
    opened: OpenIndex | None = None,
) -> Work:
    """Look up the rows' keys in the store.

    Args:
        present: the store's shards, and `opened`: its index, where they are known already.
    """
    named = keyed[key].combine_chunks().dictionary_encode()
    index = store.look_up(named.dictionary, (*INDEX_COLUMNS, "text"), present, opened)
    index = _of_these_texts(index, key, keyed)
    held = stored_rows(index).select(HELD_COLUMNS)
    first = pc.index_in(named.dictionary, value_set=held["key"].combine_chunks())
    return Work(encoder, store, key, keyed, index, held, pa.chunked_array([first.take(named.indices)]))


def _of_these_texts(index: pa.Table, key: str, keyed: pa.Table) -> pa.Table:
    """The rows of an index but those of another caption under the same key: a store may be shared with strangers."""
    if SECOND_HASH not in keyed.column_names or not len(index):
        return index
    at = pc.index_in(index["key"], value_set=keyed[key].combine_chunks())
    texts = fingerprint.unpack(keyed[SECOND_HASH].take(at))
    return index.filter(pc.fill_null(pc.equal(index["text"], texts), True))


class Record(NamedTuple):
    """How the tensors that a table names were made, kept in its schema metadata.

    Attributes:
        component: fingerprint of the model's files and settings.
        samples_per_second: as it was last measured, maybe by an earlier run; None before the first.
        relative_error: of what is stored against what was computed, where types differ, as it was last measured.
        settings: what of the posterior or the clip is stored, where that isn't the usual.
        device_seconds: of a sample, as they were last measured: several devices share a rate, and none its seconds.
    """

    component: str
    dtype: str
    code_version: str
    samples_per_second: float | None = None
    relative_error: float | None = None
    settings: str = ""
    device_seconds: float | None = None


RECORD = b"hf_assets.encoder"


def record_of(encoder: Encoder) -> Record:
    """What a table made with this encoder records; what is measured is still to be filled in."""
    header = encoder.header
    dtype = ", ".join(dict.fromkeys((header.computed_in, header.dtype)))
    return Record(header.encoder, dtype, f"{header.code_version}.{keys.VERSION}", settings=header.settings or "")


def read_record(table: Location) -> Record | None:
    """The record of a table; None where there is no table, or none that can be read."""
    try:
        known = files.metadata_of(table)
    except (OSError, pa.ArrowException):
        return None
    return Record(*json.loads(known[RECORD])) if RECORD in known else None


def record(
    encoder: Encoder,
    previous: Location,
    samples_per_second: float | None,
    relative_error: float | None = None,
    device_seconds: float | None = None,
) -> Record:
    """How a table's tensors are made.

    Args:
        previous: the table of the run before, which knows rates and the error where this run measured none.
    """
    made, before = record_of(encoder), read_record(previous)
    if before:
        samples_per_second = samples_per_second or before.samples_per_second
        device_seconds = device_seconds or before.device_seconds
        relative_error = before.relative_error if relative_error is None and made[:3] == before[:3] else relative_error
    return made._replace(
        samples_per_second=samples_per_second, relative_error=relative_error, device_seconds=device_seconds
    )


def vae_of(recipe: Recipe, code_version: str, decoded_by: str) -> Encoder:
    """Pin the VAE. Nothing is loaded, and nothing downloaded but a few small files.

    Args:
        code_version: of what is in every key.
        decoded_by: version of the decoder.
    """
    pipeline = resolve_pipeline(recipe.model.pipeline, hash_cache=hash_cache(recipe))
    component = vae_fingerprint(pipeline, recipe.model.latents)
    encoder = _encoder("vae_latents", pipeline, component, code_version, {"dtype": recipe.model.dtype})
    unusual = [f"{name} {value}" for name, value in recipe.model.latents.changed.items()]
    if isinstance(recipe.settings, VideoSettings) and recipe.settings.frames.is_i2v:
        unusual.append("is_i2v")
    return encoder._replace(header=encoder.header._replace(settings=", ".join(unusual)), tried_by=decoded_by)


def text_of(recipe: Recipe, code_version: str) -> Encoder:
    """Pin the text encoders. Nothing is loaded, and nothing downloaded but a few small files."""
    pipeline = resolve_pipeline(recipe.model.without_vae.pipeline, hash_cache=hash_cache(recipe))
    component = text_fingerprint(pipeline)
    settings = recipe.model.model_dump(include={"dtype", "embeds_dtype", "text_quantization"}, exclude_none=True)
    return _encoder("text_embeds", pipeline, component, code_version, settings)


def confirm(encoder: Encoder, recipe: Recipe) -> None:
    """Make sure that what was loaded is what the keys say: a local model folder may have changed since they were made.

    Raises:
        ModelError: it has changed.
    """
    try:
        if encoder.header.stage == "vae_latents":
            now = vae_fingerprint(encoder.pipeline, recipe.model.latents)
        else:
            now = text_fingerprint(encoder.pipeline)
    except OSError:
        now = "gone"
    if now != encoder.header.encoder:
        raise ModelError(f"the files of {encoder.pipeline.name} changed while this run was going on: run again")


def _encoder(stage: str, pipeline: Pipeline, component: str, code_version: str, settings: dict[str, str]) -> Encoder:
    """
    Args:
        settings: of the recipe that change the bytes: `dtype`, and what else is set.
    """
    dtype = settings["dtype"]
    header = Header(
        stage=stage,
        pipeline=pipeline.name,
        revision=pipeline.sha or "",
        encoder=component,
        dtype=settings.get("embeds_dtype", dtype),
        computed_in=" ".join(filter(None, (dtype, settings.get("text_quantization")))),
        code_version=code_version,
        normalisation="as the denoiser expects: shift, scale or statistics applied"
        if stage == "vae_latents"
        else "none",
    )
    return Encoder(pipeline, fingerprint.of_value([component, code_version, settings]), header)

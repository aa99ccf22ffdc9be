"""Which encoder is used, pinned for one stage of one run; and which of its results the store already holds."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import fingerprint
from hf_assets.config.recipe import Recipe
from hf_assets.models.components import text_fingerprint, vae_fingerprint
from hf_assets.models.source import Pipeline, resolve_pipeline
from hf_assets.stages import keys
from hf_assets.store import tensors


class Encoder(NamedTuple):
    """A side of a pipeline at one commit.

    Attributes:
        fingerprint: of all that a result depends on besides the sample: weights, settings, dtype, code versions.
        header: what a shard's metadata say about how it was made.
    """

    pipeline: Pipeline
    fingerprint: str
    header: dict[str, str]


class Work(NamedTuple):
    """What a stage's rows need, held against what its store has. Nothing is loaded for it.

    Attributes:
        keyed: the stage's rows with the column `key`.
        index: of the store (`store.tensors.INDEX`).
    """

    encoder: Encoder
    store: tensors.TensorStore
    key: str
    keyed: pa.Table
    index: pa.Table

    @property
    def missing(self) -> pa.Table:
        """The rows to encode, see `missing`."""
        return missing(self.keyed, self.key, self.index)

    @property
    def stored(self) -> pa.Table:
        """The rows whose key is stored, see `located`."""
        return located(self.keyed, self.key, self.index)


class Record(NamedTuple):
    """How the tensors that a table names were made, kept in its schema metadata.

    Attributes:
        component: fingerprint of the model's files and settings.
        samples_per_second: as it was last measured, maybe by an earlier run; None before the first.
    """

    component: str
    dtype: str
    code_version: str
    samples_per_second: float | None = None


RECORD = b"hf_assets.encoder"


def record_of(encoder: Encoder) -> Record:
    """What a table made with this encoder records; the rate is still to be filled in."""
    header = encoder.header
    return Record(header["encoder"], header["dtype"], f"{header['code_version']}.{keys.VERSION}")


def recorded(table: Path) -> Record | None:
    """The record of a table; None where there is no table, or none that can be read."""
    try:
        metadata = pq.read_schema(table).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return Record(*json.loads(metadata[RECORD])) if RECORD in metadata else None


def with_record(table: pa.Table, encoder: Encoder, previous: Path, samples_per_second: float | None) -> pa.Table:
    """Note in a table how its tensors were made.

    Args:
        previous: the table of the run before, which knows the rate where this run measured none.
    """
    before = recorded(previous)
    rate = samples_per_second or (before and before.samples_per_second)
    record = record_of(encoder)._replace(samples_per_second=rate)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), RECORD: json.dumps(record)})


def vae_of(recipe: Recipe, code_version: str) -> Encoder:
    """Pin the VAE. Nothing is loaded, and nothing downloaded but a few small files."""
    pipeline = resolve_pipeline(recipe.model.pipeline, hash_cache=_hash_cache(recipe))
    return _encoder("vae_latents", pipeline, vae_fingerprint(pipeline), recipe.model.dtype, code_version)


def text_of(recipe: Recipe, code_version: str) -> Encoder:
    """Pin the text encoders. Nothing is loaded, and nothing downloaded but a few small files."""
    pipeline = resolve_pipeline(recipe.model.without_vae.pipeline, hash_cache=_hash_cache(recipe))
    arguments = recipe.folders.metadata / "sources" / "prompt_arguments.json"
    return _encoder(
        "text_embeds", pipeline, text_fingerprint(pipeline, arguments_cache=arguments), recipe.model.dtype, code_version
    )


def missing(keyed: pa.Table, key: str, index: pa.Table) -> pa.Table:
    """The first row of each key that is neither stored nor known to fail, in order: duplicates are encoded once.

    Args:
        keyed: has the column `key`.
        index: of the store (`store.tensors.INDEX`).
    """
    settled = pc.unique(index["key"])
    lacking = keyed.filter(pc.invert(pc.is_in(keyed[key], value_set=settled)))
    first = (
        pa.table({"key": lacking[key], "at": pa.array(np.arange(len(lacking)))})
        .group_by("key")
        .aggregate([("at", "min")])
    )
    return lacking.take(first["at_min"].combine_chunks().sort())


def located(keyed: pa.Table, key: str, index: pa.Table) -> pa.Table:
    """The rows whose key is stored, with the `shard` that holds it and the `shape` of its first tensor."""
    stored = index.filter(pc.equal(index["status"], tensors.OK))
    positions = pc.index_in(keyed[key], value_set=stored["key"].combine_chunks())
    is_stored = pc.is_valid(positions)
    found = stored.take(positions.filter(is_stored))
    return keyed.filter(is_stored).append_column("shard", found["shard"]).append_column("shape", found["shape"])


def _encoder(stage: str, pipeline: Pipeline, component: str, dtype: str, code_version: str) -> Encoder:
    header = {
        "stage": stage,
        "pipeline": pipeline.name,
        "revision": pipeline.sha or "",
        "encoder": component,
        "dtype": dtype,
        "code_version": code_version,
        "normalisation": "as the denoiser expects: shift, scale or statistics applied"
        if stage == "vae_latents"
        else "none",
    }
    return Encoder(pipeline, fingerprint.of_value([component, dtype, code_version]), header)


def _hash_cache(recipe: Recipe) -> Path:
    return recipe.folders.metadata / "sources" / "model_hashes.json"

"""Encode the media whose latents the store lacks.

Shape letters: B batch; what follows it depends on the medium.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import decoders, encoders, rates
from hf_assets.encode.latent_stage import LatentStage, jobs_of
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.quarantine import failed_rows
from hf_assets.encode.spool import Spool
from hf_assets.encode.unit import Totals, run_units, units_of
from hf_assets.engines.unit import HoldDevice
from hf_assets.kinds.medium import medium_of
from hf_assets.models import families
from hf_assets.models import vae as vae_side
from hf_assets.previews.decoded import DecodedSamples
from hf_assets.previews.pictures import Pictures
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.stages import keys
from hf_assets.store import generations
from hf_assets.store.tensors import TensorStore

STAGE = "vae_latents"
# Bump when a change to this module changes a latent.
VERSION = 1


def version(recipe: Recipe) -> str:
    """Of everything here that changes a latent, or which samples have one: this module, the decoder, the VAE side."""
    return f"{key_version(recipe)}.{medium_of(recipe).probed_by}"


def key_version(recipe: Recipe) -> str:
    """Of everything here that changes all latents: it is part of each one's key.

    The decoder's own version isn't: what a decoder does beyond the plain case is a part of the keys of the samples to
    which it does it.
    """
    return f"{VERSION}.{medium_of(recipe).plain}.{vae_side.VERSION}"


def vae_of(recipe: Recipe) -> encoders.Encoder:
    """The VAE, pinned (`encoders.vae_of`)."""
    return encoders.vae_of(recipe, key_version(recipe), medium_of(recipe).probed_by)


def work(recipe: Recipe, buckets: pa.Table, encoder: encoders.Encoder | None = None) -> encoders.Work:
    """Which latents these rows (the medium's `buckets`) need, and what the store holds.

    Args:
        encoder: the VAE, where it is known already.

    Raises:
        ModelError: the pipeline can't be found, or has no VAE.
    """
    encoder = encoder or vae_of(recipe)
    keyed = buckets.append_column("latent_key", latent_keys(recipe, buckets, encoder))
    return encoders.look_up(TensorStore(recipe.folders.latents), encoder, "latent_key", keyed)


def latent_keys(recipe: Recipe, buckets: pa.Table, encoder: encoders.Encoder) -> pa.ChunkedArray:
    """The key of each row's latent."""
    return keys.latent_keys(buckets, medium_of(recipe).keyed, encoder.fingerprint, (schema.DECODING.name,))


def _drop_spooled(recipe: Recipe, raw_dataset: pa.Table) -> None:
    """Remove what this machine kept of the media: all are encoded."""
    hashes = pc.unique(raw_dataset["file_hash"].cast(pa.string())).to_pylist()
    Spool().drop(hashes, recipe.media_column)
    Spool().drop(hashes, "")


def encode(
    recipe: Recipe,
    buckets: pa.Table,
    raw_dataset: pa.Table,
    source: Source,
    hold_device: HoldDevice,
    say: Callable[[str], None],
    encoder: encoders.Encoder | None = None,
) -> tuple[Outcome, dict[str, Any]]:
    """Give every bucketed row its latent: those that the store holds are reused, each other one is computed once.

    Args:
        encoder: the VAE, where it is known already.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the VAE can't be loaded, or can't encode one of the shapes.
        DatasetError: media changed since they were probed, or were probed by another version of the decoder.
    """
    with TensorStore(recipe.folders.latents).in_use(recipe.folders.metadata, say):
        todo = work(recipe, buckets, encoder)
        totals = Totals()
        encoder = todo.encoder
        if num_missing := len(todo.missing):
            decoders.confirm(buckets, recipe)
            say(f"{num_missing:,} latents to encode with the VAE of {encoder.pipeline.name}")
            if note := families.unlisted(encoder.pipeline.class_name):
                say(note)
            with hold_device(say) as engine:  # while this run waited, another may have encoded some of them
                missing = todo.look_up_again().missing
                if len(missing):
                    medium = medium_of(recipe)
                    medium.check(missing, encoder.pipeline)
                    shown = DecodedSamples.of(recipe.folders.metadata, todo.keyed["latent_key"])
                    pictures = Pictures(recipe.folders.metadata)
                    stage = LatentStage(recipe, encoder, source, snapshot_of(raw_dataset), shown, pictures=pictures)
                    jobs = jobs_of(missing, raw_dataset, medium, recipe.folders.metadata)
                    units = units_of(jobs, medium.volume(missing), engine.num_workers)
                    totals = run_units(engine, stage, units, "encoding latents", say)
            todo = todo.look_up_again()
            if source.spec.streaming:
                _drop_spooled(recipe, raw_dataset)
        stored = todo.stored
        generations.claim(recipe.folders.metadata, STAGE, stored["latent_key"])
    if totals.rate:
        rates.note(encoder, totals.rate, float(medium_of(recipe).volume(buckets).mean()))
    failed = failed_rows(todo.keyed, "latent_key", todo.failures, STAGE, raw_dataset)
    table = pa.table([stored[name] for name in ("row", "latent_key", "shape", "shard")], schema=schema.VAE_LATENTS)
    previous = folder.table(recipe.folders.metadata, STAGE)
    outcome = Outcome(
        encoders.with_record(table, encoder, previous, totals.rate, device_seconds=totals.device_seconds_each),
        identity=("row", "latent_key", "latent_shape"),
        computed=totals.report.computed,
        reused=len(pc.unique(table["latent_key"])) - totals.report.computed,
        quarantined=failed,
        bytes_read=totals.report.bytes_read,
        rests=todo.rests(len(failed)),
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "pipeline_class": encoder.pipeline.class_name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": todo.stored_bytes,
        **totals.facts,
    }

"""Encode the media whose latents the store lacks.

Shape letters: B batch; what follows it depends on the medium.
"""

import functools
import json
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.draw.upkeep_text import count_text
from hf_assets.encode import choosing, decoders, encoders, lookup, rates, taken_over
from hf_assets.encode.latent_stage import LatentStage, jobs_of
from hf_assets.encode.lookup import Lookup
from hf_assets.encode.outcome import Encoded, Outcome
from hf_assets.encode.quarantine import failed_rows
from hf_assets.encode.spool import Spool
from hf_assets.encode.taken_over import TakenOver
from hf_assets.encode.unit import Totals, run_units, units_of
from hf_assets.engines.unit import Engine, HoldDevice
from hf_assets.kinds.medium import medium_of
from hf_assets.models import families
from hf_assets.models import vae as vae_side
from hf_assets.previews import pictures
from hf_assets.previews.decoded import DecodedSamples
from hf_assets.previews.pictures import Pictures
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.stages import aligning, keys
from hf_assets.stages.aligning import Tables, side_by_side
from hf_assets.store import generations, pieces, spot_checks
from hf_assets.store.draft import DraftTable
from hf_assets.store.tensors import TensorStore

STAGE = "vae_latents"
# Bump when a change to this module changes a latent.
VERSION = 1
# Of what the table has, where that changes no latent.
TABLE_VERSION = "2"
# Of the keys that come first, so many are enough for what is shown and checked.
SHOWN_KEYS = 1024


def version(recipe: Recipe) -> str:
    """Of everything here that changes a latent, or which samples have one: this module, the decoder, the VAE side; and
    of the table.
    """
    return f"{key_version(recipe)}.{medium_of(recipe).probed_by}.{TABLE_VERSION}"


def key_version(recipe: Recipe) -> str:
    """Of everything here that changes all latents: it is part of each one's key.

    The decoder's own version isn't: what a decoder does beyond the plain case is a part of the keys of the samples to
    which it does it.
    """
    return f"{VERSION}.{medium_of(recipe).plain}.{vae_side.VERSION}"


def vae_of(recipe: Recipe) -> encoders.Encoder:
    """The VAE, pinned (`encoders.vae_of`)."""
    return encoders.vae_of(recipe, key_version(recipe), medium_of(recipe).probed_by)


def latent_keys(recipe: Recipe, buckets: pa.Table, encoder: encoders.Encoder) -> pa.ChunkedArray:
    """The key of each row's latent."""
    return keys.latent_keys(buckets, medium_of(recipe).keyed, encoder.fingerprint, (schema.DECODING.name,))


def _drop_spooled(recipe: Recipe, raw_dataset: Tables) -> None:
    """Remove what this machine kept of the media: all are encoded."""
    hashes: set[str] = set()
    for table in raw_dataset(["file_hash"]):
        hashes.update(pc.unique(table["file_hash"].cast(pa.string())).to_pylist())
    Spool().drop(hashes, recipe.media_column)
    Spool().drop(hashes, "")


def encode(
    recipe: Recipe,
    buckets: Tables,
    raw_dataset: Tables,
    source: Source,
    hold_device: HoldDevice,
    say: Callable[[str], None],
    encoder: encoders.Encoder | None = None,
    before: TakenOver | None = None,
) -> Encoded:
    """Give every bucketed row its latent: those that the store holds are reused, each other one is computed once.

    Args:
        encoder: the VAE, where it is known already.
        before: what is taken over from the last run: rows that are not among `buckets`.

    Raises:
        ModelError: the VAE can't be loaded, or can't encode one of the shapes.
        DatasetError: media changed since they were probed, or were probed by another version of the decoder.
    """
    encoder, medium = encoder or vae_of(recipe), medium_of(recipe)
    store, totals, root = TensorStore(recipe.folders.latents), Totals(), recipe.folders.metadata
    with store.in_use(root, say), Lookup(store, encoder) as asked:
        num_rows, volume = 0, 0.0
        for rows in buckets():
            num_rows += len(rows)
            volume += float(medium.volume(rows).sum())
            _ask(asked, rows["row"], latent_keys(recipe, rows, encoder), before)
        found = asked.look_up()
        if len(found.missing):
            say(f"{count_text(len(found.missing), 'latent')} to encode with the VAE of {encoder.pipeline.name}")
            if note := families.unlisted(encoder.pipeline.class_name):
                say(note)
            with hold_device(say) as engine:  # while this run waited, another may have encoded some of them
                found = asked.look_up()
                wanted = fingerprint.unpack(found.wanted_least)
                stage = LatentStage(
                    recipe,
                    encoder,
                    source,
                    snapshot_of(next(raw_dataset(["row"])).schema),
                    DecodedSamples.of(root, before.least_with(wanted, SHOWN_KEYS) if before else wanted),
                    pictures=Pictures(root),
                )
                pictured = pictures.chosen(raw_dataset(choosing.PLACE))
                for missing, place in _slabs(buckets, raw_dataset, found.missing):
                    totals = totals.then(_run(stage, engine, missing, place, pictured, say))
            found = asked.look_up()
            if source.spec.streaming:
                _drop_spooled(recipe, raw_dataset)
        draft = before.remaking.draft if before else functools.partial(DraftTable, by_row=True)
        table = draft(folder.table(root, STAGE), identity=("row", "latent_key", "latent_shape"))
        claim = generations.Claim(root, STAGE)
        for known in before.pieces(["latent_key"]) if before else ():
            claim.add(known["latent_key"])
        for rows in found.rows():
            claim.add(rows["key"])
            columns = [rows[name] for name in ("row", "key", "shape", "shard", "num_bytes")]
            table.add(pa.table(columns, schema=schema.VAE_LATENTS))
        claim.publish()
        stored, least = taken_over.stored(before, found), fingerprint.unpack(found.least)
        least = before.least_with(least, SHOWN_KEYS) if before else least
    if totals.rate:
        rates.note(encoder, totals.rate, volume / num_rows)
    record = encoders.record(encoder, table.path, totals.rate, device_seconds=totals.device_seconds_each)
    table.note({encoders.RECORD: json.dumps(record), **stored.noted, **spot_checks.noted(least)})
    failed = failed_rows(found.failed, STAGE, raw_dataset)
    outcome = Outcome(
        table,
        computed=totals.report.computed,
        reused=stored.num_keys - totals.report.computed,
        quarantined=failed,
        bytes_read=totals.report.bytes_read,
        rests=stored.rests,
    )
    facts = {
        "pipeline": encoder.pipeline.name,
        "pipeline_class": encoder.pipeline.class_name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": stored.num_bytes,
        **totals.facts,
    }
    return Encoded(outcome, facts, least, num_rows)


def _ask(asked: Lookup, rows: pa.ChunkedArray, latents: pa.ChunkedArray, before: TakenOver | None) -> None:
    """Ask for the latents of some rows, but for those that the last run's table has in the same piece."""
    for number, some in pieces.cut(pa.table({"row": rows, lookup.KEY: latents})):
        old = before.replaced(number, asked.store) if before else None
        if before and old is not None:
            at = pc.index_in(some[lookup.KEY], value_set=old["latent_key"].combine_chunks())
            is_old = pc.is_valid(at)
            again = before.name_again(number, old, at.drop_null())
            again = again.rename_columns({"latent_key": lookup.KEY, "latent_shape": "shape"})
            asked.add_known(some["row"].filter(is_old), again, some["row"][-1].as_py())
            some = some.filter(pc.invert(is_old))
        asked.add(some["row"], some[lookup.KEY])


def _slabs(buckets: Tables, raw_dataset: Tables, missing: np.ndarray) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The rows to encode, and where they lie: as many at a time as are held in memory."""
    waiting: list[tuple[pa.Table, pa.Table]] = []
    num_waiting = 0
    for place, rows in side_by_side(raw_dataset(choosing.PLACE), buckets()):
        wanted = rows.filter(pc.is_in(rows["row"], value_set=pa.array(missing)))
        if not len(wanted):
            continue
        waiting.append((wanted, aligning.only(place, wanted)))
        num_waiting += len(wanted)
        if num_waiting >= lookup.LOOKED_UP_ROWS:
            yield _joined(waiting)
            waiting, num_waiting = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(some: list[tuple[pa.Table, pa.Table]]) -> tuple[pa.Table, pa.Table]:
    rows, places = zip(*some, strict=True)
    return pa.concat_tables(rows), pa.concat_tables(places)


def _run(
    stage: LatentStage,
    engine: Engine,
    missing: pa.Table,
    place: pa.Table,
    pictured: pictures.Chosen,
    say: Callable[[str], None],
) -> Totals:
    """Encode some rows.

    Args:
        missing: of the medium's `buckets`; `place`: where they lie.
        pictured: the rows that are to have a picture.
    """
    recipe, medium = stage.recipe, stage.medium
    decoders.confirm(missing, recipe)
    medium.check(missing, stage.encoder.pipeline)
    keyed = missing.append_column("latent_key", latent_keys(recipe, missing, stage.encoder))
    jobs = jobs_of(keyed, place, medium, pictured, recipe.folders.metadata)
    units = units_of(jobs, medium.volume(missing), engine.num_workers)
    return run_units(engine, stage, units, "encoding latents", say)

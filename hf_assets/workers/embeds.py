"""Encode the captions whose embeds the store lacks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.models import text as text_side
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import keys
from hf_assets.store import generations
from hf_assets.store.index import failures
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets.workers import encoders, tokens
from hf_assets.workers.compute import Compute, Turn
from hf_assets.workers.outcome import Outcome
from hf_assets.workers.progress import Progress
from hf_assets.workers.quarantine import quarantined
from hf_assets.workers.shards import ShardWriter

if TYPE_CHECKING:
    from hf_assets.models.text import TextEncoder

STAGE = "text_embeds"
# Of everything here that changes an embed: this module, the text side. Bump the first for a change to this module.
VERSION = f"1.{text_side.VERSION}"


def work(recipe: Recipe, captions: pa.Table) -> encoders.Work:
    """Which embeds these rows (`schema.CAPTIONS`) need, and what the store holds.

    Raises:
        ModelError: the pipeline can't be found, or has no text encoder.
    """
    encoder = encoders.text_of(recipe, VERSION)
    distinct = captions_stage.distinct(captions)
    keyed = pa.table({"caption": distinct, "embed_key": keys.embed_keys(distinct, encoder.fingerprint)})
    return encoders.held_against(TensorStore(recipe.folders.embeds), encoder, "embed_key", keyed)


def encode(
    recipe: Recipe,
    captions: pa.Table,
    turn: Turn,
    say: Callable[[str], None],
) -> tuple[Outcome, dict[str, Any]]:
    """Give every distinct caption its embed: those that the store holds are reused, each other one is computed once.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the text encoders can't be loaded.
    """
    computed = 0
    speed: dict[str, Any] = {}
    with TensorStore(recipe.folders.embeds).in_use(recipe.folders.metadata):
        todo = work(recipe, captions)
        encoder = todo.encoder
        if num_missing := len(todo.missing):
            say(f"{num_missing:,} captions to encode with the text encoders of {encoder.pipeline.name}")
            with turn(say) as compute:  # while this run waited, another may have encoded some of them
                missing = todo.looked_at_again().missing
                if len(missing):
                    computed, speed = _encode(missing, todo.keyed, encoder, todo.store, recipe, compute, say)
            todo = todo.looked_at_again()
        stored = todo.stored
        generations.claim(recipe.folders.metadata, STAGE, stored["embed_key"])
    table = pa.table([stored[name] for name in ("caption", "embed_key", "shard")], schema=schema.TEXT_EMBEDS)
    previous = recipe.folders.metadata / f"{STAGE}.parquet"
    outcome = Outcome(
        encoders.with_record(table, encoder, previous, speed.get("samples_per_second")),
        identity=("caption", "embed_key"),
        computed=computed,
        reused=len(table) - computed,
        quarantined=quarantined(_rows_of(todo.keyed, captions), "embed_key", failures(todo.index), STAGE),
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": todo.stored_bytes,
        **speed,
    }


def _encode(
    missing: pa.Table,
    keyed: pa.Table,
    encoder: encoders.Encoder,
    store: TensorStore,
    recipe: Recipe,
    compute: Compute,
    say: Callable[[str], None],
) -> tuple[int, dict[str, Any]]:
    import torch

    with (
        text_side.load_text(encoder.pipeline, compute.device, getattr(torch, recipe.model.dtype)) as text,
        ShardWriter(store, encoder.header, compute.unit_samples) as shards,
        Progress("encoding captions", len(missing), say) as progress,
    ):
        encoders.confirm(encoder, recipe)
        for batch in missing.to_batches(max_chunksize=compute.text_batch_size):
            _encode_batch(batch.column("embed_key").to_pylist(), batch.column("caption").to_pylist(), text, shards)
            progress.add(len(batch))
        shards.flush()
        speed = progress.facts
        tokens.count(recipe.folders.metadata, keyed, text)
        return shards.computed, speed


def _encode_batch(batch_keys: list[str], captions: list[str], text: "TextEncoder", shards: ShardWriter) -> None:
    import torch

    for key, embeds in zip(batch_keys, text.encode(captions), strict=True):
        if all(bool(torch.isfinite(tensor).all()) for tensor in embeds.values()):
            shards.add(Sample(key, embeds))
        else:
            shards.fail(key, "non_finite", "the text encoders give infinite or undefined values")


def _rows_of(keyed: pa.Table, captions: pa.Table) -> pa.Table:
    """Each row's embed keys: one line per caption of a row."""
    flat = pc.list_flatten(captions["captions"])
    rows = captions["row"].take(pc.list_parent_indices(captions["captions"]))
    return pa.table(
        {
            "row": rows,
            "embed_key": keyed["embed_key"].take(pc.index_in(flat, value_set=keyed["caption"].combine_chunks())),
        }
    )

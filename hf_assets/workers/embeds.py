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
from hf_assets.store.tensors import Sample, TensorStore, failures
from hf_assets.workers import encoders
from hf_assets.workers.compute import Compute
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
    store = TensorStore(recipe.folders.embeds)
    return encoders.Work(encoder, store, "embed_key", keyed, store.index())


def encode(
    recipe: Recipe,
    captions: pa.Table,
    raw_dataset: pa.Table,
    compute: Callable[[], Compute],
    say: Callable[[str], None],
) -> tuple[Outcome, dict[str, Any]]:
    """Give every distinct caption its embed: those that the store holds are reused, each other one is computed once.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the text encoders can't be loaded.
    """
    todo = work(recipe, captions)
    encoder, store, keyed, index = todo.encoder, todo.store, todo.keyed, todo.index
    missing = todo.missing
    computed = 0
    speed: dict[str, Any] = {}
    if len(missing):
        say(f"{len(missing):,} captions to encode; loading the text encoders of {encoder.pipeline.name}")
        computed, speed = _encode(missing, encoder, store, recipe.model.dtype, compute(), say)
        index = store.index()
    stored = encoders.located(keyed, "embed_key", index)
    table = pa.table([stored[name] for name in ("caption", "embed_key", "shard")], schema=schema.TEXT_EMBEDS)
    previous = recipe.folders.metadata / f"{STAGE}.parquet"
    outcome = Outcome(
        encoders.with_record(table, encoder, previous, speed.get("samples_per_second")),
        identity=("caption", "embed_key"),
        computed=computed,
        reused=len(table) - computed,
        quarantined=quarantined(_rows_of(keyed, captions), "embed_key", failures(index), raw_dataset, STAGE),
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "model_revision": encoder.pipeline.sha or "local folder",
        **speed,
    }


def _encode(
    missing: pa.Table,
    encoder: encoders.Encoder,
    store: TensorStore,
    dtype: str,
    compute: Compute,
    say: Callable[[str], None],
) -> tuple[int, dict[str, Any]]:
    import torch

    with (
        text_side.load_text(encoder.pipeline, compute.device, getattr(torch, dtype)) as text,
        ShardWriter(store, encoder.header, compute.unit_samples) as shards,
    ):
        progress = Progress("encoding captions", len(missing), say)
        for batch in missing.to_batches(max_chunksize=compute.text_batch_size):
            _encode_batch(batch.column("embed_key").to_pylist(), batch.column("caption").to_pylist(), text, shards)
            progress.add(len(batch))
        shards.flush()
        return shards.computed, {"samples_per_second": progress.per_second}


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

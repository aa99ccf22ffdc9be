"""Encode the captions whose embeds the store lacks."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import encoders
from hf_assets.encode.compute import Compute, HoldDevice
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.progress import Progress
from hf_assets.encode.quarantine import failed_rows
from hf_assets.encode.shard_writer import ShardWriter
from hf_assets.errors import ModelError
from hf_assets.models import families, prompt
from hf_assets.models import text as text_side
from hf_assets.previews import token_counts
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import joining, keys
from hf_assets.store import generations, packing
from hf_assets.store.tensors import Sample, TensorStore

if TYPE_CHECKING:
    import torch

    from hf_assets.models.text import TextEncoder

STAGE = "text_embeds"
# Of everything here that changes an embed: this module, the text side. Bump the first for a change to this module.
VERSION = f"2.{text_side.VERSION}"


def inputs(recipe: Recipe) -> tuple[str, ...]:
    """The tables that `encode` reads: of audio also what says how much of each clip is encoded."""
    return ("captions", "buckets") if recipe.kind == "audio" else ("captions",)


def work(recipe: Recipe, captions: pa.Table, buckets: pa.Table | None = None) -> encoders.Work:
    """Which embeds these rows (`schema.CAPTIONS`) need, and what the store holds.

    Args:
        buckets: of audio, the rows' parts.

    Raises:
        ModelError: the pipeline can't be found, or has no text encoder.
    """
    encoder = encoders.text_of(recipe, VERSION)
    rows = joining.with_companions(captions, buckets, companions(recipe, encoder))
    return encoders.look_up(TensorStore(recipe.folders.embeds), encoder, "embed_key", with_keys(rows, encoder))


def with_keys(rows: pa.Table, encoder: encoders.Encoder) -> pa.Table:
    """`caption`, what is encoded with it (`captions.COMPANIONS`), and `embed_key` of everything to encode for these
    rows, each once.
    """
    texts = captions_stage.distinct_texts(rows)
    lyrics, durations_s = (texts[name] if name in texts.column_names else None for name in captions_stage.COMPANIONS)
    keyed = keys.embed_keys(texts["caption"], encoder.fingerprint, lyrics=lyrics, durations_s=durations_s)
    return texts.append_column("embed_key", keyed)


def companions(recipe: Recipe, encoder: encoders.Encoder) -> list[str]:
    """What of a row, beside its captions, these text encoders read: of audio only."""
    if recipe.kind != "audio":
        return []
    usage = prompt.remembered_usage(encoder.pipeline, encoders.usage_cache(recipe))
    arguments = zip(captions_stage.COMPANIONS, (prompt.LYRICS, prompt.DURATION), strict=True)
    return [name for name, argument in arguments if usage.takes(argument)]


def encode(
    recipe: Recipe,
    captions: pa.Table,
    buckets: pa.Table | None,
    hold_device: HoldDevice,
    say: Callable[[str], None],
) -> tuple[Outcome, dict[str, Any]]:
    """Give every distinct caption its embed: those that the store holds are reused, each other one is computed once.

    Args:
        buckets: of audio, the rows' parts.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the text encoders can't be loaded.
    """
    computed = 0
    speed: dict[str, Any] = {}
    with TensorStore(recipe.folders.embeds).in_use(recipe.folders.metadata):
        todo = work(recipe, captions, buckets)
        encoder = todo.encoder
        if num_missing := len(todo.missing):
            say(f"{num_missing:,} captions to encode with the text encoders of {encoder.pipeline.name}")
            if not families.of(encoder.pipeline.class_name).text.outputs:
                say(
                    f"{encoder.pipeline.class_name} is not in the table of families (`hf-assets families`): "
                    "its captions are encoded by the general rules, one at a time"
                )
            with hold_device(say) as compute:  # while this run waited, another may have encoded some of them
                missing = todo.look_up_again().missing
                if len(missing):
                    computed, speed = _encode(missing, todo.keyed, encoder, todo.store, recipe, compute, say)
            todo = todo.look_up_again()
        stored = todo.stored
        generations.claim(recipe.folders.metadata, STAGE, stored["embed_key"])
    own = {field.name: field for field in (schema.LYRICS, schema.DURATION)}
    made = pa.schema([*schema.TEXT_EMBEDS, *(own[name] for name in captions_stage.companions(stored))])
    table = pa.table([stored[name] for name in made.names], schema=made)
    previous = recipe.folders.metadata / f"{STAGE}.parquet"
    outcome = Outcome(
        encoders.with_record(table, encoder, previous, speed.get("samples_per_second"), speed.get("relative_error")),
        identity=("caption", "embed_key"),
        computed=computed,
        reused=len(table) - computed,
        quarantined=failed_rows(_rows_of(todo.keyed, captions, buckets), "embed_key", todo.failures, STAGE),
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "pipeline_class": encoder.pipeline.class_name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": todo.stored_bytes,
        **speed,
        **_error_of(outcome.table),
    }


def _error_of(table: pa.Table) -> dict[str, float]:
    """What storing in another type took from the embeds, as it was last measured."""
    record = encoders.record_in(table.schema)
    return {} if record is None or record.relative_error is None else {"relative_error": record.relative_error}


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

    model = recipe.model
    packed = _Packing(getattr(torch, model.embeds_dtype) if model.embeds_dtype else None)
    with (
        text_side.load_text(
            encoder.pipeline,
            compute.device,
            getattr(torch, model.dtype),
            quantization=model.text_quantization,
            offload=compute.text_offload,
        ) as text,
        ShardWriter(store, encoder.header, compute.unit_samples, by_shape=False) as shards,
        Progress("encoding captions", len(missing), say) as progress,
    ):
        encoders.confirm(encoder, recipe)
        for batch in missing.to_batches(max_chunksize=compute.text_batch_size):
            embeds = _in_halves(text, batch)
            for key, tensors in zip(batch.column("embed_key").to_pylist(), embeds, strict=True):
                if not _are_finite(tensors):
                    shards.fail(key, "non_finite", "the text encoders give infinite or undefined values")
                elif not _are_finite(stored := packed.pack(tensors, text.ignored)):
                    shards.fail(
                        key, "overflow", f"values beyond what {packed.dtype} holds: choose another embeds_dtype"
                    )
                else:
                    shards.add(Sample(key, stored))
            progress.add(len(batch))
        shards.flush()
        speed = {**progress.facts, **packed.facts}
        token_counts.count(recipe.folders.metadata, keyed, text)
        return shards.computed, speed


def _are_finite(tensors: "dict[str, torch.Tensor]") -> bool:
    """Whether all can be computed with; float8, which has a scale of its own, can't overflow."""
    import torch

    return all(bool(torch.isfinite(one).all()) for one in tensors.values() if one.element_size() > 1)


class _Packing:
    """Packs embeds and sums up what their type takes from them."""

    def __init__(self, dtype: "torch.dtype | None") -> None:
        self.dtype = dtype
        self.error = self.norm = 0.0

    def pack(self, embeds: "dict[str, torch.Tensor]", masks: dict[str, str]) -> "dict[str, torch.Tensor]":
        result = packing.pack(embeds, masks=masks, dtype=self.dtype)
        if math.isfinite(result.error):  # else the sample fails
            self.error += result.error
            self.norm += result.norm
        return result.tensors

    @property
    def facts(self) -> dict[str, float]:
        """The root of the sum of squares of what is lost, over that of the values."""
        return {"relative_error": math.sqrt(self.error / self.norm)} if self.dtype and self.norm else {}


def _in_halves(text: "TextEncoder", texts: pa.RecordBatch) -> "list[dict[str, torch.Tensor]]":
    """Encode captions together, and where memory doesn't suffice, in halves."""
    import torch

    columns = {name: texts.column(name).to_pylist() for name in texts.schema.names}
    lyrics = columns.get(schema.LYRICS.name)
    try:
        return text.encode(
            columns["caption"],
            lyrics=lyrics and [one or "" for one in lyrics],
            durations_s=columns.get(schema.DURATION.name),
        )
    except torch.OutOfMemoryError as error:
        if len(texts) == 1:
            raise ModelError(
                "the text encoders don't fit into the device's memory: set text_offload of the gpu resource "
                "(HF_ASSETS_TEXT_OFFLOAD=1), or model.text_quantization"
            ) from error
    torch.cuda.empty_cache()
    halves = (texts.slice(0, len(texts) // 2), texts.slice(len(texts) // 2))
    return [embeds for half in halves for embeds in _in_halves(text, half)]


def _rows_of(keyed: pa.Table, captions: pa.Table, buckets: pa.Table | None) -> pa.Table:
    """Each row's embed keys: one line per caption of a row."""
    lines = captions_stage.lines(joining.with_companions(captions, buckets, captions_stage.companions(keyed)))
    known = captions_stage.identities(keyed).combine_chunks()
    found_at = pc.index_in(captions_stage.identities(lines), value_set=known)
    return pa.table({"row": lines["row"], "embed_key": keyed["embed_key"].take(found_at)})

"""Encode the captions whose embeds the store lacks."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import encoders, rates
from hf_assets.encode.embed_stage import EmbedStage, jobs_of, relative_error
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.quarantine import failed_rows
from hf_assets.encode.unit import Totals, run_units, units_of
from hf_assets.engines.unit import HoldDevice
from hf_assets.models import families, prompt
from hf_assets.models import text as text_side
from hf_assets.previews import token_counts
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import joining, keys
from hf_assets.store import generations
from hf_assets.store.tensors import TensorStore

STAGE = "text_embeds"
# Of everything here that changes an embed: this module, the text side. Bump the first for a change to this module.
VERSION = f"2.{text_side.VERSION}"


def inputs(recipe: Recipe) -> tuple[str, ...]:
    """The tables that `encode` reads: of audio also what says how much of each clip is encoded."""
    return ("captions", "buckets") if recipe.kind == "audio" else ("captions",)


def work(
    recipe: Recipe, captions: pa.Table, buckets: pa.Table | None = None, encoder: encoders.Encoder | None = None
) -> encoders.Work:
    """Which embeds these rows (`schema.CAPTIONS`) need, and what the store holds.

    Args:
        buckets: of audio, the rows' parts.
        encoder: the text encoders, where they are known already.

    Raises:
        ModelError: the pipeline can't be found, or has no text encoder.
    """
    encoder = encoder or encoders.text_of(recipe, VERSION)
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
    if recipe.kind != "audio" or not recipe.model.pipeline.has_text:
        return []
    usage = prompt.remembered_usage(encoder.pipeline)
    arguments = zip(captions_stage.COMPANIONS, (prompt.LYRICS, prompt.DURATION), strict=True)
    return [name for name, argument in arguments if usage.takes(argument)]


def encode(
    recipe: Recipe,
    captions: pa.Table,
    buckets: pa.Table | None,
    hold_device: HoldDevice,
    say: Callable[[str], None],
    encoder: encoders.Encoder | None = None,
) -> tuple[Outcome, dict[str, Any]]:
    """Give every distinct caption its embed: those that the store holds are reused, each other one is computed once.

    Args:
        buckets: of audio, the rows' parts.
        encoder: the text encoders, where they are known already.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the text encoders can't be loaded.
    """
    totals = Totals()
    with TensorStore(recipe.folders.embeds).in_use(recipe.folders.metadata, say):
        todo = work(recipe, captions, buckets, encoder)
        encoder = todo.encoder
        if num_missing := len(todo.missing):
            say(f"{num_missing:,} captions to encode with the text encoders of {encoder.pipeline.name}")
            if not families.of(encoder.pipeline.class_name).text.outputs:
                say(
                    f"{encoder.pipeline.class_name} is not in the table of families (`hf-assets families`): "
                    "its captions are encoded by the general rules, one at a time"
                )
            with hold_device(say) as engine:  # while this run waited, another may have encoded some of them
                missing = todo.look_up_again().missing
                if len(missing):
                    stage = EmbedStage(recipe, encoder, token_counts.chosen(todo.keyed))
                    units = units_of(jobs_of(missing), num_workers=engine.num_workers)
                    totals = run_units(engine, stage, units, "encoding captions", say)
            todo = todo.look_up_again()
        stored = todo.stored
        generations.claim(recipe.folders.metadata, STAGE, stored["embed_key"])
    rates.note(encoder, totals.rate)
    own = {field.name: field for field in (schema.LYRICS, schema.DURATION)}
    made = pa.schema([*schema.TEXT_EMBEDS, *(own[name] for name in captions_stage.companions(stored))])
    table = pa.table([stored[name] for name in made.names], schema=made)
    failed = failed_rows(_rows_of(todo.keyed, captions, buckets), "embed_key", todo.failures, STAGE)
    previous = folder.table(recipe.folders.metadata, STAGE)
    outcome = Outcome(
        encoders.with_record(
            table, encoder, previous, totals.rate, relative_error(totals.report), totals.device_seconds_each
        ),
        identity=("caption", "embed_key"),
        computed=totals.report.computed,
        reused=len(table) - totals.report.computed,
        quarantined=failed,
        rests=todo.rests(len(failed)),
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "pipeline_class": encoder.pipeline.class_name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": todo.stored_bytes,
        **totals.facts,
        **_error_of(outcome.table),
    }


def _error_of(table: pa.Table) -> dict[str, float]:
    """What storing in another type took from the embeds, as it was last measured."""
    record = encoders.record_in(table.schema)
    return {} if record is None or record.relative_error is None else {"relative_error": record.relative_error}


def _rows_of(keyed: pa.Table, captions: pa.Table, buckets: pa.Table | None) -> pa.Table:
    """Each row's embed keys: one line per caption of a row."""
    lines = captions_stage.lines(joining.with_companions(captions, buckets, captions_stage.companions(keyed)))
    known = captions_stage.identities(keyed).combine_chunks()
    found_at = pc.index_in(captions_stage.identities(lines), value_set=known)
    return pa.table({"row": lines["row"], "embed_key": keyed["embed_key"].take(found_at)})

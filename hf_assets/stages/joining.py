"""Join what was made of each row into what a trainer needs."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.stages import audio
from hf_assets.stages.captions import companions

# Bump when a change to this module changes the training set.
VERSION = 3

NOTHING_MORE = pa.schema([])


def join(
    captions: pa.Table,
    texts: pa.Table,
    buckets: pa.Table,
    vae_latents: pa.Table,
    extension: str,
    more: pa.Schema = NOTHING_MORE,
    *,
    empty: pa.Table | None = None,
    has_text: bool = True,
) -> pa.Table:
    """The rows that have a latent and, where there is text, an embedded caption.

    Args:
        texts: `row`, `caption` and `embed_key` of each of the rows' captions that has an embed, in their order.
        extension: of the name under which a row's media is known to trainers: row 12 is `12.jpg`.
        more: columns of `buckets` that this kind of media has beside those of `schema.TRAINING_SET`, of which it may
            lack some. What it lacks is null, as `schema.SOURCE_PATH` is (`naming.with_source_paths`).
        empty: the embeds of the empty caption: `embed_key`, and `duration_s` where texts are encoded with one.
        has_text: whether captions are encoded.

    Returns:
        A table of `schema.TRAINING_SET`, `more` and, of audio, `schema.LYRICS`, in the split's order.
    """
    latent_at = pc.index_in(captions["row"], value_set=vae_latents["row"].combine_chunks())
    starts = np.searchsorted(texts["row"].to_numpy(), captions["row"].to_numpy())
    edges = pa.array(np.append(starts, len(texts)).astype(np.int32))
    of_row = {name: pa.ListArray.from_arrays(edges, _chunk(texts[name])) for name in ("caption", "embed_key")}
    complete = pc.is_valid(latent_at)
    if has_text:
        complete = pc.and_(complete, pc.greater(pc.list_value_length(of_row["embed_key"]), 0))
    latents = vae_latents.take(latent_at.filter(complete))
    rows = latents["row"]
    media = buckets.take(pc.index_in(rows, value_set=buckets["row"].combine_chunks()))
    columns = {
        "row": rows,
        "file": pc.binary_join_element_wise(rows.cast(pa.string()), extension, "."),
        "captions": of_row["caption"].filter(complete),
        "embed_keys": of_row["embed_key"].filter(complete),
        "empty_caption_key": _empty_keys(media, empty),
        "latent_key": latents["latent_key"],
        "latent_shape": latents["latent_shape"],
    }
    made = pa.schema([*schema.TRAINING_SET, *more])
    if schema.LYRICS.name in captions.column_names:
        columns["lyrics"] = captions["lyrics"].filter(complete)
        made = made.append(schema.LYRICS)
    for field in made:
        if field.name not in columns:
            is_there = field.name in media.column_names  # audio has no size
            columns[field.name] = media[field.name] if is_there else pa.nulls(len(media), field.type)
    return pa.table([columns[name] for name in made.names], schema=made)


def _empty_keys(media: pa.Table, empty: pa.Table | None) -> pa.ChunkedArray:
    """Of each row, the key of the empty caption's embed, with the row's duration where texts are encoded with one."""
    made = schema.TRAINING_SET.field("empty_caption_key").type
    if empty is None or not len(empty):
        return pa.chunked_array([pa.nulls(len(media), made)])
    keys = _chunk(empty["embed_key"]).cast(made.value_type)
    if schema.DURATION.name in empty.column_names:
        at = pc.index_in(audio.durations_s(media), value_set=_chunk(empty[schema.DURATION.name]))
        at = _chunk(at) if isinstance(at, pa.ChunkedArray) else at
    else:
        at = pa.array(np.zeros(len(media), np.int32))
    return pa.chunked_array([pa.DictionaryArray.from_arrays(at, keys)], made)


def embed_keys_of(training_set: pa.Table) -> pa.ChunkedArray:
    """The keys of all embeds that rows of a training set name: of their captions, then of the empty one, each once."""
    own = pc.list_flatten(training_set["embed_keys"])
    if "empty_caption_key" not in training_set.column_names:  # made by an earlier version
        return own
    empty = pc.unique(training_set["empty_caption_key"].cast(own.type)).drop_null()
    return pa.chunked_array([*own.chunks, empty], own.type)


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def with_companions(captions: pa.Table, buckets: pa.Table | None, names: Collection[str]) -> pa.Table:
    """Rows of captions with just those of `captions.COMPANIONS` that are named: what text encoders read of each.

    Args:
        buckets: of the rows' media, where the duration is named; a row that isn't among them has none.
    """
    rows = captions.drop_columns([name for name in companions(captions) if name not in names])
    if schema.DURATION.name not in names:
        return rows
    assert buckets is not None, "durations are those of clips as they are encoded"
    bucket_at = pc.index_in(rows["row"], value_set=buckets["row"].combine_chunks())
    return rows.append_column(schema.DURATION, audio.durations_s(buckets).take(bucket_at))

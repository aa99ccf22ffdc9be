"""The keys under which tensors are stored: hashes of exactly what their bytes depend on.

Positions, paths, batch size and device are in no key.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema

# Bump when a change to this module, with equal inputs, is to give other keys.
VERSION = 1


def latent_keys(buckets: pa.Table, columns: Sequence[str], encoder: str) -> pa.ChunkedArray:
    """Key of each bucketed row's latent: its media's content, what is taken of it and in which shape, and `encoder`.

    Args:
        buckets: has `media_hash` and `columns`.
        columns: all of a sample that decides its latent: lists of a fixed length, numbers or text, none null.
        encoder: fingerprint of everything else that the latent depends on: VAE, dtype, normalisation, code versions.
    """
    parts = [part for name in columns for part in _texts(buckets[name])]
    media = buckets["media_hash"].combine_chunks()
    return fingerprint.of_strings(pc.binary_join_element_wise(media, *parts, f"latent {VERSION} {encoder}", "|"))


def embed_keys(
    captions: pa.ChunkedArray,
    encoder: str,
    *,
    lyrics: pa.ChunkedArray | None = None,
    durations_s: pa.ChunkedArray | None = None,
) -> pa.ChunkedArray:
    """Key of each caption's embed: its text, what else of the sample the text encoders read, and `encoder`.

    Args:
        lyrics, durations_s: one for each caption, for pipelines that read them; null, where there is none, is as if
            they weren't given.
        encoder: fingerprint of everything else that the embed depends on: text encoders, tokenizers, settings, dtype,
            code versions.
    """
    made_by = pa.scalar(f"embed {VERSION} {encoder}", schema.CAPTION)
    texts = pc.binary_join_element_wise(made_by, captions.cast(schema.CAPTION), pa.scalar("|", schema.CAPTION))
    for name, values in (("lyrics", lyrics), ("seconds", durations_s)):
        if values is not None:
            # named in front, and with the length of what comes first: no two ways of writing it read alike
            length = pc.utf8_length(texts).cast(pa.string()).cast(schema.CAPTION)
            parts = (pa.scalar(name, schema.CAPTION), length, texts, values.cast(pa.string()).cast(schema.CAPTION))
            more = pc.binary_join_element_wise(*parts, pa.scalar("|", schema.CAPTION))
            texts = pc.if_else(pc.is_valid(values), more, texts)
    return fingerprint.of_strings(texts)


def _texts(column: pa.ChunkedArray) -> list[pa.Array]:
    """A column as text; one of lists of n as n."""
    assert not column.null_count, "a null among what a key is made of would leave the sample without one"
    if column.type == schema.SIZE:
        return [pa.array(half).cast(pa.string()) for half in schema.halves(column)]
    if pa.types.is_fixed_size_list(column.type):
        flat = pc.list_flatten(column).to_numpy()
        return [pa.array(flat[at :: column.type.list_size]).cast(pa.string()) for at in range(column.type.list_size)]
    return [column.combine_chunks().cast(pa.string())]

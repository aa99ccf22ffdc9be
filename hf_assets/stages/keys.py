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


def embed_keys(captions: pa.ChunkedArray, encoder: str) -> pa.ChunkedArray:
    """Key of each caption's embed: its text and `encoder`.

    Args:
        encoder: fingerprint of everything else that the embed depends on: text encoders, tokenizers, settings, dtype,
            code versions.
    """
    made_by = pa.scalar(f"embed {VERSION} {encoder}", schema.CAPTION)
    texts = pc.binary_join_element_wise(made_by, captions.cast(schema.CAPTION), pa.scalar("|", schema.CAPTION))
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

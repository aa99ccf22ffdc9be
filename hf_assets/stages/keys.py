"""The keys under which tensors are stored: hashes of exactly what their bytes depend on.

Positions, paths, batch size and device are in no key.
"""

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema

# Bump when a change to this module, with equal inputs, is to give other keys.
VERSION = 1


def latent_keys(buckets: pa.Table, encoder: str) -> pa.ChunkedArray:
    """Key of each bucketed row's latent: its media's content, its resize and crop, and `encoder`.

    Args:
        buckets: a table of `schema.BUCKETS`.
        encoder: fingerprint of everything else that the latent depends on: VAE, dtype, normalisation, code versions.
    """
    sizes = [
        pa.array(half).cast(pa.string())
        for name in ("resized_size", "target_size", "crop_top_left")
        for half in schema.halves(buckets[name])
    ]
    media = buckets["media_hash"].combine_chunks()
    return fingerprint.of_strings(pc.binary_join_element_wise(media, *sizes, f"latent {VERSION} {encoder}", "|"))


def embed_keys(captions: pa.ChunkedArray, encoder: str) -> pa.ChunkedArray:
    """Key of each caption's embed: its text and `encoder`.

    Args:
        encoder: fingerprint of everything else that the embed depends on: text encoders, tokenizers, settings, dtype,
            code versions.
    """
    made_by = pa.scalar(f"embed {VERSION} {encoder}", schema.CAPTION)
    texts = pc.binary_join_element_wise(made_by, captions.cast(schema.CAPTION), pa.scalar("|", schema.CAPTION))
    return fingerprint.of_strings(texts)

"""The keys under which tensors are stored: hashes of exactly what their bytes depend on.

Positions, paths, batch size and device are in no key.

What is hashed is a line that reads back in one way only: its kind and version, then each part as its name, its length
in bytes and itself (`latent 1|encoder 2:ab|media_hash 2:cd|crop_top_left 3:0,8`). So no caption, and nothing else that
a dataset's author writes, can be made to read as other parts.
"""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint

# Bump when a change to this module, with equal inputs, is to give other keys.
VERSION = 1

TEXT = pa.large_string()
# Rows of which the hashed lines are held at once.
BATCH_ROWS = 65_536


def latent_keys(
    buckets: pa.Table, columns: Sequence[str], encoder: str, optional: Sequence[str] = ()
) -> pa.ChunkedArray:
    """Key of each bucketed row's latent: its media's content, what is taken of it and in which shape, and `encoder`.

    Args:
        buckets: has `media_hash` and `columns`.
        columns: all of a sample that decides its latent: lists of a fixed length, numbers or text, none null.
        encoder: fingerprint of everything else that the latent depends on: VAE, dtype, normalisation, code versions.
        optional: text columns of what only some samples have. Null, or no such column, is as if the part didn't exist.
    """
    there = [name for name in optional if name in buckets.column_names]
    keys = []
    for rows in _batches(buckets.select(["media_hash", *columns, *there])):
        parts = [(name, _text(rows[name])) for name in ("media_hash", *columns)]
        assert not any(values.null_count for _, values in parts), "a null would leave the sample without a key"
        keys.append(_hash("latent", encoder, [*parts, *((name, rows[name]) for name in there)]))
    return _join(keys)


def embed_keys(
    captions: pa.ChunkedArray,
    encoder: str,
    *,
    lyrics: pa.ChunkedArray | None = None,
    durations_s: pa.ChunkedArray | None = None,
) -> pa.ChunkedArray:
    """Key of each caption's embed: its text, what else of the sample the text encoders read, and `encoder`.

    Args:
        captions: null has no key.
        lyrics, durations_s: one for each caption, for pipelines that read them; null, where there is none, is as if
            they weren't given.
        encoder: fingerprint of everything else that the embed depends on: text encoders, tokenizers, settings, dtype,
            code versions.
    """
    given = {"caption": captions, "lyrics": lyrics, "seconds": durations_s}
    texts = pa.table({name: values for name, values in given.items() if values is not None})
    keys = []
    for rows in _batches(texts):
        hashes = _hash("embed", encoder, [(name, _text(rows[name])) for name in rows.column_names])
        keys.append(pc.if_else(pc.is_valid(rows["caption"]), hashes, None))
    return _join(keys)


def _hash(kind: str, encoder: str, parts: Iterable[tuple[str, pa.ChunkedArray]]) -> pa.ChunkedArray:
    """Hash of each row's line; a part that is null is left out of it."""
    head = f"{kind} {VERSION}|encoder {len(encoder.encode())}:{encoder}"
    pieces: list[pa.ChunkedArray | str] = [head]
    for name, values in parts:
        part = _concatenate(f"|{name} ", pc.binary_length(values), ":", values)
        pieces.append(pc.fill_null(part, "") if part.null_count else part)
    return fingerprint.of_strings(_concatenate(*pieces))


def _concatenate(*pieces: pa.ChunkedArray | str, between: str = "") -> pa.ChunkedArray:
    texts = [pa.scalar(one, TEXT) if isinstance(one, str) else one.cast(TEXT) for one in pieces]
    return pc.binary_join_element_wise(*texts, pa.scalar(between, TEXT))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as text; lists of a fixed length as their items with commas between."""
    if not pa.types.is_fixed_size_list(column.type):
        return column.cast(TEXT)
    assert not column.null_count, "a null would leave the sample without a key"
    items = pc.list_flatten(column).to_numpy()
    width = column.type.list_size
    return _concatenate(*(pa.chunked_array([items[at::width]]) for at in range(width)), between=",")


def _batches(table: pa.Table) -> Iterable[pa.Table]:
    return (table.slice(start, BATCH_ROWS) for start in range(0, len(table), BATCH_ROWS))


def _join(keys: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for each in keys for chunk in each.chunks], pa.string())

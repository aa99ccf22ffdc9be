"""The join keeps a row's own latent and its own captions together."""

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.stages.joining import join


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])  # as earlier releases wrote captions, and as now
def test_a_row_lacks_neither_latent_nor_embed_and_keeps_only_captions_that_have_one(kind: pa.DataType) -> None:
    texts = pa.array([["a", "b"], ["b"], ["lost"], ["a", "lost"]], pa.list_(kind))
    captions = pa.table({"row": pa.array([1, 2, 3, 4]), "captions": texts})
    size = [8, 8]
    rows = [
        {**dict.fromkeys(schema.BUCKETS.names), "row": row, "media_hash": f"media{row}", "target_size": size}
        for row in (4, 1, 3)
    ]
    buckets = pa.Table.from_pylist(rows, schema=schema.BUCKETS)
    latents = pa.table([[3, 4, 1], ["l3", "l4", "l1"], [[4, 1, 1]] * 3, ["s"] * 3], schema=schema.VAE_LATENTS)
    embeds = pa.table([["b", "a"], ["eb", "ea"], ["s", "s"]], schema=schema.TEXT_EMBEDS)
    table, num_incomplete = join(captions, buckets, latents, embeds, "jpg")
    assert table.schema.field("captions").type == pa.list_(pa.large_string())
    chosen = table.select(["row", "file", "media_hash", "captions", "embed_keys", "latent_key"]).to_pylist()
    assert chosen == [
        {
            "row": 1,
            "file": "1.jpg",
            "media_hash": "media1",
            "captions": ["a", "b"],
            "embed_keys": ["ea", "eb"],
            "latent_key": "l1",
        },
        {
            "row": 4,
            "file": "4.jpg",
            "media_hash": "media4",
            "captions": ["a"],
            "embed_keys": ["ea"],
            "latent_key": "l4",
        },
    ]
    assert num_incomplete == 2  # row 2 has no latent, row 3 no embed


def test_nothing_joins_to_nothing() -> None:
    empty = [each.empty_table() for each in (schema.CAPTIONS, schema.BUCKETS, schema.VAE_LATENTS, schema.TEXT_EMBEDS)]
    assert len(join(*empty, "jpg")[0]) == 0


def test_a_song_gets_the_embed_of_its_own_lyrics() -> None:
    captions = pa.table(
        {"row": pa.array([0, 1, 2]), "captions": [["a"], ["a"], ["a"]], "lyrics": pa.array(["la", None, "lo"])}
    )
    buckets = pa.table(
        {"row": pa.array([0, 1, 2]), "media_hash": ["x", "y", "z"], "bucket": ["3s"] * 3, "rate": [1, 2, 3]}
    )
    latents = pa.table(
        {"row": pa.array([0, 1, 2]), "latent_key": ["p", "q", "r"], "latent_shape": [[8, 1]] * 3, "shard": ["s"] * 3}
    )
    embeds = pa.table(
        {"caption": ["a", "a"], "embed_key": ["alone", "with la"], "shard": ["s"] * 2, "lyrics": pa.array([None, "la"])}
    )
    table, num_incomplete = join(captions, buckets, latents, embeds, "wav", pa.schema([("rate", pa.int64())]))
    assert num_incomplete == 1
    rows = table.select(["row", "embed_keys", "lyrics", "rate", "file", "original_size"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0, ["with la"], "la", 1, "0.wav", None),
        (1, ["alone"], None, 2, "1.wav", None),
    ]

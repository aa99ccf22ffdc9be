"""The join keeps a row's own latent and its own captions together."""

import pyarrow as pa

from hf_assets import schema
from hf_assets.stages.joining import join


def texts(*found: tuple[int, str, str]) -> pa.Table:
    """Captions that have an embed."""
    rows, captions, keys = zip(*found, strict=True) if found else ((), (), ())
    columns = {"row": pa.array(rows, pa.int64()), "caption": pa.array(captions, schema.CAPTION)}
    return pa.table({**columns, "embed_key": pa.array(keys, pa.string())})


def test_a_row_lacks_neither_latent_nor_embed_and_keeps_only_captions_that_have_one() -> None:
    captions = pa.table({"row": pa.array([1, 2, 3, 4]), "captions": [["a", "b"], ["b"], ["lost"], ["a", "lost"]]})
    size = [8, 8]
    rows = [
        {**dict.fromkeys(schema.BUCKETS.names), "row": row, "media_hash": f"media{row}", "target_size": size}
        for row in (4, 1, 3)
    ]
    buckets = pa.Table.from_pylist(rows, schema=schema.BUCKETS)
    latents = pa.table([[3, 4, 1], ["l3", "l4", "l1"], [[4, 1, 1]] * 3, ["s"] * 3], schema=schema.VAE_LATENTS)
    embedded = texts((1, "a", "ea"), (1, "b", "eb"), (2, "b", "eb"), (4, "a", "ea"))
    table = join(captions, embedded, buckets, latents, "jpg")
    assert table.schema.field("captions").type == pa.list_(pa.large_string())
    chosen = table.select(["row", "file", "media_hash", "captions", "embed_keys", "latent_key"]).to_pylist()
    assert chosen == [  # row 2 has no latent, row 3 no embed
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


def test_nothing_joins_to_nothing() -> None:
    captions, buckets, latents = (each.empty_table() for each in (schema.CAPTIONS, schema.BUCKETS, schema.VAE_LATENTS))
    assert len(join(captions, texts(), buckets, latents, "jpg")) == 0


def test_lyrics_and_columns_of_the_kind_of_media_come_along() -> None:
    captions = pa.table(
        {"row": pa.array([0, 1, 2]), "captions": [["a"], ["a"], ["a"]], "lyrics": pa.array(["la", None, "lo"])}
    )
    buckets = pa.table(
        {"row": pa.array([0, 1, 2]), "media_hash": ["x", "y", "z"], "bucket": ["3s"] * 3, "rate": [1, 2, 3]}
    )
    latents = pa.table(
        {"row": pa.array([0, 1, 2]), "latent_key": ["p", "q", "r"], "latent_shape": [[8, 1]] * 3, "shard": ["s"] * 3}
    )
    embedded = texts((0, "a", "with la"), (1, "a", "alone"))
    table = join(captions, embedded, buckets, latents, "wav", pa.schema([("rate", pa.int64())]))
    rows = table.select(["row", "embed_keys", "lyrics", "rate", "file", "original_size"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0, ["with la"], "la", 1, "0.wav", None),
        (1, ["alone"], None, 2, "1.wav", None),
    ]

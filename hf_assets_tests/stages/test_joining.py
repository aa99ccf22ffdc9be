"""The join keeps a row's own latent and its own captions together."""

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.stages import joining
from hf_assets.stages.captions import distinct_texts, with_empty
from hf_assets.stages.joining import embed_keys_of, join


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
    latents = pa.table([[3, 4, 1], ["l3", "l4", "l1"], [[4, 1, 1]] * 3, ["s"] * 3, [4] * 3], schema=schema.VAE_LATENTS)
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


@pytest.mark.parametrize("has_empty", [True, False])
def test_every_sample_names_the_embed_of_the_empty_caption(has_empty: bool) -> None:
    captions = pa.table({"row": pa.array([0, 1]), "captions": [["a"], ["b"]]})
    buckets = pa.table({"row": pa.array([0, 1]), "media_hash": ["x", "y"], "bucket": ["s"] * 2})
    latents = pa.table(
        {"row": pa.array([0, 1]), "latent_key": ["p", "q"], "latent_shape": [[8, 1]] * 2, "shard": ["s"] * 2}
    )
    empty = pa.table({"embed_key": pa.array(["e"] if has_empty else [], pa.string())})
    table = join(captions, texts((0, "a", "ea"), (1, "b", "eb")), buckets, latents, "jpg", empty=empty)
    assert table["empty_caption_key"].to_pylist() == (["e", "e"] if has_empty else [None, None])
    assert embed_keys_of(table).to_pylist() == ["ea", "eb", *(["e"] if has_empty else [])]
    assert embed_keys_of(table.drop_columns("empty_caption_key")).to_pylist() == ["ea", "eb"]


def test_where_clips_are_encoded_with_their_durations_so_is_the_empty_caption() -> None:
    captions = pa.table({"row": pa.array([0, 1, 2]), "captions": [["a"], ["a"], ["b"]]})
    rates = {"sample_rate_hz": pa.array([10] * 3), "num_samples": pa.array([5, 20, 5])}
    buckets = pa.table({"row": pa.array([0, 1, 2]), "media_hash": ["x", "y", "z"], "bucket": ["s"] * 3, **rates})
    latents = pa.table(
        {"row": pa.array([0, 1, 2]), "latent_key": ["p", "q", "r"], "latent_shape": [[8, 1]] * 3, "shard": ["s"] * 3}
    )
    rows = joining.with_companions(captions, buckets, ["duration_s"])
    wanted = with_empty(distinct_texts(rows))
    assert wanted.select(["caption", "duration_s"]).to_pylist() == [
        {"caption": caption, "duration_s": seconds}
        for caption, seconds in [("", 0.5), ("a", 0.5), ("", 2), ("a", 2), ("b", 0.5)]
    ]
    empty = wanted.take([0, 2]).append_column("embed_key", pa.array(["e-0.5", "e-2"]))
    embedded = texts((0, "a", "a-0.5"), (1, "a", "a-2"), (2, "b", "b-0.5"))
    table = join(captions, embedded, buckets, latents, "wav", empty=empty)
    assert table["empty_caption_key"].to_pylist() == ["e-0.5", "e-2", "e-0.5"]

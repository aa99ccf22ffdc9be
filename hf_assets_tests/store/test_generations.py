"""What a dataset's tables name stays, also in the moment before a table is written."""

from pathlib import Path

import pyarrow as pa

from hf_assets.store import generations


def test_claimed_keys_are_named_before_any_table_is_there(tmp_path: Path) -> None:
    generations.claim(tmp_path, "vae_latents", pa.chunked_array([["a", "b"]]))
    generations.claim(tmp_path, "text_embeds", pa.chunked_array([["c"]]))
    assert sorted(generations.named_keys(tmp_path, 1).to_pylist()) == ["a", "b", "c"]


def test_a_later_claim_of_a_stage_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    generations.claim(tmp_path, "vae_latents", pa.chunked_array([["a", "b"]]))
    generations.claim(tmp_path, "vae_latents", pa.chunked_array([["b"]]))
    assert generations.named_keys(tmp_path, 1).to_pylist() == ["b"]

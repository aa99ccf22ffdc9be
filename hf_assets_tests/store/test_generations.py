"""What a dataset's tables name stays, also in the moment before a table is written."""

from pathlib import Path

import pyarrow as pa

from hf_assets import files, folder
from hf_assets.store import generations


def claim(root: Path, stage: str, *keys: str) -> None:
    made = generations.Claim(root, stage)
    made.add(pa.chunked_array([keys], pa.string()))
    made.publish()


def test_claimed_keys_are_named_before_any_table_is_there(tmp_path: Path) -> None:
    claim(tmp_path, "vae_latents", "a", "b")
    claim(tmp_path, "text_embeds", "c")
    assert sorted(generations.named_keys(tmp_path, 1).to_pylist()) == ["a", "b", "c"]


def test_a_claim_goes_once_its_runs_table_is_there_and_one_of_a_run_at_work_stays(tmp_path: Path) -> None:
    claim(tmp_path, "vae_latents", "a", "b")
    claim(tmp_path, "vae_latents", "b", "c")  # of another run, at the same time
    assert sorted(generations.named_keys(tmp_path, 1).to_pylist()) == ["a", "b", "c"]
    files.write_table(folder.table(tmp_path, "vae_latents"), pa.table({"latent_key": ["b", "c"]}))
    claim(tmp_path, "vae_latents", "d")
    assert sorted(generations.named_keys(tmp_path, 1).to_pylist()) == ["b", "c", "d"]

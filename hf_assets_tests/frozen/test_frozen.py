"""What the first release stored is found by every later one: none of it is ever computed anew.

The first release had no embed of the empty caption: of its stores that one is computed, once.
"""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hf_assets import schema
from hf_assets.kinds.audio import AudioMedium
from hf_assets.stages import keys
from hf_assets.training import TrainingSet
from hf_assets_tests.frozen.users import FAMILIES, materialize

HERE = Path(__file__).parent
# The keys under which each user's latents and embeds lie.
LATENTS = {
    "image": [
        "482b109a5cab7adc7a160cc238d28e3b",
        "b16a3212ddfbba4ee9345f43a76b25e9",
        "34f26c815b8847b938b508d43f7c9739",
        "dbc5e348bcc4ec01dd94fef85ad6891a",
    ],
    "video": ["07de0420d7b9cd43f0b6eb74a2418bc3"],
    "audio": ["95a9073442cffb41cd9fae8768bc5bb9"],
}
EMBEDS = {
    "image": [
        "20a25c950e336635591bf0dd8a03a250",
        "5f440f00592445c013fe9b3d76a8674f",
        "c14ad6f1fdebd4c88ac738300d1a2c79",
        "eaf373450e6f8ff99711540740cbe1d9",
    ],
    "video": ["2fcdbc39ea852510e51971dbb68ab8cd"],
    "audio": ["193f4b820eeb79e5087db57aa168374f"],
}
# Those of the empty caption, from the release on that first stored it.
EMPTY = {
    "image": "0ad44fb112428b7a60ae54e419ebb698",
    "video": "222c90e69fb93a1c988d9341454f5253",
    "audio": "f04f87c6fdfc5b6582660dea296faf2e",
}


@pytest.fixture(params=FAMILIES)
def user(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / request.param, tmp_path / request.param))


def test_nothing_of_the_first_releases_stores_is_computed_anew(user: Path) -> None:
    computed = materialize(user)
    assert (computed["vae_latents"], computed["text_embeds"]) == (0, 1)  # the empty caption, and nothing else
    kind = user.name
    tables = user / "cache" / "huggingface_metadata" / kind
    assert pq.read_table(tables / "vae_latents.parquet")["latent_key"].to_pylist() == LATENTS[kind]
    embeds = pq.read_table(tables / "text_embeds.parquet").to_pylist()
    assert sorted(row["embed_key"] for row in embeds if row["caption"]) == EMBEDS[kind]
    (empty,) = (row["embed_key"] for row in embeds if not row["caption"])
    assert empty == EMPTY[kind]
    decoding = pq.read_table(tables / "buckets.parquet")[schema.DECODING.name].to_pylist()
    assert [note for note in decoding if note] == (["gama-1"] if kind == "image" else [])
    assert materialize(user)["text_embeds"] == 0
    samples = TrainingSet.open(tables)
    assert torch.isfinite(samples.empty_caption()["prompt_embeds"]).all()
    for sample in (samples[number] for number in range(len(samples))):
        assert torch.isfinite(sample["latents"]).all()
        assert torch.isfinite(sample["prompt_embeds"]).all()


def test_the_key_of_a_clip_of_audio_is_what_it_was_in_the_first_release() -> None:
    sample = {"sample_rate_hz": 44_100, "num_channels": 2, "mixed_to": 1, "first_sample": 0, "num_samples": 2048}
    buckets = pa.Table.from_pylist([{"media_hash": "0" * 32, **sample}])
    assert keys.latent_keys(buckets, AudioMedium.keyed, "e" * 32).to_pylist() == ["832aa41586e3d67a41f6c2dc231abc09"]


def test_the_key_of_an_embed_is_what_it_was_in_the_first_release() -> None:
    captions = pa.chunked_array([["a cat", "", "größer|caption 1:x"]], schema.CAPTION)
    lyrics = pa.chunked_array([["la", None, None]], schema.CAPTION)
    durations_s = pa.chunked_array([[0.4, None, 1.0]], pa.float64())
    assert keys.embed_keys(captions, "e" * 32, lyrics=lyrics, durations_s=durations_s).to_pylist() == [
        "27707bc665033b763146627b3646e344",
        "168d2bad9a2988c9d3ad3eb855f1daac",
        "4c51f0984a4c1afcfdc3eb5e72e953db",
    ]

"""SimpleTuner's own example of audio through the whole graph, with a family that reads no lyrics."""

import json
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import diffusers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hf_assets.config import loading
from hf_assets.definitions import build_definitions
from hf_assets.training import TrainingSet
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.audio_files import encoded, tone
from hf_assets_tests.config.test_audio import EXAMPLE
from hf_assets_tests.contract import oracle

RATE = 44_100  # of Stable Audio
CLIPS = [tone(300 + 100 * number, 3.1, rate=RATE, channels=1)[:, 0] for number in range(3)]
SILENCE = np.zeros(RATE, np.float32)
BROKEN = np.full(RATE, np.nan, np.float32)


def rows(lyrics: str = "la") -> list[dict[str, Any]]:
    """As `datasets` stores audio that it has decoded."""
    samples = [*CLIPS, SILENCE, BROKEN, SILENCE[:1]]
    return [
        {
            "audio": {"path": None, "array": one.tolist(), "sampling_rate": RATE},
            "tags": [f"tone {number}", "pure"],
            "lyrics": lyrics if number == 0 else None,
        }
        for number, one in enumerate(samples)
    ]


def write(folder: Path, content: list[dict[str, Any]]) -> None:
    kind = pa.struct([("path", pa.string()), ("array", pa.list_(pa.float32())), ("sampling_rate", pa.int64())])
    fields = [("audio", kind), ("tags", pa.list_(pa.string())), ("lyrics", pa.string())]
    path = folder / "my-audio-data" / "data" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(content, schema=pa.schema(fields)), path)


def materialize(folder: Path) -> dict[str, int]:
    """How many each stage computed."""
    model = {"pretrained_model_name_or_path": "model", "dtype": "float32"}
    config = {"model": model, "datasets": [json.loads(EXAMPLE)]}
    (folder / "datasets.json").write_text(json.dumps(config))
    defs = build_definitions(loading.load(folder / "datasets.json"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(list(defs.assets or ()), instance=instance, resources=defs.resources)
    assert done.success
    events = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    return {event.asset_key.path[-1]: int(event.metadata["computed"].value) for event in events}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    folder = tmp_path_factory.mktemp("sound")
    tiny_pipelines.build("stableaudio", folder / "model")
    write(folder, rows())
    return folder, materialize(folder)


def test_the_pages_example_works_with_arrays(made: tuple[Path, dict[str, int]]) -> None:
    folder, computed = made
    assert (computed["vae_latents"], computed["text_embeds"]) == (4, 7)  # six captions, and the empty one
    metadata = folder / "cache" / "audio-dataset" / "huggingface_metadata" / "audio-dataset"
    training = TrainingSet.open(metadata)
    assert [row["row"] for row in training.table.to_pylist()] == [0, 1, 2, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about how Oobleck is written
        pipeline = diffusers.StableAudioPipeline.from_pretrained(folder / "model")
    for number, samples in enumerate([*CLIPS, SILENCE]):
        item = training[number]
        data = encoded(samples[:, None], "WAV", rate=RATE, subtype="FLOAT")
        assert torch.allclose(item["latents"], oracle.latent_of_sound(data, item, pipeline.vae), atol=1e-5)
        assert item["caption"] == f"tone {number}, pure"
        assert item["lyrics"] == ("la" if number == 0 else None)
        with torch.inference_mode():
            text = pipeline.encode_prompt(item["caption"], torch.device("cpu"), False)[0]
        assert torch.allclose(item["prompt_embeds"], text, atol=1e-5)
        assert (item["sample_rate_hz"], item["num_channels"], item["first_sample"]) == (RATE, 2, 0)
        assert item["original_num_samples"] == len(samples)
    failed = [pq.read_table(metadata / f"{stage}_quarantined.parquet") for stage in ("buckets", "vae_latents")]
    reasons = {row["row"]: row["reason"] for table in failed for row in table.to_pylist()}
    assert reasons == {4: "non_finite", 5: "too_short"}


def test_lyrics_cost_nothing_where_no_encoder_reads_them(made: tuple[Path, dict[str, int]]) -> None:
    folder, _ = made
    write(folder, rows(lyrics="lo"))
    computed = materialize(folder)
    assert (computed["vae_latents"], computed["text_embeds"]) == (0, 0)
    metadata = folder / "cache" / "audio-dataset" / "huggingface_metadata" / "audio-dataset"
    assert TrainingSet.open(metadata)[0]["lyrics"] == "lo"
    assert "lyrics" not in pq.read_schema(metadata / "text_embeds.parquet").names

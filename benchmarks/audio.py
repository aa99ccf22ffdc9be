"""Seconds of sound per second of a run's encoding, against the bare encoder on the same clips.

The bare encoder gets waveforms that are decoded, resampled and stacked already; a run reads Parquet, decodes,
resamples, encodes and writes shards. Both take the same batches. The bare encoder is timed before and after the run,
since other work on the machine changes its speed.

    python -m benchmarks.audio [--model FOLDER] [--clips 32] [--seconds 12] [--device cpu]
"""

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch

from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.models import load_vae
from hf_assets.models.source import resolve_pipeline
from hf_assets.sources import rows
from hf_assets.sources.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.workers import bucketing, latents
from hf_assets.workers.batches import Waiting
from hf_assets.workers.compute import Compute
from hf_assets.workers.medium import medium_of

# As music datasets have it; the encoder of Stable Audio reads 44,100 Hz.
RATE_HZ = 48_000
FORMATS = ("FLAC", "MP3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a pipeline's folder; default: a tiny Stable Audio")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        recipe = _recipe(Path(folder), given)
        _compare(recipe, Compute(device=given.device, batch_size=given.batch_size, decode_threads=2), given)


def _compare(recipe: Recipe, compute: Compute, given: argparse.Namespace) -> None:
    quiet: Callable[[str], None] = lambda line: None  # noqa: E731
    source = source_of(recipe.source, recipe.folders.metadata / "sources")
    wanted = WantedColumns(recipe.media_column, recipe.required_columns)
    raw = rows.read(source, source.resolve(), wanted, recipe.folders.metadata / "columns", quiet).table
    started = time.perf_counter()
    buckets = bucketing.assign(recipe, raw.select(["row"]), raw, source, compute.decode_threads, quiet).table
    probing_s = time.perf_counter() - started

    medium = medium_of(recipe)
    media = pq.read_table(Path(recipe.source.dataset_name) / "train.parquet")["audio"].to_pylist()
    started = time.perf_counter()
    chosen = buckets.select(["row", *medium.decoded]).to_pylist()
    decoded = [medium.decode(media[one.pop("row")]["bytes"], one).contiguous() for one in chosen]
    decoding_s = time.perf_counter() - started

    before_s = _bare(recipe, compute, decoded)
    started = time.perf_counter()
    _, facts = latents.encode(recipe, buckets, raw, source, lambda say: contextlib.nullcontext(compute), quiet)
    run_s = len(decoded) / facts["samples_per_second"]
    after_s = _bare(recipe, compute, decoded)

    sound_s = float(np.sum(medium.volume(buckets))) / buckets["sample_rate_hz"][0].as_py()
    bare, run = 2 * sound_s / (before_s + after_s), sound_s / run_s
    print(f"{len(decoded)} clips of {tuple(decoded[0].shape)}, from {' and '.join(FORMATS)} at {RATE_HZ:,} Hz, stereo")
    print(f"probing            {given.clips * given.seconds / probing_s:10,.0f} seconds of sound per second")
    print(f"decoding, 1 thread {sound_s / decoding_s:10,.0f} seconds of sound per second")
    print(
        f"bare encoder       {bare:10,.0f} seconds of sound per second ({before_s:.1f} s before, {after_s:.1f} s after)"
    )
    print(f"the run            {run:10,.0f} seconds of sound per second: {run / bare:.2f} of the bare encoder")


def _bare(recipe: Recipe, compute: Compute, decoded: list[torch.Tensor]) -> float:
    """Seconds that encoding takes when all waveforms are there, in the batches of a run."""
    with load_vae(
        resolve_pipeline(recipe.model.pipeline), torch.device(compute.device), getattr(torch, recipe.model.dtype)
    ) as vae:
        vae.encode(decoded[0][None]).cpu()
        started = time.perf_counter()
        waiting = Waiting(compute.batch_size)
        for one in decoded:
            for batch in waiting.add("", one):
                vae.encode(torch.stack([waveform for _, waveform in batch])).cpu()
        for batch in waiting.rest():
            vae.encode(torch.stack([waveform for _, waveform in batch])).cpu()
        return time.perf_counter() - started


def _recipe(folder: Path, given: argparse.Namespace) -> Recipe:
    model = given.model
    if model is None:
        from hf_assets_tests import tiny_pipelines

        model = tiny_pipelines.build("stableaudio", folder / "model")
    data = folder / "data"
    data.mkdir()
    clips = pa.array([{"bytes": one, "path": None} for one in _clips(given.clips, given.seconds)])
    tags = [f"clip {number}" for number in range(given.clips)]
    pq.write_table(pa.table({"audio": clips, "tags": tags}), data / "train.parquet")
    entry: dict[str, Any] = {
        "id": "clips",
        "type": "huggingface",
        "dataset_type": "audio",
        "dataset_name": str(data),
    }
    file = folder / "datasets.json"
    named = {"pretrained_model_name_or_path": str(model), "dtype": "float32"}
    file.write_text(json.dumps({"model": named, "datasets": [entry]}))
    (recipe,) = loading.load(file).recipes
    return recipe


def _clips(count: int, duration_s: int) -> Iterator[bytes]:
    """Tones in noise, so that decoding them takes what it does of real ones."""
    time_s = np.arange(duration_s * RATE_HZ) / RATE_HZ
    for seed in range(count):
        drawn = np.random.default_rng(seed)
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in drawn.uniform(100, 4000, 8)) / 16
        samples = tones[:, None] + drawn.normal(0, 0.02, (len(time_s), 2))
        stream = io.BytesIO()
        soundfile.write(stream, samples, RATE_HZ, format=FORMATS[seed % len(FORMATS)])
        yield stream.getvalue()


if __name__ == "__main__":
    main()

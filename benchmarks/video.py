"""Frames per second of a run's encoding of clips, against the bare encoder on the same clips.

The bare encoder gets pixels that are decoded, resized and stacked already; a run reads Parquet, decodes, resizes,
encodes and writes shards. Both take the same batches. The bare encoder is timed before and after the run, since other
work on the machine changes its speed.

    python -m benchmarks.video [--model FOLDER] [--clips 8] [--frames 49] [--resolution 128] [--device cpu]
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

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a pipeline's folder; default: a tiny LTX")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
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
    media = pq.read_table(Path(recipe.source.dataset_name) / "train.parquet")["video"].to_pylist()
    decoded, started = [], time.perf_counter()
    started = time.perf_counter()
    chosen = buckets.select(["row", *medium.decoded]).to_pylist()
    decoded = [medium.decode(media[one.pop("row")]["bytes"], one).contiguous() for one in chosen]
    decoding_s = time.perf_counter() - started

    before_s = _bare(recipe, compute, decoded)
    started = time.perf_counter()
    _, facts = latents.encode(recipe, buckets, raw, source, lambda say: contextlib.nullcontext(compute), quiet)
    run_s = len(decoded) / facts["samples_per_second"]
    after_s = _bare(recipe, compute, decoded)

    num_frames = sum(one.shape[1] for one in decoded)
    bare = 2 * num_frames / (before_s + after_s)
    print(f"{len(decoded)} clips of {tuple(decoded[0].shape)}, from {given.frames} frames of 640 x 360, h264")
    print(f"probing            {given.clips * given.frames / probing_s:10,.0f} frames per second")
    print(f"decoding, 1 thread {num_frames / decoding_s:10,.0f} frames per second")
    print(f"bare encoder       {bare:10,.0f} frames per second ({before_s:.1f} s before, {after_s:.1f} s after)")
    run = num_frames / run_s
    print(f"the run            {run:10,.0f} frames per second: {run / bare:.2f} of the bare encoder")


def _bare(recipe: Recipe, compute: Compute, decoded: list[torch.Tensor]) -> float:
    """Seconds that encoding takes when all pixels are there, in the batches of a run."""
    with load_vae(
        resolve_pipeline(recipe.model.pipeline), torch.device(compute.device), getattr(torch, recipe.model.dtype)
    ) as vae:
        vae.encode(decoded[0][None]).cpu()
        started = time.perf_counter()
        waiting = Waiting(compute.batch_size)
        for one in decoded:
            for batch in waiting.add("", one):
                vae.encode(torch.stack([pixels for _, pixels in batch])).cpu()
        for batch in waiting.rest():
            vae.encode(torch.stack([pixels for _, pixels in batch])).cpu()
        return time.perf_counter() - started


def _recipe(folder: Path, given: argparse.Namespace) -> Recipe:
    model = given.model
    if model is None:
        from hf_assets_tests import tiny_pipelines

        model = tiny_pipelines.build("ltx", folder / "model")
    data = folder / "data"
    data.mkdir()
    clips = pa.array([{"bytes": one, "path": None} for one in _clips(given.clips, given.frames)])
    captions = [f"clip {number}" for number in range(given.clips)]
    pq.write_table(pa.table({"video": clips, "caption": captions}), data / "train.parquet")
    entry: dict[str, Any] = {
        "id": "clips",
        "type": "huggingface",
        "dataset_type": "video",
        "dataset_name": str(data),
        "video": {"num_frames": given.frames, "min_frames": 1},
        "resolution": given.resolution,
        "resolution_type": "pixel",
        "aspect_bucket_alignment": 32,
    }
    file = folder / "datasets.json"
    named = {"pretrained_model_name_or_path": str(model), "dtype": "float32"}
    file.write_text(json.dumps({"model": named, "datasets": [entry]}))
    (recipe,) = loading.load(file).recipes
    return recipe


def _clips(count: int, num_frames: int, width: int = 640, height: int = 360) -> Iterator[bytes]:
    """Clips with motion and noise, so that decoding them takes what it does of real ones."""
    for seed in range(count):
        drawn = np.random.default_rng(seed)
        still = drawn.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as written:
            stream: Any = written.add_stream("libx264", rate=24, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for number in range(num_frames):
                moved = np.roll(still, 3 * number, axis=1) // 2 + drawn.integers(0, 64, still.shape, dtype=np.uint8)
                written.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "rgb24")))
            written.mux(stream.encode())
        yield file.getvalue()


if __name__ == "__main__":
    main()

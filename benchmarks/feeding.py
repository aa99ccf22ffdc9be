"""How much of its time a device is busy between its first and its last batch, and for what it waits else.

python -m benchmarks.feeding [--rates 15,30,60] [--shapes 1,3,30] [--devices 1] [--seconds 8] [--batch-size 8]

The device is simulated: it waits (`simulated`). Images are JPEGs of about 512 x 512 pixels, of several shapes, mixed.
Beside each line stands how many images per second the decoding threads alone can make, measured in the same process
before and after the run: where that is less than the devices take, they have to wait. Of a device that is busy for less
than 0.95 of the time, the line ends with what it waited for most. Several devices are Ray actors.
"""

import argparse
import contextlib
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from benchmarks.encoding import recipe_of, tables_of
from benchmarks.simulated import Device, OnDevice, forget
from hf_assets import folder as places
from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing, latents
from hf_assets.engines import ray_cluster
from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.this_process import ThisProcess
from hf_assets.kinds.medium import medium_of
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import Source, source_of

EDGE_PX, STEP_PX = 512, 8
GOAL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="15,30,60", help="images per second of one device")
    parser.add_argument("--shapes", default="1,3,30")
    parser.add_argument("--devices", default="1")
    parser.add_argument("--seconds", type=float, default=8.0, help="that a run takes where nothing waits")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2, help="that decode, of each device")
    given = parser.parse_args()
    rates, shapes, devices = (
        [int(one) for one in getattr(given, name).split(",")] for name in ("rates", "shapes", "devices")
    )
    most = round(max(rates) * max(devices) * given.seconds)
    print("devices  images/s  shapes  busy  decoding alone: before, after  waited: reading, decoding, writing; start")
    for num_shapes in shapes:
        with TemporaryDirectory() as folder, dataset(Path(folder), most, num_shapes) as data:
            before = data.decoding_rate(given.threads)
            for rate in rates:
                for number in devices:
                    settings = ComputeSettings(device="cpu", batch_size=given.batch_size, decode_threads=given.threads)
                    facts = data.encode(rate, round(rate * number * given.seconds), number, settings)
                    after = data.decoding_rate(given.threads)
                    waited = {name: facts.get(f"waited_{name}_s", 0.0) for name in ("reading", "decoding", "writing")}
                    bound = "" if facts["busy"] >= GOAL else f"; bound by {max(waited, key=lambda name: waited[name])}"
                    print(
                        f"{number:7} {rate:9} {num_shapes:7} {facts['busy']:5.2f} {before:11,.0f}/s, {after:6,.0f}/s"
                        f"        {', '.join(f'{one:.2f}' for one in waited.values())}; "
                        f"{facts['waited_starting_s']:.1f} s{bound}",
                        flush=True,
                    )
                    before = after


class Dataset:
    """Images that are probed and have their buckets."""

    def __init__(self, recipe: Recipe, raw: pa.Table, buckets: pa.Table, source: Source) -> None:
        self.recipe, self.raw, self.buckets, self.source = recipe, raw, buckets, source

    def decoding_rate(self, threads: int, count: int = 96) -> float:
        """Images per second that so many threads decode, resize and stack."""
        torch.get_num_threads()
        medium = medium_of(self.recipe)
        media = pq.read_table(Path(self.recipe.source.dataset_name) / "train.parquet")["image"].slice(0, count)
        chosen = self.buckets.select(list(medium.decoded)).slice(0, count).to_pylist()
        count = len(chosen)

        def decode(at: int) -> None:
            torch.set_num_threads(1)
            medium.decode(media[at]["bytes"].as_py(), chosen[at]).contiguous()

        with ThreadPoolExecutor(threads) as pool:
            started = time.perf_counter()
            list(pool.map(decode, range(count)))
            return count / (time.perf_counter() - started)

    def encode(self, rate: float, count: int, devices: int, settings: ComputeSettings) -> dict[str, Any]:
        """Encode the first images, and say how it went."""
        forget(self.recipe)
        buckets = self.buckets.slice(0, count)

        @contextlib.contextmanager
        def engines(say: Any) -> Iterator[Any]:
            if devices == 1:
                yield ThisProcess(settings.resolve())
            else:
                options = ray_cluster.RayOptions(workers=devices, gpus=0, cpus=0.1)
                with ray_cluster.workers(options, settings, say) as engine:
                    yield engine

        with OnDevice(rate):
            tables = tables_of(buckets), tables_of(self.raw)
            facts = latents.encode(self.recipe, *tables, self.source, engines, lambda line: None).facts
        busy = facts["device_busy"]
        if devices == 1:  # as the device itself saw it
            spans = Device.spans
            busy = sum(end - begin for begin, end, _ in spans) / (spans[-1][1] - spans[0][0])
        return {**facts, "busy": busy}


@contextlib.contextmanager
def dataset(folder: Path, count: int, num_shapes: int) -> Iterator[Dataset]:
    """JPEGs of so many shapes, mixed. Few are drawn, so that the draws take little time; each has bytes of its own."""
    draw = np.random.default_rng(0)
    drawn = [_jpeg(draw, EDGE_PX + STEP_PX * (number % num_shapes)) for number in range(max(num_shapes, 16))]
    images = [
        {"bytes": drawn[at] + number.to_bytes(4, "big"), "path": None}
        for number, at in enumerate(draw.integers(0, len(drawn), count))
    ]
    table = pa.table({"image": images, "caption": [str(number) for number in range(count)]})
    entry = {"resolution": EDGE_PX, "resolution_type": "pixel", "aspect_bucket_alignment": STEP_PX, "crop": False}
    recipe = recipe_of(folder, None, "sd15", table, entry)
    source = source_of(recipe.source, places.sources(recipe.folders.metadata))
    wanted = WantedColumns(recipe.media_column, recipe.required_columns)
    raw = rows.read(source, source.resolve(), wanted, places.columns(recipe.folders.metadata), _say_nothing).table
    made = bucketing.assign(recipe, tables_of(raw), tables_of(raw), source, 2, _say_nothing).table
    made.publish()
    buckets = pq.read_table(made.path)
    assert len(set(buckets["bucket"].to_pylist())) == num_shapes
    yield Dataset(recipe, raw, buckets, source)


def _jpeg(draw: np.random.Generator, width: int) -> bytes:
    """Noise over gradients: decoding takes what it does of a photograph."""
    coarse = Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((width, EDGE_PX))
    noisy = np.asarray(coarse, np.int16) + draw.integers(-12, 13, (EDGE_PX, width, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _say_nothing(line: str) -> None:
    pass


if __name__ == "__main__":
    main()

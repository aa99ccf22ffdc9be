"""Frames per second of a run's encoding of clips, against the bare encoder on the same clips: see `encoding`.

python -m benchmarks.video [--model FOLDER] [--clips 8] [--frames 49] [--resolution 128] [--device cpu]
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.encoding import recipe_of, timed
from hf_assets.engines.compute import Compute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a pipeline's folder; default: a tiny LTX")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    media = pa.array([{"bytes": one, "path": None} for one in clips(given.clips, given.frames)])
    table = pa.table({"video": media, "caption": [f"clip {number}" for number in range(given.clips)]})
    entry = {
        "dataset_type": "video",
        "video": {"num_frames": given.frames, "min_frames": 1},
        "resolution": given.resolution,
        "resolution_type": "pixel",
        "aspect_bucket_alignment": 32,
    }
    with TemporaryDirectory() as folder:
        recipe = recipe_of(Path(folder), given.model, "ltx", table, entry)
        found = timed(recipe, Compute(device=given.device, batch_size=given.batch_size, decode_threads=2))
    print(f"{given.clips} clips of {found.shape}, from {given.frames} frames of 640 x 360, h264")
    found.print_rates("frames", given.clips * given.frames, pc.sum(found.buckets["num_frames"]).as_py())


def clips(count: int, num_frames: int, width: int = 640, height: int = 360) -> Iterator[bytes]:
    """H.264 in MP4, with motion and noise, so that decoding them takes what it does of real ones."""
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

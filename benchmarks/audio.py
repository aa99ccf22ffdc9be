"""Seconds of sound per second of a run's encoding, against the bare encoder on the same clips: see `encoding`.

python -m benchmarks.audio [--model FOLDER] [--clips 32] [--seconds 12] [--device cpu]
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import soundfile

from benchmarks.encoding import recipe_of, timed
from hf_assets.engines.compute import Compute
from hf_assets.kinds.medium import medium_of

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
    clips = pa.array([{"bytes": one, "path": None} for one in _clips(given.clips, given.seconds)])
    table = pa.table({"audio": clips, "tags": [f"clip {number}" for number in range(given.clips)]})
    with TemporaryDirectory() as folder:
        recipe = recipe_of(Path(folder), given.model, "stableaudio", table, {"dataset_type": "audio"})
        found = timed(recipe, Compute(device=given.device, batch_size=given.batch_size, decode_threads=2))
        volume = float(np.sum(medium_of(recipe).volume(found.buckets)))
    print(f"{given.clips} clips of {found.shape}, from {' and '.join(FORMATS)} at {RATE_HZ:,} Hz, stereo")
    sound_s = volume / found.buckets["sample_rate_hz"][0].as_py()
    found.print_rates("seconds of audio", given.clips * given.seconds, sound_s)


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

"""A run of its own process, to be killed: `python -m hf_assets_tests.engines.driver FOLDER`, with RAY_ADDRESS set."""

import sys
from pathlib import Path

from hf_assets.encode.unit import run_units
from hf_assets.engines import ray_cluster
from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.ray_cluster import RayOptions
from hf_assets_tests.encode.lines import Numbers, units

KEYS = [" ".join(f"{10 * unit + n}:{1 + n % 3}" for n in range(10)) for unit in range(6)]
SETTINGS = ComputeSettings(device="cpu", batch_size=2, decode_threads=1, unit_samples=4)


def main(folder: Path) -> None:
    with ray_cluster.workers(RayOptions(workers=2, cpus=1), SETTINGS, print) as engine:
        run_units(engine, Numbers(folder, encode_s=0.5), units(*KEYS), "counting", print)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

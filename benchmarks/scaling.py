"""What Ray's actors and the driver cost: throughput of n simulated devices against n times that of one.

python -m benchmarks.scaling [--devices 1,2,4,8] [--seconds 20] [--rate 80]

The devices wait instead of computing, and samples are small, so what is measured is the engine: units handed out,
reports, shards and index parts written, with all processes on the cores of this machine.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa

from hf_assets.encode.unit import KEY, EncodingWork, units_of
from hf_assets.engines import ray_cluster
from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.unit import Report
from hf_assets_tests.encode.lines import Numbers

BATCH_SIZE = 8


class Measured(NamedTuple):
    """One run.

    Attributes:
        per_second: samples, from when all actors are there to the last one's commit.
        busy: share of the devices' time between their first and last batch.
        start_s: until all actors are there and have imported what they need.
        first_s: from then until the first sample is committed.
        driver_s: CPU seconds of the driver.
    """

    samples: int
    per_second: float
    busy: float
    start_s: float
    first_s: float
    driver_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", default="1,2,4,8")
    parser.add_argument("--rate", type=float, default=80.0, help="samples per second of one device")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    ray = ray_cluster.connect(lambda line: None)
    print("devices  samples/s  against one  busy  all started  first sample  driver's CPU per million samples")
    one = 0.0
    for number in map(int, given.devices.split(",")):
        found = measure(number, given.rate, given.seconds)
        one = one or found.per_second / number
        print(
            f"{number:7} {found.per_second:10,.0f} {found.per_second / (number * one):12.2f} {found.busy:5.2f} "
            f"{found.start_s:10.1f} s {found.first_s:11.1f} s {found.driver_s / found.samples * 1e6:12,.0f} s",
            flush=True,
        )
    ray.shutdown()


def measure(devices: int, rate: float, seconds: float) -> Measured:
    """Encode for so many seconds with new actors."""
    samples = round(devices * rate * seconds)
    settings = ComputeSettings(device="cpu", batch_size=BATCH_SIZE, decode_threads=1)
    with TemporaryDirectory() as folder:
        work = EncodingWork(Numbers(Path(folder), encode_s=BATCH_SIZE / rate))
        jobs = pa.table({KEY: [f"{number}:16" for number in range(samples)]})
        options = ray_cluster.RayOptions(workers=devices, gpus=0, cpus=0.05)
        started = time.perf_counter()
        with ray_cluster.workers(options, settings, lambda line: None) as engine:
            import ray

            ray.get(
                [actor.begin.remote(-1, work, settings) for actor in engine.actors]
            )  # all have imported what they need
            ready = time.perf_counter()
            units = units_of(jobs, num_workers=devices)
            cpu, total = time.process_time(), Report()
            first = None
            for report in engine.run(work, units, lambda line: None):
                total = total.plus(report)
                if first is None and total.computed:
                    first = time.perf_counter() - ready
            ended, cpu = time.perf_counter(), time.process_time() - cpu
        ray_cluster.POOL.clear()
    assert total.computed == samples
    idle = sum(value for name, value in total.amounts.items() if name.startswith("waited_") and "starting" not in name)
    busy = total.amounts["encoding_s"]
    return Measured(samples, samples / (ended - ready), busy / (busy + idle), ready - started, first or 0.0, cpu)


if __name__ == "__main__":
    main()

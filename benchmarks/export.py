"""How fast a training set is exported, against the disk, and in how much memory.

python -m benchmarks.export [--samples 2000] [--formats parquet,webdataset] [--rounds 5] [--folder FOLDER]

Samples are as large as SDXL's at 1024 px: latents of 128 KiB and text of 315 kB, in bfloat16. In each round plain files
of as many bytes as the export's are written and flushed, one after the other, then the export is, then plain files
again: a disk gives twice as much in one minute as in another. Figures are medians of the rounds; the ratio is that of
the rounds' ratios, with the least and the most. Seconds of a core for each GB are the process's own time in user and
kernel mode, which other work on the machine changes less. Memory is what the process had more at its peak than after it
had read the store: half the samples take as much.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa
import torch

from hf_assets import files, fingerprint, folder, schema
from hf_assets.config import loading
from hf_assets.config.export_rules import ExportRules
from hf_assets.export import exporting
from hf_assets.store import layout
from hf_assets.store.table_file import DATA_VERSION
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets.training import TrainingSet

LATENTS, TEXT, POOLED = (4, 128, 128), (77, 2048), (1280,)
SHARD_SAMPLES = 256
PIECE = memoryview(os.urandom(8 << 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--formats", default="parquet,webdataset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default the one for temporary files")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.folder, given.only, given.rounds)))
        return
    print("format       samples     MB  MB/s  of the disk  to the disk (least to most)  core s/GB  plain  memory MB")
    for num_samples in (given.samples // 2, given.samples):
        with TemporaryDirectory(dir=given.folder) as root:
            write(Path(root), num_samples)
            for format in given.formats.split(","):
                command = [sys.executable, "-m", "benchmarks.export", "--folder", root, "--only", format]
                command += ["--rounds", str(given.rounds)]
                found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                print(
                    f"{format:<12} {num_samples:7,} {found['mb']:6,.0f} {found['rate']:5,.0f} {found['disk']:12,.0f}"
                    f" {found['ratio']:12.2f} ({found['least']:.2f} to {found['most']:.2f})"
                    f" {found['core']:10.2f} {found['plain']:6.2f} {found['memory']:10,.0f}",
                    flush=True,
                )


def write(root: Path, num_samples: int) -> None:
    """A training set as runs leave it behind."""
    entry = {"id": "photos", "type": "huggingface", "dataset_name": "me/photos"}
    config = {"model": {"pretrained_model_name_or_path": "me/model"}, "datasets": [entry]}
    (root / "datasets.json").write_text(json.dumps(config))
    recipe = loading.load(root / "datasets.json").recipes[0]
    latents, embeds = TensorStore(recipe.folders.latents), TensorStore(recipe.folders.embeds)
    noise = torch.Generator().manual_seed(0)

    def random(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=noise).bfloat16()

    for start in range(0, num_samples, SHARD_SAMPLES):
        some = range(start, min(start + SHARD_SAMPLES, num_samples))
        latents.write([Sample(f"l{number:031}", {"latents": random(LATENTS)}) for number in some], {})
        texts = [{"prompt_embeds": random(TEXT), "pooled_prompt_embeds": random(POOLED)} for _ in some]
        embeds.write([Sample(f"e{number:031}", text) for number, text in zip(some, texts, strict=True)], {})
    rows = [
        {
            "row": number,
            "file": f"{number}.jpg",
            "media_hash": f"{number:032}",
            "captions": [f"picture {number}"],
            "original_size": [1024, 1024],
            "intermediary_size": [1024, 1024],
            "target_size": [1024, 1024],
            "crop_top_left": [0, 0],
            "bucket": "1024x1024",
            "latent_key": f"l{number:031}",
            "latent_shape": list(LATENTS),
            "embed_keys": [f"e{number:031}"],
        }
        for number in range(num_samples)
    ]
    table = pa.Table.from_pylist(rows, schema=schema.TRAINING_SET)
    metadata = layout.to_metadata(layout.Stores(recipe.folders.latents, recipe.folders.embeds), recipe.folders.metadata)
    metadata[DATA_VERSION] = fingerprint.of_table(table).encode()
    files.write_table(folder.table(recipe.folders.metadata, "training_set"), table.replace_schema_metadata(metadata))


class Speed(NamedTuple):
    """Of bytes that were written."""

    num_bytes: int
    seconds: float
    core_seconds: float

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.num_bytes / self.seconds / 1e6

    @property
    def core(self) -> float:
        """Seconds of a core for each GB."""
        return self.core_seconds / self.num_bytes * 1e9


def measure(root: Path, format: str, num_rounds: int) -> dict[str, float]:
    """Medians of the rounds."""
    recipe = loading.load(root / "datasets.json").recipes[0]
    training = TrainingSet.open(recipe.folders.metadata)
    for index in range(len(training)):
        training[index]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rules = ExportRules.model_validate({"format": format, "to": str(root / format)})

    def export() -> None:
        exporting.export(recipe, rules, lambda _: None)

    export()  # loads what is loaded once
    sizes = [path.stat().st_size for path in Path(rules.to).rglob(".objects/*/*")]
    exports, disks, plain = [], [], root / "plain"
    for _ in range(num_rounds):
        first = timed(lambda: write_plain(plain, sizes), sizes)
        shutil.rmtree(plain)
        shutil.rmtree(rules.to)
        exports.append(timed(export, sizes))
        second = timed(lambda: write_plain(plain, sizes), sizes)
        shutil.rmtree(plain)
        disks.append(Speed(*map(sum, zip(first, second, strict=True))))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    ratios = [one.rate / disk.rate for one, disk in zip(exports, disks, strict=True)]
    return {
        "mb": sum(sizes) / 1e6,
        "rate": median(one.rate for one in exports),
        "disk": median(disk.rate for disk in disks),
        "ratio": median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "core": median(one.core for one in exports),
        "plain": median(disk.core for disk in disks),
        "memory": memory / 1e3,
    }


def timed(write: Callable[[], None], sizes: list[int]) -> Speed:
    """What it takes to write files that then have these sizes."""
    started, worked = time.perf_counter(), time.process_time()
    write()
    return Speed(sum(sizes), time.perf_counter() - started, time.process_time() - worked)


def write_plain(folder: Path, sizes: list[int]) -> None:
    """Files of these sizes, each flushed before the next."""
    folder.mkdir()
    for number, size in enumerate(sizes):
        with (folder / str(number)).open("wb", buffering=0) as file:
            for start in range(0, size, len(PIECE)):
                file.write(PIECE[: size - start])
            os.fsync(file.fileno())


if __name__ == "__main__":
    main()

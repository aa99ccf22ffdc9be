"""How fast a training set is exported, against the disk, and in how much memory.

python -m benchmarks.export [--samples 2000] [--formats parquet,webdataset] [--folder FOLDER]

Samples are as large as SDXL's at 1024 px: latents of 128 KiB and text of 315 kB, in bfloat16. The disk's speed is that
of a plain file of as many bytes as the export wrote, in pieces of 8 MiB and flushed at the end, right before and after;
the store's is that of reading all tensors with their checksums; a core's what a second of the processor's time writes,
which other work on the machine changes less. Memory is what the process had more at its peak than after it had read
the store: half the samples take as much.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--formats", default="parquet,webdataset")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default the one for temporary files")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.folder, given.only)))
        return
    print("format       samples      MB  MB/s  of the disk  of the store  of a core  to the disk  memory MB")
    for num_samples in (given.samples // 2, given.samples):
        with TemporaryDirectory(dir=given.folder) as root:
            write(Path(root), num_samples)
            for format in given.formats.split(","):
                command = [sys.executable, "-m", "benchmarks.export", "--folder", root, "--only", format]
                found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                print(
                    f"{format:<12} {num_samples:7,} {found['mb']:7,.0f} {found['rate']:5,.0f} {found['disk']:12,.0f}"
                    f" {found['store']:13,.0f} {found['core']:10,.0f} {found['rate'] / found['disk']:12.2f}"
                    f" {found['memory']:10,.0f}",
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


def measure(root: Path, format: str) -> dict[str, float]:
    """MB/s of an export, of the disk and of the store, and MB of memory."""
    recipe = loading.load(root / "datasets.json").recipes[0]
    training = TrainingSet.open(recipe.folders.metadata)
    started = time.perf_counter()
    num_bytes = sum(
        sum(tensor.nbytes for tensor in training[index].values() if isinstance(tensor, torch.Tensor))
        for index in range(len(training))
    )
    store = num_bytes / (time.perf_counter() - started)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    disk = [disk_speed(root, num_bytes)]
    rules = ExportRules.model_validate({"format": format, "to": str(root / format)})
    started, worked = time.perf_counter(), time.process_time()
    done = exporting.export(recipe, rules, lambda _: None)
    rate = done.bytes_written / (time.perf_counter() - started)
    core = done.bytes_written / (time.process_time() - worked)
    disk.append(disk_speed(root, num_bytes))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    mean = sum(disk) / len(disk)
    return {
        "mb": done.bytes_written / 1e6,
        "rate": rate / 1e6,
        "disk": mean / 1e6,
        "store": store / 1e6,
        "core": core / 1e6,
        "memory": memory / 1e3,
    }


def disk_speed(root: Path, num_bytes: int) -> float:
    """Bytes per second of one file."""
    piece = os.urandom(8 << 20)
    path = root / "plain"
    started = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(max(1, num_bytes // len(piece))):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    written = path.stat().st_size
    path.unlink()
    return written / seconds


if __name__ == "__main__":
    main()

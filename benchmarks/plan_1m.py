"""How long `hf-assets plan` and refreshes take with a million rows, and how much memory.

    python -m benchmarks.plan_1m [--rows 1000000] [--folder FOLDER] [--refresh]

A dataset of tiny media is made in a local folder, and with it what runs would have left behind: the ledger, the stores'
shards (empty ones) and indexes, for the dataset and for its edits. The first refresh makes the tables. No media is read
and nothing is encoded. Each command runs in a process of its own; its time includes starting Python, its memory is the
process's peak. Beside an edit stands what a plain scan of the columns takes that it is about, as processes of pyarrow.
"""

import argparse
import contextlib
import copy
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import fingerprint
from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing, embeds, encoders, latents, probe
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import filtering
from hf_assets.store import index, runs
from hf_assets.store.tensors import TensorStore

ROWS_PER_FILE = 10_000
ROWS_PER_LEDGER_PART = probe.UNIT_ROWS
SAMPLES_PER_SHARD = 256
# Files that aren't among the dataset's at first: one more, and one in place of another, with other captions.
ADDED, EDITED = "added.parquet", "edited.parquet"
# Of ten thousand rows, in the middle.
EDITED_FILE = 50
OTHER_RESOLUTION = 576
WHERE = "caption NOT LIKE '%7 on a table%'"  # a tenth of the rows is dropped
SCAN = """
import sys, pyarrow.parquet as pq
for file in sys.argv[2:]:
    pq.read_table(file, columns=sys.argv[1].split(","))
"""
# There are no tensors in the shards.
NOT_CHECKED = ("finite", "coverage", "value_range", "decode_back")
SIZES = np.random.default_rng(0).integers(256, 2048, (500, 2), dtype=np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep what is made, and take what is there")
    parser.add_argument("--refresh", action="store_true", help="also time the whole graph")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="hf-assets-plan-"))
    if not (folder / "datasets.json").exists():
        # in a process of its own: what this one holds counts as memory of those that it starts
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(folder, options.rows))
        maker.start()
        maker.join()
        assert maker.exitcode == 0
    plan = [str(Path(sys.executable).parent / "hf-assets"), "plan", "--json"]
    print(f"{options.rows:,} rows")
    if options.refresh:
        os.environ["HF_ASSETS_CONFIG"] = str(folder / "datasets.json")
        home = folder / "dagster_home"
        home.mkdir(exist_ok=True)
        os.environ["DAGSTER_HOME"] = str(home)
        (home / "dagster.yaml").touch()
        command = [str(Path(sys.executable).parent / "dagster"), "asset", "materialize", "--select", "*", "-m"]
        refresh = [*command, "hf_assets.definitions"]
        data = folder / "dataset" / "data"
        measure("Dagster's own share", [*command, "benchmarks.empty_graph"])
        measure("refresh: tables to write", refresh)
        measure("refresh: nothing to do", refresh)
        measure("plan: nothing to do", [*plan, "--config", str(folder / "datasets.json")])
        with swapped(folder / ADDED, data / "train-99999.parquet"):
            measure(f"plan: {ROWS_PER_FILE:,} rows more", [*plan, "--config", str(folder / "datasets.json")])
            measure(f"refresh: {ROWS_PER_FILE:,} rows more", refresh)
            print(f"  {facts()}")
            measure("refresh: nothing to do", refresh)
            print(f"  {facts()}")
        measure("refresh: these rows gone", refresh)
        middle = data / f"train-{min(EDITED_FILE, options.rows // ROWS_PER_FILE - 1):05d}.parquet"
        with swapped(folder / EDITED, middle):
            measure("scan: captions", scan("caption", data))
            measure("refresh: 1 % of captions edited", refresh)
            print(f"  {facts()}")
        measure("refresh: edit undone", refresh)
        for key, value, columns in (("where", WHERE, "caption"), ("resolution", OTHER_RESOLUTION, "")):
            os.environ["HF_ASSETS_CONFIG"] = str(edited(folder, key, value))
            if columns:
                measure(f"scan: {columns}", scan(columns, data))
            measure(f"refresh: another {key}", refresh)
            print(f"  {facts()}")
            os.environ["HF_ASSETS_CONFIG"] = str(folder / "datasets.json")
            measure("refresh: edit undone", refresh)
    measure("plan: nothing to do", [*plan, "--config", str(folder / "datasets.json")])
    measure("plan: another resolution", [*plan, "--config", str(edited(folder, "resolution", 768))])
    measure("plan: another caption column", [*plan, "--config", str(edited(folder, "caption_column", "other"))])
    measure("plan: another dtype", [*plan, "--config", str(edited(folder, "dtype", "bfloat16"))])


@contextlib.contextmanager
def swapped(one: Path, other: Path) -> Iterator[None]:
    """Put a file in the place of another, if there is one, and back."""
    aside = one.with_suffix(".aside")
    for turn in range(2):
        if other.exists():
            other.rename(aside)
        if one.exists():
            one.rename(other)
        if aside.exists():
            aside.rename(one)
        if turn == 0:
            yield


def scan(columns: str, data: Path) -> list[str]:
    """A plain scan of some columns of all files."""
    return [sys.executable, "-c", SCAN, columns, *map(str, sorted(data.iterdir()))]


def measure(name: str, command: list[str]) -> None:
    """Run a command, and print its time and its peak memory."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{' '.join(command)} failed"
    took = time.monotonic() - started
    print(f"{name:32} {took:6.1f} s  {usage.ru_utime + usage.ru_stime:6.1f} s of CPU  {usage.ru_maxrss / 1e6:5.2f} GB")
    if "plan" in command:
        print(f"  {json.dumps(json.loads(output)['million'])}")


def facts() -> dict[str, tuple[int, int]]:
    """(samples computed, bytes read) of each stage of the last refresh."""
    with dg.DagsterInstance.get() as instance:
        stages = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")
        events = {stage: instance.get_latest_materialization_event(dg.AssetKey(["million", stage])) for stage in stages}
    found = {stage: event.asset_materialization for stage, event in events.items() if event}
    return {
        stage: (one.metadata["computed"].value, one.metadata["bytes_read"].value) for stage, one in found.items() if one
    }


def edited(folder: Path, key: str, value: object, config: dict[str, Any] | None = None) -> Path:
    """The config with one key changed."""
    config = config or json.loads((folder / "datasets.json").read_text())
    config = copy.deepcopy(config)
    (config["model"] if key == "dtype" else config["datasets"][0])[key] = value
    file = folder / f"{key}.json"
    file.write_text(json.dumps(config))
    return file


def make(folder: Path, num_rows: int) -> None:
    """The dataset, and what a run of it would have left behind."""
    from hf_assets_tests import tiny_pipelines

    tiny_pipelines.build("sd15", folder / "model")
    for number, start in enumerate(range(0, num_rows + ROWS_PER_FILE, ROWS_PER_FILE)):
        _write_file(folder / "dataset" / "data" / f"train-{number:05d}.parquet", start, start + ROWS_PER_FILE)
    config = {
        "model": {"pretrained_model_name_or_path": "./model", "dtype": "float32"},
        "datasets": [{"id": "million", "type": "huggingface", "dataset_name": "./dataset", "resolution": 512,
                      "resolution_type": "pixel_area", "aspect_bucket_alignment": 64,
                      "checks": {name: {"severity": "off"} for name in NOT_CHECKED}}],
    }  # fmt: skip
    unfinished = folder / "unfinished.json"
    unfinished.write_text(json.dumps(config))
    (recipe,) = loading.load(unfinished).recipes
    stores = (
        Shards(TensorStore(recipe.folders.latents), {"latents": [4, 64, 64]}),
        Shards(TensorStore(recipe.folders.embeds), {"prompt_embeds": [77, 32]}),
    )
    _run(recipe, *stores)
    data = folder / "dataset" / "data"
    max(data.iterdir()).rename(folder / ADDED)  # its rows' facts and tensors stay
    start = min(EDITED_FILE, num_rows // ROWS_PER_FILE - 1) * ROWS_PER_FILE
    _write_file(folder / EDITED, start, start + ROWS_PER_FILE, "an edited photo")
    with swapped(folder / EDITED, data / f"train-{start // ROWS_PER_FILE:05d}.parquet"):
        _run(recipe, *stores)
    (other,) = loading.load(edited(folder, "resolution", OTHER_RESOLUTION, config)).recipes
    _run(other, *stores)
    unfinished.rename(folder / "datasets.json")


def _write_file(path: Path, start: int, stop: int, what: str = "a photo") -> None:
    numbers = [f"{number:08d}" for number in range(start, stop)]
    media = pa.StructArray.from_arrays(
        [pa.array(numbers).cast(pa.binary()), pa.nulls(len(numbers), pa.string())], ["bytes", "path"]
    )
    table = pa.table({
        "image": media,
        "caption": [f"{what} of object {number} on a table, in soft light, from the side" for number in numbers],
        "other": [f"object {number}" for number in numbers],
    })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _run(recipe: Recipe, images: "Shards", texts: "Shards") -> None:
    """Write what a run would have left behind, before its tables: the ledger, and stores; shards stay empty."""
    source = source_of(recipe.source, recipe.folders.metadata / "sources")
    snapshot = source.resolve()
    wanted = WantedColumns(recipe.media_column, recipe.required_columns)
    scan = rows.Scan(source, snapshot, wanted, recipe.folders.metadata / "columns", print)
    book = probe.ledger_of(recipe)
    vae, text = latents.vae_of(recipe), encoders.text_of(recipe, embeds.VERSION)
    for raw in scan.tables():
        captions, _ = captions_stage.extract(filtering.kept(filtering.judge(raw, recipe.filter)), recipe.captions)
        located = bucketing.locations(captions, raw)
        for part in probe.recall(recipe, located, snapshot).unknown:
            for start in range(0, len(part.rows), ROWS_PER_LEDGER_PART):
                chunk = slice(start, start + ROWS_PER_LEDGER_PART)
                book.add(part.file.hash, _looks(book.looks, part.rows[chunk], part.file_rows[chunk]))
        media = probe.recall(recipe, located, snapshot).media
        buckets, _ = bucketing.fit(recipe, media, filtering.sizeless(raw, recipe.filter))
        images.add(latents.latent_keys(recipe, buckets, vae))
        texts.add(embeds.with_keys(captions, text)["embed_key"])


def _looks(looks: pa.Schema, row_numbers: np.ndarray, file_rows: np.ndarray) -> pa.Table:
    columns = {
        "file_row": pa.array(file_rows),
        "media_hash": [fingerprint.of_bytes(f"{row:08d}".encode()) for row in row_numbers.tolist()],
        "width": pa.array(SIZES[row_numbers % len(SIZES), 0]),
        "height": pa.array(SIZES[row_numbers % len(SIZES), 1]),
        "seen_at": pa.array(np.full(len(file_rows), time.time_ns() // 1000), pa.timestamp("us", tz="UTC")),
    }
    return pa.table([columns.get(name, pa.nulls(len(file_rows))) for name in looks.names], looks.names).cast(looks)


class Shards:
    """One part of the index for each shard; a shard holds nothing but its number."""

    def __init__(self, store: TensorStore, shapes: dict[str, list[int]]) -> None:
        self.store, self.shapes, self.number = store, shapes, 0
        self.known: set[bytes] = set()

    def add(self, wanted: pa.ChunkedArray) -> None:
        """
        Args:
            wanted: different keys, of which some may have been added before.
        """
        packed = fingerprint.pack(wanted).to_pylist()
        wanted = wanted.filter(pa.array([key not in self.known for key in packed]))
        self.known.update(packed)
        for start in range(0, len(wanted), SAMPLES_PER_SHARD):
            keys = wanted.slice(start, SAMPLES_PER_SHARD)
            _, facts = self.store.place(f"{self.store.folder.name} {self.number}".encode())
            self.number += 1
            for name, shape in self.shapes.items():
                known = {"tensor": name, "shape": shape, "dtype": "float32", "status": index.OK, "checksum": "0" * 32,
                         "num_bytes": 4 * int(np.prod(shape)), **facts}  # fmt: skip
                columns = [
                    keys if field.name == "key" else pa.array([known.get(field.name)] * len(keys), field.type)
                    for field in index.INDEX
                ]
                index.commit(self.store.index_blobs, pa.table(columns, schema=index.INDEX))
                if self.number % runs.MERGED_PARTS == 0:
                    runs.merge(self.store.index_blobs)


if __name__ == "__main__":
    main()

"""How long it takes to open a large training set, and how much memory it and its workers hold.

    python -m benchmarks.opening [--rows 10000000] [--folder FOLDER]

A training set is written as runs leave it behind: its table in pieces, the indexes of both stores, the generation, and
shards that are holes with a header: all tensors are zeros, and take no room on the disk. Each measurement is a process
of its own. Private memory is what a process shares with no other, of which anonymous is what lies in no file.
"""

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, folder, schema
from hf_assets.store import generations, index, layout, runs
from hf_assets.store.draft import DraftTable
from hf_assets.store.tensors import TensorStore, shard_name

SAMPLES_PER_SHARD = 1024
SHAPES = ([4, 32, 32], [4, 32, 40], [4, 24, 48], [4, 40, 32])
TEXT = {"pooled_prompt_embeds": [64], "prompt_embeds": [77, 64]}
BATCH_SIZE = 32
# Batches that each worker reads before its memory is looked at.
BATCHES_PER_WORKER = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="keep what is made, and take what is there")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--measure", choices=["start", "open", "batches", "workers"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        MEASURES[options.measure](options.folder, options.workers)
        return
    place = options.folder or Path(tempfile.mkdtemp(prefix="hf-assets-opening-"))
    if not (place / "made").exists():
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(place, options.rows))
        maker.start()
        maker.join()
        assert maker.exitcode == 0
    print(f"{options.rows:,} rows")
    metadata = _metadata(place)
    _measured("imports, no training set", "start", metadata)
    _measured("opened for the first time", "open", metadata)
    for _ in range(2):
        _measured("opened again", "open", metadata)
    _measured("opened again, to the first batch of a mixture", "batches", metadata)
    for count in options.workers:
        _measured(f"{count} workers that read batches", "workers", metadata, count)


def _measured(name: str, what: str, metadata: Path, workers: int = 0) -> None:
    """Measure in a process of its own, and print it."""
    command = [sys.executable, "-m", "benchmarks.opening", "--measure", what, "--folder", str(metadata)]
    started = time.monotonic()
    output = subprocess.run([*command, "--workers", str(workers)], stdout=subprocess.PIPE, check=True, text=True).stdout
    print(f"{name:46} {time.monotonic() - started:6.1f} s in all  {output.strip()}", flush=True)


def _start(metadata: Path, workers: list[int]) -> None:
    from hf_assets.training import TrainingSet

    assert TrainingSet
    print(f"peak {_peak_mb():,.0f} MB")


def _open(metadata: Path, workers: list[int]) -> None:
    from hf_assets.training import TrainingSet

    before, cpu = time.monotonic(), time.process_time()
    opened = TrainingSet.open(metadata)
    took, cpu = time.monotonic() - before, time.process_time() - cpu
    print(f"open {took:.2f} s, {cpu:.2f} s of CPU; peak {_peak_mb():,.0f} MB; {_memory()}; {len(opened):,} samples")


def _batches(metadata: Path, workers: list[int]) -> None:
    from hf_assets.training import Mixture, TrainingSet

    opened = TrainingSet.open(metadata)
    before, cpu = time.monotonic(), time.process_time()
    batches = Mixture({"a": opened}).batches(batch_size=BATCH_SIZE)
    batches.state_dict()
    next(iter(batches))
    took, cpu = time.monotonic() - before, time.process_time() - cpu
    print(f"then {took:.2f} s, {cpu:.2f} s of CPU; peak {_peak_mb():,.0f} MB; {_memory()}")


def _workers(metadata: Path, workers: list[int]) -> None:
    from torch.utils.data import DataLoader

    from hf_assets.training import Mixture, TrainingSet, collate

    (count,) = workers
    for method in ("fork", "spawn"):
        mixture = Mixture({"a": TrainingSet.open(metadata)})
        loader = DataLoader(
            mixture, batch_sampler=mixture.batches(batch_size=BATCH_SIZE), collate_fn=collate, num_workers=count,
            multiprocessing_context=method,
        )  # fmt: skip
        batches = iter(loader)
        started = time.monotonic()
        for _ in range(BATCHES_PER_WORKER * count):
            next(batches)
        rate = BATCHES_PER_WORKER * count * BATCH_SIZE / (time.monotonic() - started)
        private = [_memory(worker.pid) for worker in batches._workers]  # type: ignore[attr-defined]
        print(f"\n  {method}: {private[0]}, {len(private)} workers; main {_memory()}; {rate:,.0f} samples/s", end="")
        del batches
    print()


def _memory(pid: int | str = "self") -> str:
    """Of a process: what it shares with no other, and its share of all."""
    sizes: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size, _ = line.split()
        sizes[name] = int(size) / 1024
    private = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return f"private {private:,.0f} MB ({sizes['Anonymous:']:,.0f} anonymous), share {sizes['Pss:']:,.0f} MB"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MEASURES = {"start": _start, "open": _open, "batches": _batches, "workers": _workers}


def _metadata(place: Path) -> Path:
    return place / "cache" / "huggingface_metadata" / "many"


def make(place: Path, num_rows: int) -> None:
    """The training set, and what lies beside it."""
    metadata, cache = _metadata(place), place / "cache"
    stores = layout.Stores(cache / "vae" / "many", cache / "text")
    _write_store(TensorStore(stores.latents), _hashes(num_rows, "latent"), {"latents": None})
    empty = fingerprint.of_bytes(b"")
    _write_store(TensorStore(stores.embeds), pa.array([empty]), TEXT)
    _write_store(TensorStore(stores.embeds), _hashes(num_rows, "text"), TEXT)
    for store in (stores.latents, stores.embeds):
        generations.register(store, metadata)
    table = DraftTable(folder.table(metadata, "training_set"), by_row=True)
    for start in range(0, num_rows, fingerprint.HASHED_ROWS):
        table.add(_rows(start, min(start + fingerprint.HASHED_ROWS, num_rows), empty))
    table.describe(layout.to_metadata(stores, metadata))
    version, pieces = table.version, table.pieces

    def keys_of(known: object) -> Iterator[tuple[int, pa.Array]]:
        for piece in pieces:
            start = piece.number * fingerprint.HASHED_ROWS
            for kind in ("latent", "text"):
                yield piece.number, _hashes(start + piece.num_rows, kind, start)

    generations.record(metadata, keys_of, version, ["0" * 32], pieces)
    table.publish()
    (place / "made").touch()


def _rows(start: int, stop: int, empty: str) -> pa.Table:
    numbers = np.arange(start, stop)
    texts = pa.array(numbers).cast(pa.string())
    captions = pc.binary_join_element_wise(
        "a photo of object", texts, "on a table, in soft light, from the side", " "
    ).cast(schema.CAPTION)
    shapes = np.array(SHAPES, np.int32)[numbers % len(SHAPES)]
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(np.int32([640, 480]), len(numbers))), type=schema.SIZE)
    ones = np.arange(len(numbers) + 1, dtype=np.int32)
    columns = {
        "row": pa.array(numbers),
        "file": pc.binary_join_element_wise(texts, "jpg", "."),
        "media_hash": _hashes(stop, "media", start),
        "captions": pa.ListArray.from_arrays(ones, captions),
        "bucket": pa.array(["512x384"] * len(numbers)),
        "latent_key": _hashes(stop, "latent", start),
        "latent_shape": pa.ListArray.from_arrays(ones * 3, pa.array(shapes.reshape(-1))),
        "embed_keys": pa.ListArray.from_arrays(ones, _hashes(stop, "text", start)),
        "empty_caption_key": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(numbers), np.int32)), [empty]),
        "crop_top_left": sizes,
    }
    arrays = [
        columns.get(field.name, sizes if field.type == schema.SIZE else pa.nulls(len(numbers), field.type))
        for field in schema.TRAINING_SET
    ]
    return pa.table(arrays, schema=schema.TRAINING_SET)


def _hashes(stop: int, kind: str, start: int = 0) -> pa.Array:
    """Hashes of numbers: even multiples of an odd number fill 128 bits alike, and are made in no time."""
    numbers = np.arange(start, stop, dtype=np.uint64)
    factor = int(fingerprint.of_bytes(kind.encode()), 16) | 1
    halves = np.empty((len(numbers), 2), ">u8")
    halves[:, 0] = _mixed(numbers * np.uint64(factor & (2**64 - 1)))
    halves[:, 1] = _mixed(numbers * np.uint64(factor >> 64 | 1) + np.uint64(1))
    packed = pa.Array.from_buffers(fingerprint.PACKED, len(numbers), [None, pa.py_buffer(halves.tobytes())])
    return fingerprint.unpack(pa.chunked_array([packed])).combine_chunks()


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits (the end of splitmix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _write_store(store: TensorStore, keys: pa.Array, shapes: dict[str, list[int] | None]) -> None:
    """Shards of zeros with these keys' tensors; None: a latent, whose shape goes by its number."""
    store.index_folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(keys), SAMPLES_PER_SHARD), 1):
        own = keys.slice(start, SAMPLES_PER_SHARD)
        index.commit(store.index_blobs, _write_shard(store, own, start, shapes))
        if number % runs.MERGED_PARTS == 0:
            runs.merge(store.index_blobs)


ZERO_CHECKSUMS: dict[int, str] = {}


def _write_shard(store: TensorStore, keys: pa.Array, first: int, shapes: dict[str, list[int] | None]) -> pa.Table:
    names, own, sizes = [], [], []
    for number, key in enumerate(keys.to_pylist(), first):
        for name, known in shapes.items():
            shape = known or SHAPES[number % len(SHAPES)]
            names.append((key, name))
            own.append(shape)
            sizes.append(2 * int(np.prod(shape)))
    ends = np.cumsum(sizes).tolist()
    entries = ",".join(
        f'"{key}.{name}":{{"dtype":"BF16","shape":{shape},"data_offsets":[{end - size},{end}]}}'
        for (key, name), shape, size, end in zip(names, own, sizes, ends, strict=True)
    )
    text = f'{{"__metadata__":{{}},{entries}}}'.encode()
    text += b" " * (-len(text) % 8)
    shard, num_bytes = fingerprint.of_bytes(text), 8 + len(text) + ends[-1]
    path = store.folder / shard_name(shard)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(num_bytes)
    for size in set(sizes) - set(ZERO_CHECKSUMS):
        ZERO_CHECKSUMS[size] = fingerprint.checksum(memoryview(bytes(size)))
    known = {
        "shard": shard, "dtype": "bfloat16", "status": index.OK, "shard_bytes": num_bytes,
        "shard_mtime_ns": path.stat().st_mtime_ns, "written_at": datetime.now(UTC),
    }  # fmt: skip
    columns = {
        "key": [key for key, _ in names],
        "tensor": [name for _, name in names],
        "shape": own,
        "checksum": [ZERO_CHECKSUMS[size] for size in sizes],
        "num_bytes": sizes,
        "offset": [8 + len(text) + end - size for end, size in zip(ends, sizes, strict=True)],
    }
    return pa.table(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.array([known.get(field.name)] * len(names), field.type)
            for field in index.INDEX
        ],
        schema=index.INDEX,
    )


if __name__ == "__main__":
    main()

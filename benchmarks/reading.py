"""Samples per second that a trainer reads, in random order, batched: this project's reader and others.

python -m benchmarks.reading [--samples 2000] [--workers 0,2,4] [--only "…,…"]

How `DataLoader` scales is measured as far as there are cores: with 1, 2 and 4 workers that each have one, over many
epochs, by the clock, with what a sample costs of processors: where that stays the same, only cores are missing.

Each sample is a latent of 128 KiB of float32 with a short text; all readers give the same batches of 32 of one shape,
stacked. Rates without workers are by processor time of one thread, of files that the machine has in memory: what the
reading itself costs. Rates with workers are by the clock. `webdataset`, MosaicML's `streaming` and `litdata` are
measured where they are installed; the first can't read at random, and shuffles a buffer of 256.
"""

import argparse
import contextlib
import gc
import json
import os
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from torch.utils.data import DataLoader

from hf_assets.blobs import ObjectPath
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets.training import Mixture, TrainingSet, collate
from hf_assets.training.collating import Samples
from hf_assets_tests import s3_server
from hf_assets_tests.training import sets

SHAPES = [(4, 64, 128), (8, 64, 64), (16, 32, 64), (16, 64, 32)]
BATCH_SIZE = 32
SERVERS = contextlib.ExitStack()
ROUNDS = 3
SCALING_WORKERS, SCALING_EPOCHS = (1, 2, 4), 20

Batches = Iterator[torch.Tensor]


class Reader(NamedTuple):
    """A way to keep samples and to read them.

    Attributes:
        write: into a folder, this many samples.
        open: a folder; gives a function that gives the latents of one epoch's batches, read by this many workers.
    """

    write: Callable[[Path, int], None]
    open: Callable[[Path, int], Callable[[int], Batches]]


def shape_of(number: int) -> tuple[int, ...]:
    return SHAPES[number % len(SHAPES)]


def latents_of(number: int) -> torch.Tensor:
    return sets.latents_of(number, shape_of(number))


def _write_ours(folder: Path, num_samples: int) -> None:
    captions = [[f"caption {number % 100}"] for number in range(num_samples)]
    sets.write(folder / "cache", "photos", captions, [shape_of(number) for number in range(num_samples)])


def _open_ours(folder: Path, num_samples: int) -> Callable[[int], Batches]:
    mixture = Mixture({"photos": TrainingSet.open(folder / "cache/huggingface_metadata/photos")})
    batches = mixture.batches(batch_size=BATCH_SIZE)
    loaders: dict[int, DataLoader[Any]] = {}

    def epoch(num_workers: int) -> Batches:
        if num_workers not in loaders:
            loaders[num_workers] = DataLoader(
                mixture,
                batch_sampler=batches,
                collate_fn=collate,
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
            )
        return (batch["latents"] for batch in loaders[num_workers])

    return epoch


class Bucket(torch.utils.data.Dataset[dict[str, Any]]):
    """Samples in an object store, of which this machine keeps what it read."""

    def __init__(self, folder: Path, num_samples: int) -> None:
        os.environ["HF_ASSETS_CACHE"] = str(folder / "cache")
        keys = pa.chunked_array([[f"{number}" for number in range(num_samples)]])
        self.reader = TensorReader(ObjectPath(f"s3://bucket/{folder.name}"), keys)

    def __getitems__(self, numbers: list[int]) -> Samples:
        return Samples(*self.reader.read(numbers))


def _write_bucket(folder: Path, num_samples: int) -> None:
    server = SERVERS.enter_context(s3_server.running())
    server.make_bucket("bucket")
    os.environ.update(s3_server.environment(server))
    store = TensorStore(ObjectPath(f"s3://bucket/{folder.name}"))
    for first in range(len(SHAPES)):
        numbers = range(first, num_samples, len(SHAPES))
        store.write([Sample(f"{number}", {"latents": latents_of(number)}) for number in numbers], {})


def _open_bucket(folder: Path, num_samples: int) -> Callable[[int], Batches]:
    epoch = _indexed(Bucket(folder, num_samples), num_samples, collate)
    return lambda num_workers: (batch["latents"] for batch in epoch(num_workers))


class Files(torch.utils.data.Dataset[torch.Tensor]):
    """A file for each sample."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix

    def __getitem__(self, number: int) -> torch.Tensor:
        path = self.folder / f"{number}{self.suffix}"
        if self.suffix == ".pt":
            loaded: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
            return loaded["latents"]
        from safetensors.torch import load_file

        return load_file(path)["latents"]


def _of_files(suffix: str) -> Reader:
    def write(folder: Path, num_samples: int) -> None:
        from safetensors.torch import save_file

        for number in range(num_samples):
            tensors = {"latents": latents_of(number)}
            path = folder / f"{number}{suffix}"
            torch.save(tensors, path) if suffix == ".pt" else save_file(tensors, path)

    return Reader(write, lambda folder, num_samples: _indexed(Files(folder, suffix), num_samples))


def _indexed(dataset: Any, num_samples: int, collate_fn: Any = None) -> Callable[[int], Any]:
    """Batches of one shape, in random order, of what can be read at random."""

    def epoch(num_workers: int) -> Batches:
        batches = []
        for first in range(len(SHAPES)):
            order = list(range(first, num_samples, len(SHAPES)))
            random.shuffle(order)
            batches += [order[at : at + BATCH_SIZE] for at in range(0, len(order), BATCH_SIZE)]
        random.shuffle(batches)
        return iter(DataLoader(dataset, batch_sampler=batches, num_workers=num_workers, collate_fn=collate_fn))

    return epoch


def _write_tars(folder: Path, num_samples: int) -> None:
    import webdataset

    with webdataset.ShardWriter(f"{folder}/%04d.tar", maxcount=256, verbose=0) as writer:
        for number in range(num_samples):
            writer.write({"__key__": f"{number:08}", "npy": latents_of(number).numpy()})


def _open_tars(folder: Path, num_samples: int) -> Callable[[int], Batches]:
    import webdataset

    shards = sorted(str(path) for path in folder.glob("*.tar"))

    def epoch(num_workers: int) -> Batches:
        samples = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(256).decode().to_tuple("npy")
        loader = DataLoader(samples, batch_size=None, num_workers=num_workers)
        return _grouped(torch.as_tensor(one) for (one,) in loader)

    return epoch


def _grouped(tensors: Iterator[torch.Tensor]) -> Batches:
    """Batches of one shape of tensors that come in any order."""
    waiting: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for tensor in tensors:
        group = waiting.setdefault(tuple(tensor.shape), [])
        group.append(tensor)
        if len(group) == BATCH_SIZE:
            yield torch.stack(waiting.pop(tuple(tensor.shape)))
    yield from (torch.stack(group) for group in waiting.values())


def _write_mds(folder: Path, num_samples: int) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(folder), columns={"latents": "ndarray"}, size_limit=1 << 25) as writer:
        for number in range(num_samples):
            writer.write({"latents": latents_of(number).numpy()})


class _Latents(torch.utils.data.Dataset[torch.Tensor]):
    """The latents of what another library gives by number."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.as_tensor(self.dataset[number]["latents"])


def _open_mds(folder: Path, num_samples: int) -> Callable[[int], Batches]:
    from streaming import StreamingDataset

    return _indexed(_Latents(StreamingDataset(local=str(folder), batch_size=BATCH_SIZE)), num_samples)


def _litdata_sample(number: int) -> dict[str, Any]:
    return {"latents": latents_of(number)}


def _write_litdata(folder: Path, num_samples: int) -> None:
    import litdata

    litdata.optimize(
        _litdata_sample, list(range(num_samples)), str(folder / "made"), chunk_bytes=1 << 25, num_workers=1
    )


def _open_litdata(folder: Path, num_samples: int) -> Callable[[int], Batches]:
    import litdata

    return _indexed(_Latents(litdata.StreamingDataset(str(folder / "made"))), num_samples)


READERS = {
    "this project": Reader(_write_ours, _open_ours),
    "this project from a bucket": Reader(_write_bucket, _open_bucket),
    "a .pt file per sample": _of_files(".pt"),
    "a .safetensors file per sample": _of_files(".safetensors"),
    "webdataset": Reader(_write_tars, _open_tars),
    "streaming (MosaicML)": Reader(_write_mds, _open_mds),
    "litdata": Reader(_write_litdata, _open_litdata),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--workers", default="0,2,4")
    parser.add_argument("--only", default=",".join(READERS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{given.samples:,} samples of 128 KiB, batches of {BATCH_SIZE}, {os.cpu_count()} cores")
    workers = [int(number) for number in given.workers.split(",")]
    print(_objects(), flush=True)
    print(_scaling(given.samples), flush=True)
    with SERVERS:
        for name in given.only.split(","):
            try:
                print(f"{name:<32} {_measured(READERS[name], given.samples, workers)}", flush=True)
            except ImportError as error:
                print(f"{name:<32} not installed: {error}", flush=True)


def _objects() -> str:
    """Python objects that reading holds for each further sample, against those of the shards' headers as JSON, which
    `safetensors` and the reader of before keep for each file that is open.
    """
    held, headers = [], []
    for num_samples in (500, 1500):
        with TemporaryDirectory() as made:
            _write_ours(Path(made), num_samples)
            for _ in range(2):  # what is made once is there after the first
                epoch = None
                gc.collect()
                before = sys.getallocatedblocks()
                epoch = _open_ours(Path(made), num_samples)
                deque(epoch(0), 0)
                gc.collect()
                last = sys.getallocatedblocks() - before
            held.append(last)
            before = sys.getallocatedblocks()
            kept = [_header(path) for path in Path(made).rglob("*.safetensors")]
            headers.append(sys.getallocatedblocks() - before)
            del kept, epoch
    ours, theirs = ((later - first) / 1000 for first, later in (held, headers))
    return f"Python objects for each further sample: {ours:.3f}, of headers as JSON {theirs:.1f}"


def _header(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _scaling(num_samples: int) -> str:
    """Samples per second of this project with more and more workers, against one."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said, first = [], 0.0
    with TemporaryDirectory() as made:
        _write_ours(Path(made), num_samples)
        mixture = Mixture({"photos": TrainingSet.open(Path(made) / "cache/huggingface_metadata/photos")})
        batches = list(mixture.batches(batch_size=BATCH_SIZE)) * SCALING_EPOCHS
        for num_workers in SCALING_WORKERS:
            if num_workers > num_cores:
                said.append(f"{num_workers} workers: not measured, with {num_cores} cores")
                continue
            start, used = time.perf_counter(), _processors_s()
            loader = DataLoader(mixture, batch_sampler=batches, collate_fn=collate, num_workers=num_workers)
            count = sum(len(batch["latents"]) for batch in loader)
            del loader
            rate, used_ms = count / (time.perf_counter() - start), 1e3 * (_processors_s() - used) / count
            first = first or rate
            said.append(f"{num_workers} workers {rate:,.0f}/s: {rate / first:.2f}, {used_ms:.3f} ms of processors each")
    return f"DataLoader: {'; '.join(said)}"


def _processors_s() -> float:
    """Of this process and of those that it waited for."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


def _measured(reader: Reader, num_samples: int, workers: list[int]) -> str:
    with TemporaryDirectory() as made:
        folder = Path(made)
        reader.write(folder, num_samples)
        gc.collect()
        before = sys.getallocatedblocks()
        epoch = reader.open(folder, num_samples)
        results = []
        for num_workers in workers:
            clock = time.perf_counter if num_workers else time.process_time
            seconds = []
            for _ in range(ROUNDS):
                start, count = clock(), 0
                for batch in epoch(num_workers):
                    count += len(batch)
                seconds.append(clock() - start)
                if count != num_samples:
                    raise RuntimeError(f"{count:,} of {num_samples:,} samples were read")
            results.append(f"{num_samples / seconds[0]:,.0f}, then {num_samples / min(seconds[1:]):,.0f}")
            if not num_workers:
                gc.collect()
                held = (sys.getallocatedblocks() - before) / num_samples
        labels = [f"{number} workers" if number else "by CPU" for number in workers]
        text = "; ".join(f"{label} {result}/s" for label, result in zip(labels, results, strict=True))
        return f"{text}; {held:.1f} Python objects held per sample" if 0 in workers else text


if __name__ == "__main__":
    main()

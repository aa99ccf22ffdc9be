"""Small samples and stores to break."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import torch

from hf_assets.store.index import commit, part_names, read_part, stored_keys
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import Sample, TensorStore

HEADER = {"stage": "vae_latents", "encoder": "e", "dtype": "float32", "normalisation": "n", "code_version": "1"}
# what a ledger of images keeps of a header
FACTS = pa.schema([("width", pa.int32()), ("height", pa.int32())])


def sample(key: str, cells: int = 16) -> Sample:
    """A sample whose numbers follow from its key."""
    generator = torch.Generator().manual_seed(sum(key.encode()) * 1000 + len(key))
    return Sample(key, {"latents": torch.randn(4, cells, generator=generator)})


def filled(folder: Path, *shards: str) -> TensorStore:
    """A store with a shard per argument, each with the samples that it lists: `filled(folder, "abc", "d")`."""
    store = TensorStore(folder)
    for keys in shards:
        store.write([sample(key) for key in keys], HEADER)
    return store


def without_offsets(store: TensorStore) -> None:
    """Leave an index as earlier releases wrote it: it doesn't say where in a shard a tensor lies."""
    for name in part_names(store.index_blobs):
        rows = read_part(store.index_blobs, name)
        assert rows is not None
        store.index_blobs.delete(name)
        commit(store.index_blobs, rows.drop_columns(["offset"]))


def keys_of(store: TensorStore) -> str:
    """The keys that can be read, in order."""
    return "".join(sorted(stored_keys(store.index()).to_pylist()))


def column(keys: Iterable[str]) -> pa.ChunkedArray:
    return pa.chunked_array([list(keys)], pa.string())


def read(store: TensorStore, keys: str) -> bool:
    """Whether all these keys can be read and are what was written."""
    reader = TensorReader(store.folder, column(keys))
    return all(torch.equal(reader[i]["latents"], sample(key).tensors["latents"]) for i, key in enumerate(keys))


def shard_of(store: TensorStore, key: str) -> Path:
    index = store.index().to_pylist()
    return store.shard_path(next(row["shard"] for row in index if row["key"] == key))


def part_of(store: TensorStore, key: str) -> Path:
    """The part of the index that names a key."""
    import pyarrow.parquet as pq

    paths = store.index_folder.glob("[!.]*.parquet")
    return next(path for path in paths if key in pq.read_table(path)["key"].to_pylist())

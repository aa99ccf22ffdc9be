"""Read everything that is stored, and set aside what isn't as it was written."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files
from hf_assets.store import index
from hf_assets.store.tensors import TensorStore


class VerifyReport(NamedTuple):
    """What one folder holds.

    Attributes:
        num_files: that are whole; `noun`: what they are.
        num_samples: keys that can be read; 0 for a folder of tables.
        damaged: each damaged file, as a path within the folder, with what is wrong.
    """

    folder: Path
    noun: str
    num_files: int
    num_samples: int
    num_bytes: int
    damaged: list[str]


def verify_store(store: TensorStore, add_bytes: Callable[[int], None]) -> VerifyReport:
    """Read every shard and every part of the index. A damaged one is renamed, so that its samples count as missing.

    Args:
        add_bytes: gets the bytes that were read since its last call.
    """
    damaged = []
    parts = index.read_parts(store.index_folder)
    for name, part in parts.items():
        if part is None:
            files.set_aside(store.index_folder / name)
            damaged.append(f"{store.index_folder.name}/{name}: altered")
    present = store.present()
    whole = set()
    for shard, status in sorted(present.items()):
        if store.is_whole(shard):
            whole.add(shard)
        elif store.shard_path(shard).exists():  # else garbage collection removed it meanwhile
            files.set_aside(store.shard_path(shard))
            damaged.append(f"{store.shard_path(shard).name}: altered")
        add_bytes(status.st_size)
    stored = index.stored_rows(index.join_parts(parts))
    is_whole = pc.is_in(stored["shard"], value_set=pa.array(sorted(whole), pa.string()))
    keys = pc.unique(stored.filter(is_whole)["key"])
    lost = stored.filter(pc.invert(pc.is_in(stored["key"], value_set=keys)))
    missing = set(pc.unique(lost["shard"]).to_pylist()) - present.keys()
    damaged += [f"{store.shard_path(shard).name}: missing" for shard in sorted(missing)]
    num_bytes = sum(present[shard].st_size for shard in whole)
    return VerifyReport(store.folder, "shard", len(whole), len(keys), num_bytes, damaged)


def verify_tables(folder: Path) -> VerifyReport:
    """Read a dataset's tables. Damaged ones that no asset writes (columns, media facts, generations) are renamed."""
    damaged = []
    num_files = num_bytes = 0
    for path in sorted(folder.glob("**/*.parquet")):
        if path.name.startswith("."):
            continue
        data = path.read_bytes()
        if not files.is_whole_table(memoryview(data)):
            damaged.append(f"{path.relative_to(folder)}: altered")
            if path.parent != folder:
                files.set_aside(path)
        else:
            num_files += 1
            num_bytes += len(data)
    return VerifyReport(folder, "table", num_files, 0, num_bytes, damaged)


def num_bytes_of(store: TensorStore) -> int:
    """Bytes that `verify_store` is going to read."""
    return sum(status.st_size for status in store.present().values())

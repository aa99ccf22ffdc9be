"""Read everything that is stored, and set aside what isn't as it was written."""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import blobs, files, fingerprint
from hf_assets.blobs import Blobs, Location
from hf_assets.folder import CONVERTED, OPENED
from hf_assets.store import index, memo, runs
from hf_assets.store.tensors import TensorStore, shard_name


class VerifyReport(NamedTuple):
    """What one folder holds.

    Attributes:
        num_files: that are whole; `noun`: what they are.
        num_samples: keys that can be read; 0 for a folder of tables.
        damaged: each damaged file, as a path within the folder, with what is wrong.
    """

    folder: Location
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
    parts = index.read_parts(store.index_blobs)
    for name, part in parts.items():
        if part is None:
            store.index_blobs.set_aside(name)
            damaged.append(f"index/{name}: altered")
    damaged += [f"index/{runs.FOLDER}/{name}: altered" for name in runs.drop_damaged(store.index_blobs)]
    present = store.present()
    whole = set()
    for shard, (num_bytes, _) in sorted(present.items()):
        if store.is_whole(shard):
            whole.add(shard)
        elif store.blobs.stat(shard_name(shard)) is not None:  # else garbage collection removed it meanwhile
            store.blobs.set_aside(shard_name(shard))
            damaged.append(f"{shard_name(shard)}: altered")
        add_bytes(num_bytes)
    stored = index.stored_rows(index.join_parts(parts))
    is_whole = pc.is_in(stored["shard"], value_set=pa.array(sorted(whole), pa.string()))
    keys = pc.unique(stored.filter(is_whole)["key"])
    lost = stored.filter(pc.invert(pc.is_in(stored["key"], value_set=keys)))
    missing = set(pc.unique(lost["shard"]).to_pylist()) - present.keys()
    damaged += [f"{shard_name(shard)}: missing" for shard in sorted(missing)]
    return VerifyReport(
        store.folder, "shard", len(whole), len(keys), sum(present[shard][0] for shard in whole), damaged
    )


def verify_tables(folder: Location) -> VerifyReport:
    """Read a dataset's tables. Damaged ones that no asset writes (columns, media facts, generations) are renamed."""
    damaged = []
    num_files = num_bytes = 0
    place = blobs.at(folder)
    for blob in place.list(recursive=True):
        if not blob.name.endswith(".parquet"):
            continue
        data = place.get(blob.name)
        is_whole = _is_whole_conversion if blob.name.startswith(f"{CONVERTED}/") else files.is_whole_table
        if not is_whole(memoryview(data)):
            damaged.append(f"{blob.name}: altered")
            if "/" in blob.name:
                place.set_aside(blob.name)
            else:
                memo.forget_file(folder / blob.name)
        else:
            num_files += 1
            num_bytes += len(data)
    damaged += _damaged_opened(place, folder)
    return VerifyReport(folder, "table", num_files, 0, num_bytes, damaged)


def _is_whole_conversion(data: memoryview) -> bool:
    """Whether these are the bytes of a file that was turned into Parquet: its pages have checksums of their own."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        for number in range(file.num_row_groups):
            file.read_row_group(number)
    except (OSError, pa.ArrowException):
        return False
    return True


def _damaged_opened(place: Blobs, root: Location) -> list[str]:
    """The files of an opened training set (`training.opened`) that aren't as they were written; they are forgotten."""
    known = memo.load(root, OPENED)
    if known is None:
        return []
    damaged = []
    for kind, expected in known.facts["hashes"].items():
        name = f"{OPENED}/{known.facts['folder']}/{kind}"
        if place.stat(name) is not None and fingerprint.checksum(place.get(name)) != expected:
            damaged.append(f"{name}: altered")
    if damaged:
        memo.forget(root, OPENED)
    return damaged


def num_bytes_of(store: TensorStore) -> int:
    """Bytes that `verify_store` is going to read."""
    return sum(num_bytes for num_bytes, _ in store.present().values())

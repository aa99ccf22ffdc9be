"""Garbage of one store: tensors that nothing names any more, and files that are no data.

The store is valid at every moment: what stays is committed anew before its old place goes. A crash leaves a key
stored twice, a shard that no part of the index names, or a part that names a shard that is gone; the first two are
garbage next time, the last counts as missing, as it should.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint
from hf_assets.store import index
from hf_assets.store.index import INDEX
from hf_assets.store.shards import select
from hf_assets.store.tensors import TensorStore

# A shard of which a larger share is dead is written anew without it.
MAX_DEAD_SHARE = 0.5
# Small index parts are joined to parts of so many rows.
PART_ROWS = 100_000
# A temporary file that is younger may be in another process's hands, whatever the grace period.
IN_HANDS = timedelta(hours=1)


class Garbage(NamedTuple):
    """What can go from one store.

    Attributes:
        rows: of the index, that stay (`store.index.INDEX`).
        num_samples: keys that stay; `num_bytes`: size of their tensors.
        dead_samples: keys that go; `dead_bytes`: size of the tensors that go.
        dead_shards: shards without a tensor that stays.
        sparse_shards: shards of which most is dead, to be written anew.
        damaged_shards: shards that the index names, but that are missing or altered.
        stray_files: shards that no index part names, temporary and damaged files.
        num_parts: parts of the index now; `is_scattered`: whether they are to be joined.
    """

    rows: pa.Table
    num_samples: int
    num_bytes: int
    dead_samples: int
    dead_bytes: int
    dead_shards: list[str]
    sparse_shards: list[str]
    damaged_shards: list[str]
    stray_files: list[Path]
    num_parts: int
    is_scattered: bool


def survey(store: TensorStore, live: pa.Array, grace: timedelta) -> Garbage:
    """Find a store's garbage, and change nothing.

    Args:
        live: the keys that are in use.
        grace: what is younger stays.
    """
    before = datetime.now(UTC) - grace
    parts = index.read_parts(store.index_folder)
    table = index.join_parts(parts)
    damaged = store.damaged(table)
    stored = index.stored_rows(table)
    stored = stored.filter(pc.invert(pc.is_in(stored["shard"], value_set=pa.array(sorted(damaged), pa.string()))))
    order, is_newest = index.copies(stored)
    stored = stored.take(order)
    is_live = pc.and_(pc.is_in(stored["key"], value_set=live), pa.array(is_newest))
    stays = pc.or_(is_live, pc.greater_equal(stored["written_at"], pa.scalar(before, INDEX.field("written_at").type)))
    share = _dead_share(stored.filter(stays), stored.filter(pc.invert(stays)))
    dead_shards = [shard for shard, part in share.items() if part == 1]
    sparse_shards = [shard for shard, part in share.items() if MAX_DEAD_SHARE < part < 1]
    # what is dead in another shard lies there anyway, and may be wanted again
    can_go = pc.is_in(stored["shard"], value_set=pa.array([*dead_shards, *sparse_shards], pa.string()))
    goes = pc.and_not(can_go, stays)
    kept, dead = stored.filter(pc.invert(goes)), stored.filter(goes)
    rows = pa.concat_tables([kept, table.filter(pc.not_equal(table["status"], index.OK))])
    dead_keys = pc.unique(dead["key"])
    return Garbage(
        rows,
        num_samples=pc.count_distinct(kept["key"]).as_py(),
        num_bytes=pc.sum(kept["num_bytes"]).as_py() or 0,
        dead_samples=pc.sum(pc.invert(pc.is_in(dead_keys, value_set=pc.unique(kept["key"])))).as_py() or 0,
        dead_bytes=pc.sum(dead["num_bytes"]).as_py() or 0,
        dead_shards=dead_shards,
        sparse_shards=sparse_shards,
        damaged_shards=sorted(damaged),
        stray_files=_strays(store, set(pc.unique(table["shard"]).to_pylist()), before),
        num_parts=len(parts),
        is_scattered=len(rows) < len(table) or len(parts) > max(1, -(-len(rows) // PART_ROWS)),
    )


def sweep(store: TensorStore, garbage: Garbage, grace: timedelta) -> int:
    """Remove a store's garbage; no run may be at work (`TensorStore.alone`).

    Returns:
        The bytes that were freed. A shard that was written anew goes after another grace period.
    """
    # first what frees space, so that a full disk can be tidied
    dead = [store.shard_path(shard) for shard in (*garbage.dead_shards, *garbage.damaged_shards)]
    freed = sum(remove(path) for path in (*dead, *garbage.stray_files))
    rows = garbage.rows
    for shard in garbage.sparse_shards:
        rows = _without_dead(store, shard, rows)
    if garbage.is_scattered or garbage.sparse_shards:
        _replace_index(store, rows)
    for shard in garbage.sparse_shards:
        if not grace:
            freed += remove(store.shard_path(shard))
        elif (path := store.shard_path(shard)).exists():
            os.utime(path)  # from now on nothing names it, and it stays for another grace period
    return freed


def leftovers(folder: Path, before: datetime) -> list[Path]:
    """Files in a folder that a killed process left, and that were found damaged."""
    latest = {
        files.TEMPORARY_PREFIX: min(before, datetime.now(UTC) - IN_HANDS).timestamp(),
        files.DAMAGED_PREFIX: before.timestamp(),
    }
    return sorted(
        path for prefix, time_s in latest.items() for path in folder.glob(f"{prefix}*") if is_older(path, time_s)
    )


def is_older(path: Path, time_s: float) -> bool:
    """Whether a file was last written before a time; one that is gone was not."""
    try:
        return path.stat().st_mtime <= time_s
    except FileNotFoundError:
        return False


def remove(path: Path) -> int:
    """Remove a file if it is there. Returns its size."""
    try:
        num_bytes = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return num_bytes


def _dead_share(kept: pa.Table, dead: pa.Table) -> dict[str, float]:
    """Of each shard that has dead tensors, their share of its tensors' bytes."""
    alive, gone = (
        dict(zip(sums["shard"].to_pylist(), sums["num_bytes_sum"].to_pylist(), strict=True))
        for sums in (part.group_by("shard").aggregate([("num_bytes", "sum")]) for part in (kept, dead))
    )
    return {shard: size / max(size + alive[shard], 1) if shard in alive else 1.0 for shard, size in gone.items()}


def _strays(store: TensorStore, named: set[str], before: datetime) -> list[Path]:
    time_s = before.timestamp()
    shards = [store.shard_path(shard) for shard in sorted(store.present()) if shard not in named]
    return [
        *(path for path in shards if is_older(path, time_s)),
        *leftovers(store.folder, before),
        *leftovers(store.index_folder, before),
    ]


def _without_dead(store: TensorStore, shard: str, rows: pa.Table) -> pa.Table:
    """Copy a shard's tensors that stay, byte by byte, into a new shard, and commit it. Returns the index after that."""
    is_there = pc.fill_null(pc.equal(rows["shard"], shard), False)
    others, moved = rows.filter(pc.invert(is_there)), rows.filter(is_there)
    data = store.shard_path(shard).read_bytes()
    if (
        fingerprint.of_bytes(data) != shard
    ):  # altered, though its size and time don't show it: its samples are to be computed anew
        files.set_aside(store.shard_path(shard))
        return others
    names = pc.binary_join_element_wise(moved["key"], moved["tensor"], ".").to_pylist()
    _, facts = store.place(select(data, set(names)))
    for name, value in facts.items():
        column = pa.array([value] * len(moved), INDEX.field(name).type)
        moved = moved.set_column(moved.schema.get_field_index(name), INDEX.field(name), column)
    index.commit(store.index_folder, moved)
    return pa.concat_tables([others, moved])


def _replace_index(store: TensorStore, rows: pa.Table) -> None:
    """Commit rows as few parts, then remove all other parts."""
    old = index.part_names(store.index_folder)
    ordered = rows.take(pa.array(np.argsort(rows["written_at"].cast(pa.int64()).to_numpy(), kind="stable")))
    new = {
        index.commit(store.index_folder, ordered.slice(start, PART_ROWS)).name
        for start in range(0, len(ordered), PART_ROWS)
    }
    for name in old:
        if name not in new:
            remove(store.index_folder / name)

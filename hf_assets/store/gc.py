"""Garbage of one store: tensors that nothing names any more, and files that are no data.

The store is valid at every moment: what stays is committed anew before its old place goes. A crash leaves a key
stored twice, a shard that no part of the index names, or a part that names a shard that is gone; the first two are
garbage next time, the last counts as missing, as it should.
"""

import posixpath
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint
from hf_assets.blobs import Blob, Blobs
from hf_assets.blobs.interface import DAMAGED_PREFIX, TEMPORARY_PREFIX
from hf_assets.store import index, runs
from hf_assets.store.index import INDEX
from hf_assets.store.shards import offsets, select
from hf_assets.store.tensors import TensorStore, shard_name

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
        strays: shards that no index part names, temporary and damaged blobs; `stray_bytes`: their size.
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
    strays: list[str]
    stray_bytes: int
    num_parts: int
    is_scattered: bool


def survey(store: TensorStore, live: pa.Array, grace: timedelta) -> Garbage:
    """Find a store's garbage, and change nothing.

    Args:
        live: the keys that are in use.
        grace: what is younger stays.
    """
    before = store.blobs.now() - grace
    parts = index.read_parts(store.index_blobs)
    table = index.join_parts(parts)
    if None in parts.values():  # what a damaged part held may lie in a run, too
        table = pa.concat_tables([table, *runs.all_rows(store.index_blobs)])
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
    strays = _strays(store, set(pc.unique(table["shard"]).to_pylist()), before)
    return Garbage(
        rows,
        num_samples=pc.count_distinct(kept["key"]).as_py(),
        num_bytes=pc.sum(kept["num_bytes"]).as_py() or 0,
        dead_samples=pc.sum(pc.invert(pc.is_in(dead_keys, value_set=pc.unique(kept["key"])))).as_py() or 0,
        dead_bytes=pc.sum(dead["num_bytes"]).as_py() or 0,
        dead_shards=dead_shards,
        sparse_shards=sparse_shards,
        damaged_shards=sorted(damaged),
        strays=strays,
        stray_bytes=sum(blob.num_bytes for name in strays if (blob := store.blobs.stat(name)) is not None),
        num_parts=len(parts),
        is_scattered=len(rows) < len(table) or len(parts) > max(1, -(-len(rows) // PART_ROWS)),
    )


def sweep(store: TensorStore, garbage: Garbage, grace: timedelta) -> int:
    """Remove a store's garbage; no run may be at work (`TensorStore.alone`).

    Returns:
        The bytes that were freed. A shard that was written anew goes after another grace period.
    """
    # first what frees space, so that a full disk can be tidied
    dead = map(shard_name, (*garbage.dead_shards, *garbage.damaged_shards))
    freed = sum(map(store.blobs.delete, (*dead, *garbage.strays)))
    rows = garbage.rows
    for shard in garbage.sparse_shards:
        rows = _without_dead(store, shard, rows)
    if garbage.is_scattered or garbage.sparse_shards:
        _replace_index(store, rows)
    for shard in garbage.sparse_shards:
        if not grace:
            freed += store.blobs.delete(shard_name(shard))
        else:
            store.blobs.touch(shard_name(shard))  # from now on nothing names it, and it stays for another grace period
    return freed


def leftovers(place: Blobs, folder: str, before: datetime) -> list[str]:
    """Blobs in a folder that a killed process left, and that were found damaged."""
    latest = {TEMPORARY_PREFIX: min(before, place.now() - IN_HANDS), DAMAGED_PREFIX: before}
    return [
        blob.name
        for blob in place.list(folder, hidden=True)
        for prefix, time in latest.items()
        if posixpath.basename(blob.name).startswith(prefix) and is_older(blob, time)
    ]


def is_older(blob: Blob, time: datetime) -> bool:
    """Whether a file was last written before a time, by the clock of the place where it lies."""
    return blob.modified_ns <= time.timestamp() * 1e9


def _dead_share(kept: pa.Table, dead: pa.Table) -> dict[str, float]:
    """Of each shard that has dead tensors, their share of its tensors' bytes."""
    alive, gone = (
        dict(zip(sums["shard"].to_pylist(), sums["num_bytes_sum"].to_pylist(), strict=True))
        for sums in (part.group_by("shard").aggregate([("num_bytes", "sum")]) for part in (kept, dead))
    )
    return {shard: size / max(size + alive[shard], 1) if shard in alive else 1.0 for shard, size in gone.items()}


def _strays(store: TensorStore, named: set[str], before: datetime) -> list[str]:
    shards = [
        shard_name(shard)
        for shard, state in sorted(store.present().items())
        if shard not in named and is_older(Blob(shard, *state), before)
    ]
    return [
        *shards,
        *leftovers(store.blobs, "", before),
        *leftovers(store.blobs, "index", before),
        *leftovers(store.blobs, f"index/{runs.FOLDER}", before),
    ]


def _without_dead(store: TensorStore, shard: str, rows: pa.Table) -> pa.Table:
    """Copy a shard's tensors that stay, byte by byte, into a new shard, and commit it. Returns the index after that."""
    is_there = pc.fill_null(pc.equal(rows["shard"], shard), False)
    others, moved = rows.filter(pc.invert(is_there)), rows.filter(is_there)
    data = store.blobs.get(shard_name(shard))
    if (
        fingerprint.of_bytes(data) != shard
    ):  # altered, though its size and time don't show it: its samples are to be computed anew
        store.blobs.set_aside(shard_name(shard))
        return others
    names = pc.binary_join_element_wise(moved["key"], moved["tensor"], ".").to_pylist()
    written = select(data, set(names))
    _, facts = store.place(written)
    places = offsets(written)
    columns = {name: [value] * len(moved) for name, value in facts.items()}
    for name, values in {**columns, "offset": [places[name] for name in names]}.items():
        column = pa.array(values, INDEX.field(name).type)
        moved = moved.set_column(moved.schema.get_field_index(name), INDEX.field(name), column)
    index.commit(store.index_blobs, moved)
    return pa.concat_tables([others, moved])


def _replace_index(store: TensorStore, rows: pa.Table) -> None:
    """Commit rows as few parts, then remove all other parts, and merge the few anew."""
    old = index.part_names(store.index_blobs)
    ordered = rows.take(pa.array(np.argsort(rows["written_at"].cast(pa.int64()).to_numpy(), kind="stable")))
    new = {
        index.commit(store.index_blobs, ordered.slice(start, PART_ROWS)) for start in range(0, len(ordered), PART_ROWS)
    }
    for name in old:
        if name not in new:
            store.index_blobs.delete(name)
    runs.forget(store.index_blobs)
    runs.merge(store.index_blobs)

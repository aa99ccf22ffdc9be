"""A training set in files that all processes map: who opens it next reads nothing.

The table and where its tensors lie are written once, a piece at a time, when a training set is opened for the first
time. They are believed as long as its table, the shards that it names and the stores' indexes are as they were
(`store.memo`).
"""

import contextlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint, folder, schema
from hf_assets.blobs import Location
from hf_assets.errors import StoreError
from hf_assets.fingerprint import Pieces, TableHash
from hf_assets.store import located, mapped, memo
from hf_assets.store.extents import Places
from hf_assets.store.layout import Stores
from hf_assets.store.located import Codes, Locating
from hf_assets.store.memo import Memo, Rest
from hf_assets.store.tensors import TensorStore

# The name of the memo.
NAME = folder.OPENED
EMPTY_KEY = "empty_caption_key"
TABLE, SHAPE, FIRST_EMBED, EMPTY, FACTS = "table.arrow", "shape", "first_embed", "empty", "facts.json"
_FILES = (TABLE, SHAPE, FIRST_EMBED, EMPTY, FACTS, *located.files_of("latents"), *located.files_of("embeds"))


class Opened(NamedTuple):
    """A training set.

    Attributes:
        latents, embeds: where the tensors of each row's latent, and of each caption of each row, lie; after the
            captions' those of the empty one.
        shapes: that latents have; `shape_codes`: for each row, which of them.
        first_embed: for each row, which of `embeds` is that of its first caption.
        empty: for each row, which of `embeds` from `num_embeds` on is that of the empty caption; -1: none is.
        has_empty: whether each row has one.
        content: hash of the keys of all latents, in their order.
        path: of the files that hold it.
    """

    table: pa.Table
    stores: Stores
    latents: Places
    embeds: Places
    shapes: list[tuple[int, ...]]
    shape_codes: np.ndarray
    first_embed: np.ndarray
    empty: np.ndarray
    num_embeds: int
    has_empty: bool
    content: str
    path: Path


def load(root: Location, stores: Stores) -> Opened | None:
    """A training set as it was opened before, if it is still the same; else None."""
    for place in folder.memories(root):
        known = memo.load(place, NAME)
        if known is not None and known.is_intact(place):
            return read(place / folder.OPENED / known.facts["folder"], stores)
    return None


def read(path: Path, stores: Stores) -> Opened:
    """Map the files that `make` wrote.

    Raises:
        StoreError: they are gone.
    """
    try:
        facts = json.loads((path / FACTS).read_text("utf-8"))
        return Opened(
            mapped.table(path / TABLE),
            stores,
            located.places_of(path, "latents"),
            located.places_of(path, "embeds"),
            [tuple(shape) for shape in facts["shapes"]],
            mapped.numbers(path / SHAPE, np.dtype(np.int32)),
            mapped.numbers(path / FIRST_EMBED, np.dtype(np.int64)),
            mapped.numbers(path / EMPTY, np.dtype(np.int32)),
            facts["num_embeds"],
            facts["has_empty"],
            facts["content"],
            path,
        )
    except (OSError, ValueError, KeyError, pa.ArrowException):
        raise StoreError(f"{path} is gone: open the training set again") from None


def make(root: Location, table: Location, stores: Stores) -> Opened | None:
    """Open a training set for the first time, and keep what was found out for who opens it next.

    Where this may not be written, it is written to a cache of this user, and else to a temporary folder.

    Returns:
        None where the table is missing or damaged.

    Raises:
        StoreError: tensors that it names are missing or damaged.
    """
    for memory in (*folder.memories(root), None):
        with contextlib.ExitStack() as stack:
            try:
                place = _room(memory)
                stack.callback(shutil.rmtree, place, ignore_errors=True)
                state, rows = memo.state_of(table), files.read_tables(table)
                if rows is None or state is None:
                    return None
                rests = _write(place, rows, stores)
            except OSError:  # no room, or no right to write there
                if memory is None:
                    raise
                continue
            if memory is not None and rests is not None:
                with contextlib.suppress(OSError, StoreError):
                    return read(_keep(memory, place, (Rest(root, {table.name: state}), *rests)), stores)
                continue
            stack.pop_all()
            return _unkept(place, stores)
    raise AssertionError("the last place is tried, too")


def _room(memory: Path | None) -> Path:
    """A new folder to write in."""
    if memory is None:
        return Path(tempfile.mkdtemp(prefix="hf-assets-opened-"))
    parent = memory / folder.OPENED
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=folder.MAKING, dir=parent))


def _write(place: Path, tables: Iterator[pa.Table], stores: Stores) -> tuple[Rest, ...] | None:
    """Write all files.

    Returns:
        What was read of the stores; None where that changed meanwhile.
    """
    shapes, empties = Codes(), Codes()
    content = _Content()
    num_rows = num_embeds = num_with_empty = 0
    with contextlib.ExitStack() as stack:
        latents, embeds = (stack.enter_context(Locating(TensorStore(one))) for one in stores)
        shape, first, empty = (
            stack.enter_context(mapped.NumbersFile(place / name)) for name in (SHAPE, FIRST_EMBED, EMPTY)
        )
        writer = None
        for rows in tables:
            if writer is None:
                writer = stack.enter_context(pa.ipc.new_stream(str(place / TABLE), rows.schema))
            writer.write_table(rows)
            content.add(rows)
            latents.add(rows["latent_key"])
            shape.add(shapes.of(pc.binary_join(rows["latent_shape"].cast(pa.list_(pa.string())), "x")))
            embeds.add(pc.list_flatten(rows["embed_keys"]))
            counts = pc.fill_null(pc.list_value_length(rows["embed_keys"]), 0).to_numpy()
            first.add(num_embeds + np.cumsum(counts, dtype=np.int64) - counts)
            known = empties.of(_empty_keys(rows))
            empty.add(known)
            num_rows, num_embeds = num_rows + len(rows), num_embeds + int(counts.sum())
            num_with_empty += int((known >= 0).sum())
        embeds.add(pa.chunked_array([empties.values], pa.string()))
        rests = latents.write(place, "latents"), embeds.write(place, "embeds")
    facts = {
        "shapes": [[int(edge) for edge in name.split("x")] for name in shapes.values],
        "num_embeds": num_embeds,
        "has_empty": 0 < num_rows == num_with_empty,
        "content": content.hexdigest(),
    }
    (place / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return None if rests[0] is None or rests[1] is None else (*rests[0], *rests[1])


def _empty_keys(rows: pa.Table) -> pa.ChunkedArray:
    if EMPTY_KEY in rows.column_names:
        return rows[EMPTY_KEY].cast(pa.string())
    return pa.chunked_array([pa.nulls(len(rows), pa.string())])


class _Content:
    """`fingerprint.of_table` of the keys of latents, which come in any number."""

    def __init__(self) -> None:
        self._pieces, self._hash = Pieces(), TableHash(_LATENT_KEY)

    def add(self, rows: pa.Table) -> None:
        for piece in self._pieces.add(rows.select(_LATENT_KEY.names)):
            self._hash.add(piece)

    def hexdigest(self) -> str:
        """Nothing is added after that."""
        for piece in self._pieces.end():
            self._hash.add(piece)
        return self._hash.hexdigest()


_LATENT_KEY = pa.schema([schema.TRAINING_SET.field("latent_key")])


def _keep(memory: Path, place: Path, rests: tuple[Rest, ...]) -> Path:
    """Put the files in their place, and note what they rest on."""
    noted = Memo("", {}, "", {}, rests, {})
    name = noted.identity(memory)
    path = memory / folder.OPENED / name
    path.mkdir(parents=True, exist_ok=True)
    hashes, states = {}, {}
    for one in _FILES:
        with (place / one).open("rb") as file:
            hashes[one] = fingerprint.checksum_of_stream(file)
            os.fsync(file.fileno())
        os.replace(place / one, path / one)  # another process may have written the same
        states[f"{folder.OPENED}/{name}/{one}"] = memo.state_of(path / one)
    written = {one: state for one, state in states.items() if state is not None}
    memo.save(memory, NAME, noted._replace(tables=written, facts={"folder": name, "hashes": hashes}))
    return path


def _unkept(place: Path, stores: Stores) -> Opened:
    """What is to be opened anew by the next process: its files are removed with this one."""
    found = read(place, stores)
    weakref.finalize(found.table, _remove, place, os.getpid())
    return found


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not one of its workers
        shutil.rmtree(path, ignore_errors=True)

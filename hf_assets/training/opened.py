"""A training set as it was opened last, in Arrow files that all processes map: the next to open it reads nothing.

The table and where its tensors lie are written once, when a training set is opened for the first time, and believed as
long as its table, the shards that it names and the stores' indexes are as they were (`store.memo`).
"""

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_assets import files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.errors import StoreError
from hf_assets.store import memo
from hf_assets.store.extents import Places
from hf_assets.store.layout import Stores
from hf_assets.store.memo import Memo, Rest
from hf_assets.store.tensor_reader import TensorReader

# The name of the memo.
NAME = folder.OPENED
SHAPES = b"hf_assets.shapes"


class Opened(NamedTuple):
    """A training set.

    Attributes:
        latents, embeds: where the tensors of each row's latent, and of each caption of each row, lie.
        shapes: that latents have; `shape_codes`: for each row, which of them.
        path: of the files that hold it; None where it lies in memory.
    """

    table: pa.Table
    stores: Stores
    latents: Places
    embeds: Places
    shapes: list[tuple[int, ...]]
    shape_codes: np.ndarray
    path: Path | None = None


def load(root: Location, stores: Stores) -> Opened | None:
    """A training set as it was opened before, if it is still the same; else None."""
    local = folder.local_memory(root)
    known = memo.load(local, NAME)
    if known is None or not known.is_intact(local):
        return None
    return read(local / folder.OPENED / known.facts["folder"], stores)


def read(path: Path, stores: Stores) -> Opened:
    """Map the files that `save` wrote.

    Raises:
        StoreError: they are gone.
    """
    try:
        table, samples, captions, *rows = (_mapped(path / f"{name}.arrow") for name in _FILES)
    except (OSError, pa.ArrowException):
        raise StoreError(f"{path} is gone: open the training set again") from None
    shapes = [tuple(shape) for shape in json.loads(samples.schema.metadata[SHAPES])]
    latent_rows, latent_starts, embed_rows, embed_starts = rows
    latents = Places(_numbers(samples, "latent"), _numbers(latent_starts, "start"), latent_rows)
    embeds = Places(_numbers(captions, "embed"), _numbers(embed_starts, "start"), embed_rows)
    return Opened(table, stores, latents, embeds, shapes, _numbers(samples, "shape"), path)


def save(root: Location, rest: Rest, opened: Opened, latents: TensorReader, embeds: TensorReader) -> None:
    """Write a training set for who opens it next. It saves time only: who may not write leaves it.

    Args:
        rest: the table's file, as it was before it was read.
    """
    rests = [(rest,), latents.rests(), embeds.rests()]
    if None not in rests:
        with contextlib.suppress(OSError, StoreError):
            _save(root, opened, tuple(one for some in rests for one in some or ()))


_FILES = ("table", "samples", "captions", "latent_rows", "latent_starts", "embed_rows", "embed_starts")


def _save(root: Location, opened: Opened, rests: tuple[Rest, ...]) -> None:
    local = folder.local_memory(root)
    noted = Memo("", {}, "", {}, rests, {})
    name = noted.identity(local)
    samples = {"latent": opened.latents.group, "shape": opened.shape_codes}
    tables = (
        opened.table,
        pa.table(samples).replace_schema_metadata({SHAPES: json.dumps(opened.shapes)}),
        pa.table({"embed": opened.embeds.group}),
        opened.latents.rows,
        pa.table({"start": opened.latents.starts}),
        opened.embeds.rows,
        pa.table({"start": opened.embeds.starts}),
    )
    written, hashes = {}, {}
    for kind, table in zip(_FILES, tables, strict=True):
        path = local / folder.OPENED / name / f"{kind}.arrow"
        with files.open_atomically(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as writer:
            writer.write_table(table.combine_chunks())
        with path.open("rb") as file:
            hashes[kind] = fingerprint.checksum_of_stream(file)
        state = memo.state_of(path)
        if state is None:
            return
        written[f"{folder.OPENED}/{name}/{path.name}"] = state
    memo.save(local, NAME, noted._replace(tables=written, facts={"folder": name, "hashes": hashes}))


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    numbers: np.ndarray = column.chunk(0).to_numpy() if column.num_chunks else np.empty(0, np.int64)
    return numbers

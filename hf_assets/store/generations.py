"""What is in use: which datasets read a store, and which tensors their last training sets name.

A store knows its users by files in `references/`, each with the relative path of a dataset's metadata folder. A
dataset keeps the keys of its training sets in `generations/`, one file per change. So whoever tidies a shared store
knows all that is needed, whatever his config names.
"""

import contextlib
import json
import uuid
from collections.abc import Callable, Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import blobs, files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.blobs.location import relative, resolve
from hf_assets.errors import StoreError
from hf_assets.store import memo
from hf_assets.store.draft import DraftTable, Over
from hf_assets.store.index import now
from hf_assets.store.pieces import Piece, open_pieces

SECOND = 1_000_000_000
REFERENCES = "references"
# The tables that name keys, and the column that does.
NAMING = {"vae_latents": "latent_key", "text_embeds": "embed_key"}
FILE_HASHES = b"hf_assets.file_hashes"


def register(store: Location, user: Location) -> None:
    """Note that the dataset whose metadata folder is `user` reads this store."""
    name = relative(user, store)
    references = blobs.at(store / REFERENCES)
    file, content = f"{fingerprint.of_value(name)}.json", json.dumps({"metadata": name}).encode()
    if references.get_versioned(file)[0] != content:
        references.put(file, content)


def users(store: Location) -> list[Location]:
    """Metadata folders of the datasets that read this store.

    Raises:
        StoreError: one of them isn't there, so what it needs isn't known.
    """
    found = []
    references = blobs.at(store / REFERENCES)
    for file in references.list():
        path = store / REFERENCES / file.name
        try:
            name: str = json.loads(references.get(file.name))["metadata"]
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{path} is damaged: delete it, then materialize the datasets that use {store}") from None
        user = resolve(name, store)
        if not user.is_dir():
            raise StoreError(
                f"a dataset that uses {store} had its tables in {user}, which is not there: "
                f"mount or restore that folder, or, if it is gone for good, delete {path}"
            )
        found.append(user)
    return found


def is_newest(root: Location, version: str) -> bool:
    """Whether the training set of the newest generation is the same.

    Args:
        root: metadata folder of the dataset.
        version: data version of the training set.
    """
    found = newest(root)
    return found is not None and found.stem.partition("-")[2] == version


def record(
    root: Location,
    keys_of: Callable[[Collection[int]], Iterable[tuple[int, pa.Array]]],
    version: str,
    file_hashes: Iterable[str],
    pieces: Iterable[Piece] = (),
) -> None:
    """Keep which tensors a training set names.

    Args:
        root: metadata folder of the dataset.
        keys_of: gives the keys of latents and embeds, each with the number of a piece of the training set, ascending.
            It is given the numbers of the pieces that the newest generation has, which needn't be among them.
        version: data version of the training set.
        file_hashes: the files that its rows were read from.
        pieces: of the training set.
    """
    hashes = {piece.number: piece.hash for piece in pieces}
    path = newest(root)
    with contextlib.ExitStack() as stack:
        last = None if path is None else open_pieces(path)
        if last is not None:
            stack.enter_context(last)
        kept = [] if last is None else [number for number, one in hashes.items() if last.find(number, one)]
        place = folder.generations(root) / f"{now():%Y%m%dT%H%M%S.%fZ}-{version}.parquet"
        draft = DraftTable(place, identity=(), by_row=True, over=Over(last, kept, hashes))
        draft.add(_KEYS.empty_table(), number=0)
        for number, some in keys_of(kept):
            if number not in kept:
                draft.add(pa.table([some], schema=_KEYS), number=number)
        draft.note({FILE_HASHES: json.dumps(sorted(file_hashes))})
        draft.publish()


_KEYS = pa.schema([pa.field("key", pa.string())])


class Claim:
    """The keys that a stage's table is about to name: nobody may remove them before the table is there.

    Two runs at once have a claim each. Those of runs whose table is there by now are removed.
    """

    def __init__(self, root: Location, stage: str) -> None:
        """
        Args:
            root: metadata folder of the dataset.
        """
        self._root, self._stage = root, stage
        self._draft = DraftTable(folder.claims(root) / f"{stage}.{uuid.uuid4().hex}{folder.SUFFIX}", identity=())
        self._draft.add(_KEYS.empty_table())

    def add(self, keys: pa.ChunkedArray) -> None:
        self._draft.add(pa.table([keys], schema=_KEYS))

    def publish(self) -> None:
        place = blobs.at(folder.claims(self._root))
        table = files.written_ns(folder.table(self._root, self._stage))
        for blob in list(place.list()):
            # whole seconds: object stores know no others
            is_of_stage = blob.name.startswith(f"{self._stage}.")
            if is_of_stage and table is not None and blob.modified_ns // SECOND <= table // SECOND:
                place.delete(blob.name)
        self._draft.publish()


def newest(root: Location) -> Location | None:
    """The generation that was recorded last."""
    return next(iter(_files(root)[-1:]), None)


def kept(root: Location, count: int) -> tuple[list[Location], list[Location]]:
    """A dataset's last `count` generations, and the older ones."""
    found = _files(root)
    first = max(len(found) - count, 0)
    return found[first:], found[:first]


def named_keys(root: Location, count: int) -> pa.Array:
    """The keys that a dataset's current tables, its last `count` generations and its claims name.

    Raises:
        StoreError: one of these can't be read.
    """
    claims = _tables(folder.claims(root))
    parts = [_read(path)["key"] for path in (*kept(root, count)[0], *claims)]
    for name, column in NAMING.items():
        path = folder.table(root, name)
        if path.exists():
            parts.append(_read(path)[column])
    return pc.unique(pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string()))


def named_files(root: Location, count: int) -> set[str]:
    """Hashes of the files that the last `count` generations were read from."""
    return {
        file_hash
        for path in kept(root, count)[0]
        for file_hash in json.loads(files.metadata_of(path).get(FILE_HASHES, b"[]"))
    }


def _files(root: Location) -> list[Location]:
    """Oldest first."""
    return _tables(folder.generations(root))


def _tables(place: Location) -> list[Location]:
    return [place / blob.name for blob in blobs.at(place).list() if blob.name.endswith(".parquet")]


def _read(path: Location) -> pa.Table:
    table = files.read_table(path)
    if table is None:
        memo.forget(path.parent, path.stem)
        stage = path.name.split(".")[0]
        is_generation = path.parent.name == folder.GENERATIONS
        way_out = "run `hf-assets verify`" if is_generation else f"materialize {stage} again"
        raise StoreError(f"{path} is damaged, so what it names isn't known: {way_out}, then try again")
    return table

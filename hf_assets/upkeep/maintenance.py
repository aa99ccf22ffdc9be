"""Look after what is stored: read it against its checksums, and remove what nothing names any more."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import blobs, files, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.draw.plan_text import size
from hf_assets.encode.progress import Progress
from hf_assets.errors import StoreError
from hf_assets.previews import pictures
from hf_assets.sources.rows import snapshot_of
from hf_assets.store import gc, generations, memo, verifying
from hf_assets.store.ledger import WHOLE_FILES
from hf_assets.store.pieces import Piece
from hf_assets.store.tensors import TensorStore
from hf_assets.store.verifying import VerifyReport


class GarbageReport(NamedTuple):
    """What `collect_garbage` found in one folder: the counts of `store.gc.Garbage`, of a folder of tables only files.

    Attributes:
        freed_bytes: None: nothing was removed, because that wasn't asked for.
        error: why the folder was left as it is.
    """

    folder: str
    num_samples: int = 0
    num_bytes: int = 0
    dead_samples: int = 0
    dead_bytes: int = 0
    dead_shards: int = 0
    sparse_shards: int = 0
    damaged_shards: int = 0
    index_parts: int = 0
    stray_files: tuple[str, ...] = ()
    stray_bytes: int = 0
    freed_bytes: int | None = None
    error: str | None = None


def record_generation(
    recipe: Recipe,
    keys_of: Callable[[Collection[int]], Iterable[tuple[int, pa.Array]]],
    version: str,
    pieces: Iterable[Piece],
) -> None:
    """Keep which tensors a training set names, so that these are no garbage; unless the newest generation is the same.

    Args:
        keys_of: gives the keys that it names (`generations.record`).
        version: its data version.
        pieces: of it.
    """
    root = recipe.folders.metadata
    if not generations.is_newest(root, version):
        generations.record(root, keys_of, version, _files_of(root), pieces)


def verify(recipes: Iterable[Recipe], say: Callable[[str], None]) -> Iterator[VerifyReport]:
    """Read all shards, parts of the index and tables of some datasets.

    What is damaged is set aside, so that the next run makes it anew.
    """
    recipes = list(recipes)
    stores = [TensorStore(location) for location in _stores(recipes)]
    with Progress("reading", sum(verifying.num_bytes_of(store) for store in stores), say, size=size) as progress:
        for store in stores:
            yield verifying.verify_store(store, progress.add)
    for recipe in recipes:
        yield verifying.verify_tables(recipe.folders.metadata)


def collect_garbage(recipes: Iterable[Recipe], keep: int, grace: timedelta, *, delete: bool) -> Iterator[GarbageReport]:
    """Find the garbage of some datasets' folders, and remove it if asked to.

    Whatever the current tables or the last `keep` training sets of any dataset name stays, also of datasets that
    aren't among `recipes` but share a store with them; and so does what is younger than `grace`.
    """
    recipes = list(recipes)
    for location, owners in _stores(recipes).items():
        try:
            yield _collect_store(TensorStore(location), owners, keep, grace, delete=delete)
        except StoreError as error:
            yield GarbageReport(str(location), error=str(error))
    for recipe in recipes:
        yield _collect_tables(recipe.folders.metadata, keep, grace, delete=delete)


def _stores(recipes: list[Recipe]) -> dict[Location, set[Location]]:
    """The tensor folders of some datasets, and the metadata folders of those that write there."""
    stores: dict[Location, set[Location]] = {}
    for recipe in recipes:
        for location in (recipe.folders.latents, recipe.folders.embeds):
            if location.is_dir():
                stores.setdefault(location, set()).add(recipe.folders.metadata)
    return stores


def _collect_store(
    store: TensorStore, owners: set[Location], keep: int, grace: timedelta, *, delete: bool
) -> GarbageReport:
    if not delete:
        return _report(store.folder, gc.survey(store, _live(store, owners, keep), grace))
    with store.alone():
        # what is in use is looked up now that no run can change it
        garbage = gc.survey(store, _live(store, owners, keep), grace)
        return _report(store.folder, garbage)._replace(freed_bytes=gc.sweep(store, garbage, grace))


def _live(store: TensorStore, owners: set[Location], keep: int) -> pa.Array:
    keys = [generations.named_keys(user, keep) for user in sorted({*generations.users(store.folder), *owners}, key=str)]
    return pc.unique(pa.chunked_array(keys, pa.string()))


def _report(location: Location, garbage: gc.Garbage) -> GarbageReport:
    return GarbageReport(
        str(location),
        garbage.num_samples,
        garbage.num_bytes,
        garbage.dead_samples,
        garbage.dead_bytes,
        len(garbage.dead_shards),
        len(garbage.sparse_shards),
        len(garbage.damaged_shards),
        garbage.num_parts,
        tuple(str(location / name) for name in garbage.strays),
        garbage.stray_bytes,
    )


def _collect_tables(root: Location, keep: int, grace: timedelta, *, delete: bool) -> GarbageReport:
    """Old generations, leftovers, and what is remembered of files that no kept training set was read from."""
    place = blobs.at(root)
    before = place.now() - grace
    written = {blob.name: blob for blob in place.list(recursive=True)}
    old = [f"{folder.GENERATIONS}/{path.name}" for path in generations.kept(root, keep)[1]]
    strays = [name for name in old if name in written and gc.is_older(written[name], before)]
    for part in folder.WRITTEN:
        strays += gc.leftovers(place, part, before)
    if current := _files_of(root):  # without a raw_dataset table nobody knows which files are in use
        older = min(before, place.now() - gc.IN_HANDS)
        in_use = {WHOLE_FILES, *current, *generations.named_files(root, keep)}
        for name in (*_remembered_of_others(written, in_use), *_orphaned_previews(root, written, keep)):
            if gc.is_older(written[name], older):
                strays.append(name)
    found = [(root, name) for name in strays]
    found += [(memory, name) for memory in folder.memories(root) for name in _closed(memory, before)]
    num_bytes = sum(blob.num_bytes for at, name in found if (blob := blobs.at(at).stat(name)) is not None)
    freed = sum(blobs.at(at).delete(name) for at, name in found) if delete else None
    names = tuple(str(at / name) for at, name in found)
    return GarbageReport(str(root), stray_files=names, stray_bytes=num_bytes, freed_bytes=freed)


def _closed(memory: Path, before: datetime) -> Iterator[str]:
    """Files of training sets that were opened, and aren't what the next to open them takes."""
    place = blobs.at(memory)
    known = memo.load(memory, folder.OPENED)
    kept = f"{folder.OPENED}/{known.facts['folder']}/" if known is not None else ""
    older = min(before, place.now() - gc.IN_HANDS)
    for blob in place.list(folder.OPENED, recursive=True):
        being_made = blob.name.startswith(f"{folder.OPENED}/{folder.MAKING}")
        if not (kept and blob.name.startswith(kept)) and gc.is_older(blob, older if being_made else before):
            yield blob.name


def _remembered_of_others(names: Iterable[str], in_use: set[str]) -> Iterator[str]:
    """What is remembered of files whose hash isn't among those in use."""
    for name in names:
        part, _, file = name.rpartition("/")
        if part in folder.REMEMBERED and file.endswith(".parquet") and file.split(".")[0] not in in_use:
            yield name


def orphaned_previews(root: Location, keep: int) -> Iterator[Location]:
    """What no one is shown any more: thumbnails of rows that the dataset hasn't, decoded latents that no kept training
    set names, and what the gallery doesn't name.
    """
    names = [blob.name for blob in blobs.at(root).list(recursive=True)]
    return (root / name for name in _orphaned_previews(root, names, keep))


def _orphaned_previews(root: Location, names: Iterable[str], keep: int) -> Iterator[str]:
    raw_dataset = files.read_table(folder.table(root, "raw_dataset"))
    if raw_dataset is None:
        return
    images = [name for name in names if name.endswith(".jpg")]
    hashes = set(pc.unique(raw_dataset["file_hash"].cast(pa.string())).to_pylist())
    yield from _orphaned_of_gallery(root, names)
    thumbnails = [name for name in images if name.startswith(f"{folder.THUMBNAILS}/")]
    yield from (name for name in thumbnails if name.rpartition("/")[2].split(".")[0] not in hashes)
    decoded = [name for name in images if name.startswith(f"{folder.DECODED}/")]
    try:
        named = generations.named_keys(root, keep)
    except StoreError:  # which the folder of the tensors reports
        return
    keys = [name.rpartition("/")[2].removesuffix(".jpg") for name in decoded]
    is_named = pc.is_in(pa.array(keys, pa.string()), value_set=named)
    yield from (name for name, stays in zip(decoded, is_named.to_pylist(), strict=True) if not stays)


def _orphaned_of_gallery(root: Location, names: Iterable[str]) -> Iterator[str]:
    """What the report's gallery doesn't show any more; nothing where there is no report."""
    try:
        named = set(pictures.NAMES.findall(folder.report(root).read_bytes().decode()))
    except FileNotFoundError:
        return
    heard = pictures.sounds_of(root, named)
    for name in names:
        place, _, file = name.rpartition("/")
        if place == folder.GALLERY and file.endswith((".js", ".jpg", ".mp3")) and file not in named | heard:
            yield name


def _files_of(root: Location) -> set[str]:
    """Hashes of the files from which a dataset's current rows were read."""
    path = folder.table(root, "raw_dataset")
    if not files.is_whole_file(path):
        return set()
    return {file.hash for file in snapshot_of(pq.read_schema(files.parquet(path))).files}

"""Look after what is stored: read it against its checksums, and remove what nothing names any more."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files
from hf_assets.config.recipe import Recipe
from hf_assets.encode.progress import Progress
from hf_assets.errors import StoreError
from hf_assets.previews.decoded import FOLDER as DECODED
from hf_assets.previews.thumbnails import FOLDER as THUMBNAILS
from hf_assets.sources.rows import snapshot_of
from hf_assets.store import gc, generations, verifying
from hf_assets.store.ledger import WHOLE_FILES
from hf_assets.store.tensors import TensorStore
from hf_assets.store.verifying import VerifyReport

# Folders beside a dataset's tables, of files that begin with the hash of the file they are about.
REMEMBERED = ("columns", "ledger", "sources/converted")


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


def record_generation(recipe: Recipe, training_set: pa.Table, version: str) -> None:
    """Keep which tensors a training set names, so that these are no garbage."""
    generations.record(recipe.folders.metadata, training_set, version, _files_of(recipe.folders.metadata))


def verify(recipes: Iterable[Recipe], say: Callable[[str], None]) -> Iterator[VerifyReport]:
    """Read all shards, parts of the index and tables of some datasets.

    What is damaged is set aside, so that the next run makes it anew.
    """
    recipes = list(recipes)
    stores = [TensorStore(folder) for folder in _stores(recipes)]
    with Progress("reading bytes", sum(verifying.num_bytes_of(store) for store in stores), say) as progress:
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
    for folder, owners in _stores(recipes).items():
        try:
            yield _collect_store(TensorStore(folder), owners, keep, grace, delete=delete)
        except StoreError as error:
            yield GarbageReport(str(folder), error=str(error))
    for recipe in recipes:
        yield _collect_tables(recipe.folders.metadata, keep, grace, delete=delete)


def _stores(recipes: list[Recipe]) -> dict[Path, set[Path]]:
    """The tensor folders of some datasets, and the metadata folders of those that write there."""
    stores: dict[Path, set[Path]] = {}
    for recipe in recipes:
        for folder in (recipe.folders.latents, recipe.folders.embeds):
            if folder.is_dir():
                stores.setdefault(folder, set()).add(recipe.folders.metadata)
    return stores


def _collect_store(
    store: TensorStore, owners: set[Path], keep: int, grace: timedelta, *, delete: bool
) -> GarbageReport:
    if not delete:
        return _report(store.folder, gc.survey(store, _live(store, owners, keep), grace))
    with store.alone():
        # what is in use is looked up now that no run can change it
        garbage = gc.survey(store, _live(store, owners, keep), grace)
        return _report(store.folder, garbage)._replace(freed_bytes=gc.sweep(store, garbage, grace))


def _live(store: TensorStore, owners: set[Path], keep: int) -> pa.Array:
    keys = [generations.named_keys(user, keep) for user in sorted({*generations.users(store.folder), *owners})]
    return pc.unique(pa.chunked_array(keys, pa.string()))


def _report(folder: Path, garbage: gc.Garbage) -> GarbageReport:
    return GarbageReport(
        str(folder),
        garbage.num_samples,
        garbage.num_bytes,
        garbage.dead_samples,
        garbage.dead_bytes,
        len(garbage.dead_shards),
        len(garbage.sparse_shards),
        len(garbage.damaged_shards),
        garbage.num_parts,
        *_sizes(garbage.stray_files),
    )


def _collect_tables(folder: Path, keep: int, grace: timedelta, *, delete: bool) -> GarbageReport:
    """Old generations, leftovers, and what is remembered of files that no kept training set was read from."""
    before = datetime.now(UTC) - grace
    strays = [path for path in generations.kept(folder, keep)[1] if gc.is_older(path, before.timestamp())]
    for part in ("", *REMEMBERED, "sources", generations.FOLDER):
        strays += gc.leftovers(folder / part, before)
    if current := _files_of(folder):  # without a raw_dataset table nobody knows which files are in use
        named = {WHOLE_FILES, *current, *generations.named_files(folder, keep)}
        older = min(before, datetime.now(UTC) - gc.IN_HANDS).timestamp()
        remembered = [path for name in REMEMBERED for path in sorted((folder / name).glob("[!.]*.parquet"))]
        strays += [path for path in remembered if path.name.split(".")[0] not in named and gc.is_older(path, older)]
        strays += [path for path in orphaned_previews(folder, keep) if gc.is_older(path, older)]
    names, num_bytes = _sizes(strays)
    freed = sum(map(gc.remove, strays)) if delete else None
    return GarbageReport(str(folder), stray_files=names, stray_bytes=num_bytes, freed_bytes=freed)


def orphaned_previews(folder: Path, keep: int) -> Iterator[Path]:
    """Thumbnails of rows that the dataset has no more, and decoded latents that no kept training set names."""
    raw_dataset = files.read_table(folder / "raw_dataset.parquet")
    if raw_dataset is None:
        return
    hashes = set(pc.unique(raw_dataset["file_hash"].cast(pa.string())).to_pylist())
    thumbnails = sorted((folder / THUMBNAILS).glob("*/[!.]*.jpg"))
    yield from (path for path in thumbnails if path.name.split(".")[0] not in hashes)
    decoded = sorted((folder / DECODED).glob("[!.]*.jpg"))
    try:
        named = generations.named_keys(folder, keep)
    except StoreError:  # which the folder of the tensors reports
        return
    is_named = pc.is_in(pa.array([path.stem for path in decoded], pa.string()), value_set=named)
    yield from (path for path, stays in zip(decoded, is_named.to_pylist(), strict=True) if not stays)


def _files_of(folder: Path) -> set[str]:
    """Hashes of the files from which a dataset's current rows were read."""
    table = files.read_table(folder / "raw_dataset.parquet")
    return {file.hash for file in snapshot_of(table).files} if table is not None else set()


def _sizes(paths: list[Path]) -> tuple[tuple[str, ...], int]:
    return tuple(map(str, paths)), sum(path.stat().st_size for path in paths if path.exists())

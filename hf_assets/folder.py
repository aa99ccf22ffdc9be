"""Where everything of one dataset lies: the one module that spells these paths.

`root` is the dataset's metadata folder, `{cache_dir}/huggingface_metadata/{id}`. Tensors lie elsewhere, in stores that
several datasets may share (`store.tensors`).
"""

import os
from pathlib import Path

from hf_assets import fingerprint
from hf_assets.blobs import Location
from hf_assets.errors import StoreError

SUFFIX = ".parquet"
# Files that were turned into Parquet.
CONVERTED = "sources/converted"
# Names of folders of files whose names begin with the hash of the file that they are about.
REMEMBERED = ("columns", "ledger", CONVERTED)
GENERATIONS, MEMOS, OPENED = "generations", "memo", "opened"
# What the folders begin with in which training sets are opened.
MAKING = "making-"
THUMBNAILS, DECODED, GALLERY = "reports/thumbnails", "reports/decoded", "reports/gallery"
# Where a process may have left temporary files.
WRITTEN = ("", *REMEMBERED, "sources", GENERATIONS, MEMOS)


def table(root: Location, name: str) -> Location:
    """The table of an asset."""
    return root / f"{name}{SUFFIX}"


def dropped(root: Location, name: str) -> Location:
    """The rows that an asset dropped, with reasons."""
    return root / f"{name}_dropped{SUFFIX}"


def quarantined(root: Location, name: str) -> Location:
    """The samples that failed in an asset, with reasons."""
    return root / f"{name}_quarantined{SUFFIX}"


def memo(root: Location, name: str) -> Location:
    """What an asset's table rests on."""
    return root / MEMOS / f"{name}.json"


def columns(root: Location) -> Location:
    """The columns that were read of each file."""
    return root / "columns"


def ledger(root: Location) -> Location:
    """What is known of each row's media."""
    return root / "ledger"


def generations(root: Location) -> Location:
    """Which tensors the last training sets name."""
    return root / GENERATIONS


def claims(root: Location) -> Location:
    """The keys that tables are about to name: `{stage}.{hash of the keys}.parquet`."""
    return generations(root) / "claims"


def pins(root: Location, run_id: str) -> Location:
    """What one run takes its models to be; all its steps read it, whatever machine they run on."""
    return root / "sources" / "pins" / f"{run_id}.json"


def sources(root: Location) -> Path:
    """What is remembered of the dataset's files on this machine: lists, hashes, files turned into Parquet.

    Of a dataset whose tables lie in an object store, that is a folder in this user's cache: it saves time only.
    """
    return local_memory(root) / "sources"


def local_memory(root: Location) -> Path:
    """A folder on this machine for what saves time only: the metadata folder itself, if it is one."""
    return root if isinstance(root, Path) else cached_memory(root)


def cached_memory(root: Location) -> Path:
    """The same in this user's cache, also of a folder on this machine, where that may not be written."""
    return machine_cache() / fingerprint.of_bytes(str(root.absolute()).encode())


def memories(root: Location) -> list[Path]:
    """Folders on this machine of which one holds what saves time only: the first that may be written."""
    if not isinstance(root, Path):
        return [local_memory(root)]
    try:
        return [root, cached_memory(root)]
    except StoreError:
        return [root]


def machine_cache() -> Path:
    """`HF_ASSETS_CACHE`, else a folder in this user's cache.

    Raises:
        StoreError: neither is known.
    """
    if named := os.environ.get("HF_ASSETS_CACHE"):
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf_assets"
    except RuntimeError:  # a user whom the system doesn't know, as containers have them
        raise StoreError(
            "this user has no home: set HOME, or HF_ASSETS_CACHE, to a folder that may be written"
        ) from None


def model_hashes(root: Location) -> Path:
    """The hashes of a model folder's files."""
    return sources(root) / "model_hashes.json"


def report(root: Location) -> Location:
    """Everything worth seeing, in one page."""
    return root / "report.html"


def sheets(root: Location) -> Location:
    """The contact sheets of the assets."""
    return root / "reports" / "sheets"


def sheet(root: Location, name: str) -> Location:
    """The contact sheet of one asset."""
    return sheets(root) / f"{name}.jpg"


def thumbnails(root: Location, made_of: str) -> Location:
    """Small images of some rows, made in one way."""
    return root / THUMBNAILS / made_of


def decoded(root: Location) -> Location:
    """Some samples beside their decoded latents."""
    return root / DECODED


def token_counts(root: Location) -> Location:
    """How many tokens some captions have."""
    return root / "reports" / "tokens.parquet"


def gallery(root: Location) -> Location:
    """What the report shows of each sample: sheets of small pictures, and what is written beside them."""
    return root / GALLERY


def piece_facts(root: Location) -> Location:
    """What was found out of the training set's pieces for the report."""
    return root / "reports" / "pieces.json"


def local_pictures(root: Location) -> Location:
    """Which media on this machine were read for the gallery alone."""
    return root / "reports" / "local_pictures.json"


def channels(root: Location) -> Location:
    """Statistics of some latents' channels."""
    return root / "reports" / "channels.json"

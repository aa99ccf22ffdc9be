"""Where a dataset's rows come from, behind one interface."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from hf_assets.blobs.location import SCHEMES
from hf_assets.sources.places.bucket import BucketFolder, BucketSource
from hf_assets.sources.places.hub_folder import HubFolder
from hf_assets.sources.places.hub_repository import HubSource
from hf_assets.sources.places.local_repository import LocalSource
from hf_assets.sources.places.media_folder import FolderSource
from hf_assets.sources.spec import MAX_MEDIA_BYTES, DataFile, Snapshot, SourceSpec


class Source(Protocol):
    """A split's files: resolved once, then read at exactly that commit."""

    spec: SourceSpec

    def resolve(self) -> Snapshot: ...

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        """Open the Parquet form of a file of the split, for reading few of its bytes."""
        ...

    def open_media(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        """Open the Parquet form of a file of the split, for reading the media in it."""
        ...

    def fetches(self, snapshot: Snapshot, file: DataFile) -> bool:
        """Whether `open_media` would first fetch a file of the split whole."""
        ...

    def locate(self, snapshot: Snapshot, paths: pa.Array) -> pa.Array:
        """Content hashes of files of the repository or folder; null where it has no such file.

        Args:
            paths: within it.
        """
        ...

    def paths(self, snapshot: Snapshot) -> Iterable[str]:
        """The files of the repository or folder."""
        ...

    def bytes_to_read(self, snapshot: Snapshot, files: Sequence[DataFile]) -> int:
        """Bytes that reading these media files would fetch."""
        ...

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        """A local path of a whole file, as it is in the repository or folder."""
        ...

    def read(self, snapshot: Snapshot, file: DataFile, at_most: int = MAX_MEDIA_BYTES) -> bytes | None:
        """All of a media file; None where it has more than `at_most` bytes, of which none are read then.

        Raises:
            MediaError: it is too large to be held (`MAX_MEDIA_BYTES`).
        """
        ...


def source_of(spec: SourceSpec, memory: Path) -> Source:
    """The source of a split. `memory` is a folder in which it may keep what needn't be asked again."""
    if spec.dataset_name.startswith(SCHEMES):
        return BucketFolder(spec, memory) if spec.folder is not None else BucketSource(spec, memory)
    if spec.folder is not None:
        return FolderSource(spec, memory) if Path(spec.dataset_name).is_absolute() else HubFolder(spec, memory)
    return LocalSource(spec, memory) if Path(spec.dataset_name).is_absolute() else HubSource(spec, memory)

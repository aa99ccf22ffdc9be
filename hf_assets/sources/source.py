"""Where a dataset's rows come from, behind one interface."""

from pathlib import Path
from typing import BinaryIO, Protocol

from hf_assets.sources.hub import HubSource
from hf_assets.sources.local import LocalSource
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec


class Source(Protocol):
    """A split's files: resolved once, then read at exactly that commit."""

    def resolve(self) -> Snapshot: ...

    def open_ranges(self, snapshot: Snapshot, file: DataFile) -> BinaryIO:
        """Open a file for reading few of its bytes."""
        ...

    def fetch(self, snapshot: Snapshot, file: DataFile) -> Path:
        """A local path of the whole file."""
        ...


def source_of(spec: SourceSpec, memory: Path) -> Source:
    """The source of a split. `memory` is a folder in which it may keep what needn't be asked again."""
    return LocalSource(spec, memory) if Path(spec.dataset_name).is_absolute() else HubSource(spec, memory)

"""Which rows: a dataset's name, configuration, split and revision; and what these resolve to."""

import re
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from hf_assets import fingerprint


class SourceSpec(BaseModel):
    """A split of a dataset on the Hub, or of a folder in the Hub's layout (then `dataset_name` is absolute)."""

    model_config = ConfigDict(frozen=True)

    dataset_name: str
    dataset_config: str | None = None
    split: str = "train"
    revision: str | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit sha, which can't move."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision or "") is not None


class DataFile(NamedTuple):
    """A file of a split."""

    path: str  # within the repository
    hash: str  # of the content: LFS sha256, else git's blob hash
    num_bytes: int


class Snapshot(NamedTuple):
    """A split at one commit: nothing about it can change any more."""

    repository: str  # Hub id or absolute path of a local folder
    commit: str  # commit sha; of a local folder: the hash of its files
    is_local: bool
    files: tuple[DataFile, ...]

    @property
    def fingerprint(self) -> str:
        """Hash of the files' contents in their order. Their names, and files of other splits, don't matter."""
        return fingerprint.of_value([file.hash for file in self.files])

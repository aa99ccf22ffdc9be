"""From what a config names to the blobs that lie there."""

from pathlib import Path

from hf_assets.blobs.interface import Blobs
from hf_assets.blobs.local import LocalBlobs


def at(location: Path) -> Blobs:
    """The blobs of a folder."""
    return LocalBlobs(location)

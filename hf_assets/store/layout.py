"""Where a training set's tensors lie.

Kept in its table, relative to its folder, so that all of it can be moved together.
"""

import os
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

LATENTS = b"hf_assets.latents"
EMBEDS = b"hf_assets.embeds"


class Stores(NamedTuple):
    """The folders of the latents and of the embeds."""

    latents: Path
    embeds: Path


def to_metadata(stores: Stores, folder: Path) -> dict[bytes, bytes]:
    """Schema metadata that names the stores from the training set's folder."""
    return {
        LATENTS: os.path.relpath(stores.latents, folder).encode(),
        EMBEDS: os.path.relpath(stores.embeds, folder).encode(),
    }


def from_metadata(schema: pa.Schema, folder: Path) -> Stores:
    """The stores that a training set's table names."""
    return Stores(*(Path(os.path.normpath(folder / schema.metadata[name].decode())) for name in (LATENTS, EMBEDS)))

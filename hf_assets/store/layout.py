"""Where a training set's tensors lie.

Kept in its table, relative to its folder, so that all of it can be moved together.
"""

from typing import NamedTuple

import pyarrow as pa

from hf_assets.blobs import Location
from hf_assets.blobs.location import relative, resolve

LATENTS = b"hf_assets.latents"
EMBEDS = b"hf_assets.embeds"


class Stores(NamedTuple):
    """The folders of the latents and of the embeds."""

    latents: Location
    embeds: Location


def to_metadata(stores: Stores, folder: Location) -> dict[bytes, bytes]:
    """Schema metadata that names the stores from the training set's folder."""
    return {
        LATENTS: relative(stores.latents, folder).encode(),
        EMBEDS: relative(stores.embeds, folder).encode(),
    }


def from_metadata(schema: pa.Schema, folder: Location) -> Stores:
    """The stores that a training set's table names."""
    return Stores(*(resolve(schema.metadata[name].decode(), folder) for name in (LATENTS, EMBEDS)))

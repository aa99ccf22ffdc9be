"""The empty caption's embed, which trainers put in place of captions that they drop. It is the one thing that an export
may encode, once for a model; the text store keeps it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from hf_assets import schema
from hf_assets.encode import embeds, encoders
from hf_assets.engines.unit import HoldDevice
from hf_assets.errors import StoreError
from hf_assets.export.view import View
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import keys
from hf_assets.store.tensor_reader import TensorReader

if TYPE_CHECKING:
    import torch


class Embed(NamedTuple):
    """An embed under its key: the tensors by the pipeline's names, without a batch axis."""

    key: str
    tensors: "dict[str, torch.Tensor]"


def empty_caption(view: View, hold_device: HoldDevice, say: Callable[[str], None]) -> Embed:
    """The embed that the training set's text encoders give no caption at all.

    Raises:
        ModelError: they can't be loaded.
        StoreError: the model has moved since the training set was made.
    """
    recipe = view.recipe
    encoder = encoders.text_of(recipe, embeds.VERSION)
    for row in view.rows("captions", "embed_keys"):
        texts = pa.chunked_array([pa.array(row["captions"][:1], schema.CAPTION)])
        if keys.embed_keys(texts, encoder.fingerprint)[0].as_py() != row["embed_keys"][0]:
            raise StoreError(
                f"the text encoders of {encoder.pipeline.name} are no longer those of {recipe.id}'s training set: "
                f"materialize it, with `hf-assets run {recipe.id}`, then export again"
            )
        break
    captions = pa.Table.from_pylist([{"row": 0, "captions": [""]}], schema=schema.CAPTIONS)
    table = embeds.encode(recipe, lambda: iter([captions]), None, hold_device, say, encoder).outcome.table
    table.discard()
    if not table.num_rows:
        raise StoreError(f"{encoder.pipeline.name} can't encode the empty caption: see `hf-assets quarantine`")
    found = keys.embed_keys(captions_stage.distinct_texts(captions)["caption"], encoder.fingerprint)
    return Embed(found[0].as_py(), TensorReader(recipe.folders.embeds, found)[0])

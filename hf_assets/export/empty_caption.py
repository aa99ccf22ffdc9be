"""The empty caption's embed, which trainers put in place of captions that they drop: the one that the training set
names.
"""

from typing import TYPE_CHECKING, NamedTuple

from hf_assets.errors import StoreError
from hf_assets.export.view import View

if TYPE_CHECKING:
    import torch


class Embed(NamedTuple):
    """An embed under its key: the tensors by the pipeline's names, without a batch axis."""

    key: str
    tensors: "dict[str, torch.Tensor]"


def empty_caption(view: View) -> Embed:
    """What the training set's text encoders give no caption at all.

    Raises:
        StoreError: it has none.
    """
    if not view.training.has_empty_caption:
        id = view.recipe.id
        raise StoreError(
            f"the training set of {id} has no embed of the empty caption, which this trainer needs: materialize "
            f"text_embeds and training_set again, with `hf-assets run {id}`"
        )
    return Embed(view.table["empty_caption_key"][0].as_py(), view.training.empty_caption())

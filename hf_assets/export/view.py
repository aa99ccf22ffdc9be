"""What an export reads: one training set as it is now, its tensors, and what made them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from hf_assets import folder
from hf_assets.config.recipe import Recipe
from hf_assets.encode.revisions import hash_cache
from hf_assets.errors import ModelError, StoreError
from hf_assets.models.components import text_fingerprint, vae_fingerprint
from hf_assets.models.pipeline import Pipeline, resolve_pipeline
from hf_assets.store import shards
from hf_assets.store.table_file import facts_of
from hf_assets.store.tensors import shard_name

if TYPE_CHECKING:
    from hf_assets.store.tensor_reader import TensorReader
    from hf_assets.training.training_set import TrainingSet

# Columns of a training set that say where a sample lies now, and not what it is.
PLACED = ("row", "file", "source_path", "captions", "latent_key", "latent_shape", "embed_keys", "empty_caption_key")
# Rows that are Python objects at a time.
BATCH_ROWS = 4096


class View(NamedTuple):
    """A training set.

    Attributes:
        version: its data version.
    """

    recipe: Recipe
    training: "TrainingSet"
    version: str

    @property
    def table(self) -> pa.Table:
        return self.training.table

    def rows(self, *columns: str) -> Iterator[dict[str, Any]]:
        """Some columns of each sample, and its `index`; Python objects exist for one batch at a time."""
        chosen = self.table.select(list(dict.fromkeys(columns)))
        index = 0
        for start in range(0, len(chosen), BATCH_ROWS):
            for row in chosen.slice(start, BATCH_ROWS).to_pylist():
                yield {**row, "index": index}
                index += 1

    def pipeline(self) -> Pipeline:
        """The model that made the training set, which the config names.

        Raises:
            ModelError: it can't be found, or the config names another one by now.
        """
        recipe = self.recipe
        pipeline = resolve_pipeline(recipe.model.pipeline, hash_cache=hash_cache(recipe))
        for what, tensors, now in (
            ("latents", self.training.latents, vae_fingerprint(pipeline, recipe.model.latents)),
            ("embeds", self.training.embeds, text_fingerprint(pipeline)),
        ):
            if made_by(tensors).get("encoder", now) != now:
                raise ModelError(
                    f"the {what} of {recipe.id} are of another model, or of other settings, than its config names: "
                    f"materialize it again, with `hf-assets run {recipe.id}`"
                )
        return pipeline


def made_by(tensors: "TensorReader") -> dict[str, str]:
    """What the shard of the first of these tensors says of the encoder that made them (`encode.encoders.Header`)."""
    shard = tensors.places.shards[tensors.places.rows["shard"][0]]
    _, entries = shards.header(tensors.store.blobs, shard_name(shard))
    noted: dict[str, str] = entries.get(shards.METADATA, {})
    return noted


def version_of(recipe: Recipe) -> str:
    """The data version of a training set, for which its table needn't be read.

    Raises:
        StoreError: there is none.
    """
    facts = facts_of(folder.table(recipe.folders.metadata, "training_set"))
    if facts is None:
        raise StoreError(f"{recipe.id} has no training set yet: materialize it, with `hf-assets run {recipe.id}`")
    return facts.version


def open_view(recipe: Recipe) -> View:
    """Open a training set.

    Raises:
        StoreError: there is none, or it is damaged, or it has no captions by design.
    """
    if not recipe.model.pipeline.has_text:
        raise StoreError(f"{recipe.id} has no captions to export, since model.text is false: read it with TrainingSet")
    from hf_assets.training.training_set import TrainingSet

    while True:  # a run may publish another one while this one is opened
        version = version_of(recipe)
        training = TrainingSet.open(recipe.folders.metadata)
        if version_of(recipe) == version:
            return View(recipe, training, version)

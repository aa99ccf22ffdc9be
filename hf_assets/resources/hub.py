"""Access to datasets. There is no token here: `huggingface_hub` reads it from the environment by itself."""

from typing import Any

import dagster as dg

from hf_assets import folder
from hf_assets.config.recipe import Recipe
from hf_assets.encode import revisions
from hf_assets.encode.revisions import Revision
from hf_assets.sources.source import Source, source_of


class HubResource(dg.ConfigurableResource[Any]):
    """Opens datasets on the Hub (`HF_TOKEN` for private ones, `HF_ENDPOINT` for another Hub), or in local folders."""

    def source(self, recipe: Recipe) -> Source:
        """The source of a recipe's split."""
        return source_of(recipe.source, folder.sources(recipe.folders.metadata))

    def revision(self, recipe: Recipe) -> Revision:
        """The revision of a recipe's split, as it is now.

        Raises:
            DatasetError: it can't be found or read.
        """
        return revisions.of_snapshot(self.source(recipe).resolve())

"""The rows worth reading."""

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode import choosing
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.show import views
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("raw_dataset",), code_version=CODE_VERSIONS["filtered"](recipe))
    def filtered(context: dg.AssetExecutionContext, raw_dataset: TableFile) -> Step:
        """The rows that pass the filters. Each dropped one lies in `filtered_dropped.parquet` with its reason."""

        def make(basis: str) -> Made:
            shown = views.Filtered(recipe, Thumbnails(recipe))
            outcome = choosing.filtered(recipe, raw_dataset, basis, shown.add, say(context))
            return Made(outcome, as_metadata(shown.view()))

        return Step(make)

    return filtered

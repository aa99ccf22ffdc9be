"""The rows worth reading."""

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.show import views
from hf_assets.stages import filtering
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("raw_dataset",), code_version=CODE_VERSIONS["filtered"](recipe))
    def filtered(context: dg.AssetExecutionContext, raw_dataset: TableFile) -> Step:
        """The rows that pass the filters. Each dropped one lies in `filtered_dropped.parquet` with its reason."""

        def make() -> Made:
            rows = raw_dataset.read()
            for line in filtering.lacking(rows, recipe.filter):
                say(context)(line)
            judged = filtering.judge(rows, recipe.filter)
            kept, dropped = filtering.kept(judged), filtering.dropped(judged)
            view = views.filtered(recipe, Thumbnails(recipe), rows, dropped)
            return Made(Outcome(kept, dropped=dropped), as_metadata(view))

        return Step(make)

    return filtered

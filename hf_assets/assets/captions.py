"""The captions of the kept rows."""

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.show import views
from hf_assets.stages import captions as stage
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("filtered",), code_version=CODE_VERSIONS["captions"](recipe))
    def captions(context: dg.AssetExecutionContext, filtered: TableFile) -> Step:
        """The kept rows that have a caption, each with its captions. Rows without one are not encoded."""

        def make() -> Made:
            rows = filtered.read()
            table, without = stage.extract(rows, recipe.captions)
            view = views.captions(table, without, len(rows), len(stage.distinct(table)))
            return Made(Outcome(table, dropped=without), as_metadata(view))

        return Step(make)

    return captions

"""The captions of the kept rows."""

import dagster as dg

from hf_assets import folder
from hf_assets.config.recipe import Recipe
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.show import views
from hf_assets.stages import captions as stage
from hf_assets.store.draft import DraftTable
from hf_assets.store.spilling import DistinctTexts
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("filtered",), code_version=CODE_VERSIONS["captions"](recipe))
    def captions(context: dg.AssetExecutionContext, filtered: TableFile) -> Step:
        """The kept rows that have a caption, each with its captions. Rows without one are not encoded."""

        def make() -> Made:
            root = recipe.folders.metadata
            table, dropped = DraftTable(folder.table(root, "captions")), DraftTable(folder.dropped(root, "captions"))
            shown = views.Captions()
            with DistinctTexts() as distinct:
                for rows in filtered.tables():
                    captioned, without = stage.extract(rows, recipe.captions)
                    table.add(captioned)
                    dropped.add(without)
                    shown.add(captioned, without)
                    distinct.add(stage.distinct(captioned))
                return Made(Outcome(table, dropped=dropped), as_metadata(shown.view(distinct.count())))

        return Step(make)

    return captions

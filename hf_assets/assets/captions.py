"""The captions of the kept rows."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe
from hf_assets.encode import choosing
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.show import views
from hf_assets.stages import captions as stage
from hf_assets.store.spilling import DistinctTexts
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("filtered",), code_version=CODE_VERSIONS["captions"](recipe))
    def captions(context: dg.AssetExecutionContext, filtered: TableFile) -> Step:
        """The kept rows that have a caption, each with its captions. Rows without one are not encoded."""

        def make(basis: str) -> Made:
            shown = views.Captions()
            with DistinctTexts() as distinct:

                def show(captioned: pa.Table, without: pa.Table) -> None:
                    shown.add(captioned, without)
                    distinct.add(stage.distinct(captioned))

                outcome = choosing.captions(recipe, filtered, basis, show)
                return Made(outcome, as_metadata(shown.view(distinct.count())))

        return Step(make)

    return captions

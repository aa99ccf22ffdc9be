"""The captions of the kept rows."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode.outcome import Outcome
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import result
from hf_assets.show import views
from hf_assets.stages import captions as stage


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("filtered",), code_version=code_version(stage.VERSION, recipe.captions))
    def captions(context: dg.AssetExecutionContext, filtered: pa.Table) -> dg.MaterializeResult[pa.Table]:
        """The kept rows that have a caption, each with its captions. Rows without one are not encoded."""
        table, without = stage.extract(filtered, recipe.captions)
        view = views.captions(table, without, len(filtered), len(stage.distinct(table)))
        return result(context, recipe, Outcome(table, dropped=without), as_metadata(view))

    return captions

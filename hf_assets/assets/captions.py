"""The captions of the kept rows."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode.outcome import Outcome
from hf_assets.orchestrate.lineage import require_matching_inputs
from hf_assets.orchestrate.metadata import shown
from hf_assets.orchestrate.results import fail_in_one_line, result
from hf_assets.resources.tables import FOLDER
from hf_assets.show import views
from hf_assets.stages import captions as stage


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix=recipe.key_prefix,
        group_name=recipe.group,
        ins={"filtered": dg.AssetIn(recipe.key("filtered"))},
        code_version=code_version(stage.VERSION, recipe.captions),
        metadata={FOLDER: str(recipe.folders.metadata)},
        io_manager_key=recipe.resource("tables"),
        kinds={"arrow"},
        owners=list(recipe.owners),
    )
    @fail_in_one_line
    @require_matching_inputs
    def captions(context: dg.AssetExecutionContext, filtered: pa.Table) -> dg.MaterializeResult[pa.Table]:
        """The kept rows that have a caption, each with its captions. Rows without one are not encoded."""
        table, without = stage.extract(filtered, recipe.captions)
        view = views.captions(table, without, len(filtered), len(stage.distinct(table)))
        return result(context, recipe, Outcome(table, dropped=without), shown(view))

    return captions

"""The rows worth reading."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode.outcome import Outcome
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import result
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.show import views
from hf_assets.stages import filtering


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("raw_dataset",), code_version=code_version(filtering.VERSION, recipe.filter))
    def filtered(context: dg.AssetExecutionContext, raw_dataset: pa.Table) -> dg.MaterializeResult[pa.Table]:
        """The rows that pass the filters. Each dropped one lies in `filtered_dropped.parquet` with its reason."""
        judged = filtering.judge(raw_dataset, recipe.filter)
        kept, dropped = filtering.kept(judged), filtering.dropped(judged)
        return result(
            context,
            recipe,
            Outcome(kept, dropped=dropped),
            as_metadata(views.filtered(recipe, Thumbnails(recipe), raw_dataset, dropped)),
        )

    return filtered

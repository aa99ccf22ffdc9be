"""The rows worth reading."""

import dagster as dg

from hf_assets import folder
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
from hf_assets.store.draft import DraftTable
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(recipe, inputs=("raw_dataset",), code_version=CODE_VERSIONS["filtered"](recipe))
    def filtered(context: dg.AssetExecutionContext, raw_dataset: TableFile) -> Step:
        """The rows that pass the filters. Each dropped one lies in `filtered_dropped.parquet` with its reason."""

        def make() -> Made:
            root = recipe.folders.metadata
            kept, dropped = DraftTable(folder.table(root, "filtered")), DraftTable(folder.dropped(root, "filtered"))
            shown = views.Filtered(recipe, Thumbnails(recipe))
            seen = filtering.Lacking(recipe.filter)
            for judged in filtering.judge_tables(raw_dataset.tables, recipe.filter):
                seen.add(judged)
                kept.add(filtering.kept(judged))
                without = filtering.dropped(judged)
                dropped.add(without)
                shown.add(judged, without)
            for line in seen.lines():
                say(context)(line)
            return Made(Outcome(kept, dropped=dropped), as_metadata(shown.view()))

        return Step(make)

    return filtered

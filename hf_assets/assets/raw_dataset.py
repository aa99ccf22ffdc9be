"""The rows of a split."""

import dagster as dg
import pyarrow as pa

from hf_assets import folder
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode import revisions
from hf_assets.encode.outcome import Outcome
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.observations import record_used
from hf_assets.orchestrate.results import result
from hf_assets.resources.hub import HubResource
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns


def build(recipe: Recipe) -> dg.AssetsDefinition:
    wanted = WantedColumns(recipe.media_column, recipe.required_columns, recipe.optional_columns)

    @stage_asset(
        recipe,
        revisions=[revisions.DATASET],
        code_version=code_version(rows.VERSION, recipe.source, *map(str, wanted)),
        kinds=("huggingface", "arrow"),
    )
    def raw_dataset(context: dg.AssetExecutionContext, hub: HubResource) -> dg.MaterializeResult[pa.Table]:
        """Every row of the split: where its bytes lie, and the columns that the config names. Media are not read."""
        if recipe.trainer:
            context.log.info(
                f"for the trainer only, without effect on what is made: {', '.join(sorted(recipe.trainer))}"
            )
        source = hub.source(recipe)
        snapshot = source.resolve()
        read = rows.read(source, snapshot, wanted, folder.columns(recipe.folders.metadata), context.log.info)
        outcome = Outcome(
            read.table, computed=read.computed, reused=len(read.table) - read.computed, bytes_read=read.bytes_read
        )
        tags = record_used(context, recipe, {revisions.DATASET: revisions.of_snapshot(snapshot)})
        metadata = {"revision": snapshot.commit, "files": len(snapshot.files)}
        return result(context, recipe, outcome, metadata, read.version, tags)

    return raw_dataset

"""The rows of a split."""

import dagster as dg

from hf_assets import folder
from hf_assets.config.recipe import Recipe
from hf_assets.encode import revisions, versions
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.versions import CODE_VERSIONS, wanted_columns
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.observations import record_used
from hf_assets.orchestrate.results import Made, Step
from hf_assets.resources.hub import HubResource
from hf_assets.sources import rows
from hf_assets.store.draft import DraftTable


def build(recipe: Recipe) -> dg.AssetsDefinition:
    wanted = wanted_columns(recipe)

    @stage_asset(
        recipe,
        revisions=[revisions.DATASET],
        code_version=CODE_VERSIONS["raw_dataset"](recipe),
        kinds=("huggingface", "parquet"),
    )
    def raw_dataset(context: dg.AssetExecutionContext, hub: HubResource) -> Step:
        """Every row of the split: where its bytes lie, and the columns that the config names. Media are not read."""
        if recipe.trainer:
            say(context)(f"for the trainer only, without effect on what is made: {', '.join(sorted(recipe.trainer))}")
        source = hub.source(recipe)
        snapshot = source.resolve()

        def make(basis: str) -> Made:
            root = recipe.folders.metadata
            scan = rows.Scan(source, snapshot, wanted, folder.columns(root), say(context), recipe.key_of_column)
            # nothing that is made of a row follows from its file's name
            table = DraftTable(folder.table(root, "raw_dataset"), by_row=True, but=["file_path"])
            for some in scan.tables():
                table.add(some)
            outcome = Outcome(
                table,
                computed=scan.computed,
                reused=table.num_rows - scan.computed,
                quarantined=scan.faults,
                bytes_read=scan.bytes_read,
                rests=scan.rests,
            )
            return Made(outcome, {"revision": snapshot.commit, "files": len(snapshot.files)}, scan.version)

        tags = record_used(context, recipe, {revisions.DATASET: revisions.of_snapshot(snapshot)})
        return Step(make, follows_from=versions.of_split(recipe, snapshot), tags=tags)

    return raw_dataset

"""What other trainers read: an asset for each export that the config asks for."""

import dagster as dg
import pyarrow as pa

from hf_assets import folder
from hf_assets.config.export_rules import ExportRules
from hf_assets.config.recipe import Recipe
from hf_assets.encode.outcome import Outcome
from hf_assets.export import exporting
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.results import Made, Step
from hf_assets.store.draft import DraftTable
from hf_assets.store.memo import with_files
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> list[dg.AssetsDefinition]:
    return [_build(recipe, rules) for rules in recipe.exports]


def _build(recipe: Recipe, rules: ExportRules) -> dg.AssetsDefinition:
    def export(context: dg.AssetExecutionContext, training_set: TableFile) -> Step:
        """The training set as another trainer reads it. Only what changed is written."""

        def make(basis: str) -> Made:
            done = exporting.export(recipe, rules, say(context))
            table = pa.table({name: [str(getattr(done, name))] for name in ("format", "version", "folder")})
            draft = DraftTable.of(folder.table(recipe.folders.metadata, f"export_{rules.format}"), table, identity=())
            outcome = Outcome(draft, computed=done.computed, reused=done.reused, rests=with_files((), done.files))
            counts = {name: getattr(done, name) for name in ("copied", "removed", "renamed", "bytes_written")}
            metadata = {"dagster/row_count": done.samples, "folder": dg.MetadataValue.path(str(done.folder)), **counts}
            return Made(outcome, metadata, done.version)

        return Step(make)

    export.__name__ = export.__qualname__ = f"export_{rules.format}"
    return stage_asset(
        recipe,
        inputs=("training_set",),
        code_version=exporting.code_version_of(recipe, rules),
        kinds=("parquet",),
    )(export)

"""What a trainer reads."""

import contextlib
import functools

import dagster as dg

from hf_assets import folder
from hf_assets.config.recipe import Recipe
from hf_assets.encode import embeds, made_with, versions
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.trainable import TrainingRows
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.show import full_report, views
from hf_assets.store import generations, layout
from hf_assets.store.memo import with_files
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile
from hf_assets.upkeep.maintenance import record_generation


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=("raw_dataset", "captions", "buckets", "vae_latents", "text_embeds"),
        code_version=CODE_VERSIONS["training_set"](recipe),
        kinds=("dataset", "parquet"),
    )
    def training_set(
        context: dg.AssetExecutionContext,
        raw_dataset: TableFile,
        captions: TableFile,
        buckets: TableFile,
        vae_latents: TableFile,
        text_embeds: TableFile,
    ) -> Step:
        """Every trainable sample with all that a trainer needs. Open it with `hf_assets.training.TrainingSet`."""

        def make(basis: str) -> Made:
            root = recipe.folders.metadata
            shown = full_report.rests(recipe)
            stores = layout.Stores(recipe.folders.latents, recipe.folders.embeds)
            path, inputs = folder.table(root, "training_set"), (captions, buckets, vae_latents, raw_dataset)
            with contextlib.ExitStack() as stack:
                remaking = stack.enter_context(Remaking(embeds.answered(text_embeds, basis), inputs, [path]))
                rows = stack.enter_context(
                    TrainingRows(
                        recipe,
                        functools.partial(remaking.tables, raw_dataset),
                        functools.partial(remaking.tables, captions),
                        functools.partial(remaking.tables, buckets),
                        functools.partial(remaking.tables, vae_latents),
                        text_embeds,
                    )
                )
                report = full_report.Report(recipe, remaking)
                seen = views.TrainingSet(recipe, remaking)
                table = rows.write(remaking, captions, report.add, seen.add)
                table.describe({**layout.to_metadata(stores, root), **made_with.to_metadata(recipe)})
                record_generation(recipe, rows.keys, table.version, table.pieces)
                view = seen.view(report.settle(table.pieces).sizes, rows.num_media)
                report.write(table.version)
            files = [generations.newest(root), full_report.path(recipe)]
            if "contact_sheet" in view.texts:
                files.append(folder.sheet(root, "training_set"))
            shown += (full_report.beside(recipe),)
            metadata = {
                "report": dg.MetadataValue.path(str(full_report.path(recipe))),
                **as_metadata(view),
            }
            return Made(Outcome(table, dropped=rows.num_incomplete, rests=with_files(shown, files)), metadata)

        return Step(make, follows_from=versions.of_training_set(recipe))

    return training_set

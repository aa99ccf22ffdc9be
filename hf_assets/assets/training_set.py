"""What a trainer reads."""

import dagster as dg

from hf_assets import fingerprint, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import versions
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.kinds.medium import medium_of
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.show import full_report, views
from hf_assets.stages import joining, naming
from hf_assets.store import generations, layout
from hf_assets.store.memo import with_files
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

        def make() -> Made:
            medium = medium_of(recipe)
            shown = full_report.rests(recipe)
            shapes = buckets.read()
            table, num_incomplete = joining.join(
                captions.read(),
                shapes,
                vae_latents.read(),
                text_embeds.read(),
                medium.extension,
                medium.training,
                has_text=recipe.model.pipeline.has_text,
            )
            table = naming.with_source_paths(table, raw_dataset.read(["row", schema.SOURCE_PATH.name]))
            stores = layout.Stores(recipe.folders.latents, recipe.folders.embeds)
            located = table.replace_schema_metadata(layout.to_metadata(stores, recipe.folders.metadata))
            version = fingerprint.of_table(located)
            record_generation(recipe, located, version)
            view = views.training_set(recipe, located, shapes)
            full_report.write(recipe, located, version)
            written = [generations.newest(recipe.folders.metadata), full_report.path(recipe)]
            if "contact_sheet" in view.texts:
                written.append(folder.sheet(recipe.folders.metadata, "training_set"))
            shown += (full_report.beside(recipe),)
            metadata = {
                "report": dg.MetadataValue.path(str(full_report.path(recipe))),
                **as_metadata(view),
            }
            return Made(Outcome(located, dropped=num_incomplete, rests=with_files(shown, written)), metadata, version)

        return Step(make, follows_from=versions.of_training_set(recipe))

    return training_set

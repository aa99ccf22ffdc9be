"""What a trainer reads."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode.outcome import Outcome
from hf_assets.kinds.medium import medium_of
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import result
from hf_assets.show import full_report, views
from hf_assets.stages import joining
from hf_assets.store import layout
from hf_assets.upkeep.maintenance import record_generation


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=("captions", "buckets", "vae_latents", "text_embeds"),
        code_version=code_version(joining.VERSION),
        kinds=("dataset", "arrow"),
    )
    def training_set(
        context: dg.AssetExecutionContext,
        captions: pa.Table,
        buckets: pa.Table,
        vae_latents: pa.Table,
        text_embeds: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """Every trainable sample with all that a trainer needs. Open it with `hf_assets.training.TrainingSet`."""
        medium = medium_of(recipe)
        table, num_incomplete = joining.join(
            captions, buckets, vae_latents, text_embeds, medium.extension, medium.training
        )
        stores = layout.Stores(recipe.folders.latents, recipe.folders.embeds)
        located = table.replace_schema_metadata(layout.to_metadata(stores, recipe.folders.metadata))
        made = result(
            context,
            recipe,
            Outcome(located, dropped=num_incomplete),
            {
                "folder": dg.MetadataValue.path(str(recipe.folders.metadata)),
                "report": dg.MetadataValue.path(str(full_report.path(recipe))),
                **as_metadata(views.training_set(located)),
            },
        )
        assert made.data_version is not None
        record_generation(recipe, located, made.data_version.value)
        full_report.write(recipe, located, made.data_version.value)
        return made

    return training_set

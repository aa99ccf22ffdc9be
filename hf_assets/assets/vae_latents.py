"""The latents."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode import latents, revisions
from hf_assets.encode.pins import pin
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.observations import record_model_used
from hf_assets.orchestrate.results import result
from hf_assets.resources.gpu import POOL, GpuResource
from hf_assets.resources.hub import HubResource
from hf_assets.show import views


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=("buckets", "raw_dataset"),
        revisions=[name for name in revisions.moving(recipe) if name == revisions.VAE],
        code_version=code_version(latents.version(recipe), recipe.media_column, recipe.model.without_text),
        pool=POOL,
        kinds=("pytorch", "arrow"),
    )
    def vae_latents(
        context: dg.AssetExecutionContext, buckets: pa.Table, raw_dataset: pa.Table, hub: HubResource, gpu: GpuResource
    ) -> dg.MaterializeResult[pa.Table]:
        """Each bucketed sample's latent: its key, and the shard that holds it.

        Only latents that the store lacks are computed.
        """
        models = pin(recipe, context.run.run_id)
        outcome, facts = latents.encode(
            models, buckets, raw_dataset, hub.source(recipe), gpu.hold_device, context.log.info
        )
        tags = record_model_used(context, recipe, revisions.VAE)
        return result(
            context, recipe, outcome, {**facts, **as_metadata(views.latents(recipe, outcome.table))}, tags=tags
        )

    return vae_latents

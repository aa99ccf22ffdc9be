"""The latents."""

import functools

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode import latents, revisions, versions
from hf_assets.encode.pins import pin
from hf_assets.encode.taken_over import TakenOver
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.observations import record_model_used
from hf_assets.orchestrate.results import Made, Step
from hf_assets.resources.gpu import POOL, GpuResource
from hf_assets.resources.hub import HubResource
from hf_assets.show import views
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=("buckets", "raw_dataset"),
        revisions=[name for name in revisions.moving(recipe) if name == revisions.VAE],
        code_version=CODE_VERSIONS["vae_latents"](recipe),
        pool=POOL,
        kinds=("pytorch", "parquet"),
    )
    def vae_latents(
        context: dg.AssetExecutionContext,
        buckets: TableFile,
        raw_dataset: TableFile,
        hub: HubResource,
        gpu: GpuResource,
    ) -> Step:
        """Each bucketed sample's latent: its key, and the shard that holds it.

        Only latents that the store lacks are computed.
        """
        models = pin(recipe, context.run.run_id)
        encoder = latents.vae_of(models)

        def make(basis: str) -> Made:
            before = TakenOver(recipe.folders.metadata, latents.STAGE, "latent_key", basis, [buckets])
            with before.remaking as remaking:
                outcome, facts, least, _ = latents.encode(
                    models,
                    functools.partial(remaking.tables, buckets),
                    raw_dataset.tables,
                    hub.source(recipe),
                    gpu.hold_device,
                    say(context),
                    encoder,
                    before,
                )
            return Made(outcome, {**facts, **as_metadata(views.latents(recipe, least))})

        return Step(
            make,
            follows_from=versions.of_latents(encoder),
            tags=record_model_used(context, recipe, revisions.VAE),
            in_use=functools.partial(TensorStore(recipe.folders.latents).in_use, recipe.folders.metadata),
        )

    return vae_latents

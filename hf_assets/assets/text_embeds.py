"""The captions' embeds."""

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe, code_version
from hf_assets.encode import embeds, revisions
from hf_assets.encode.pins import pin
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.observations import record_model_used
from hf_assets.orchestrate.results import result
from hf_assets.resources.gpu import POOL, GpuResource
from hf_assets.show import views


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=embeds.inputs(recipe),
        revisions=[name for name in revisions.moving(recipe) if name == revisions.TEXT],
        code_version=code_version(embeds.VERSION, recipe.model.without_vae),
        pool=POOL,
        kinds=("pytorch", "arrow"),
    )
    def text_embeds(
        context: dg.AssetExecutionContext, gpu: GpuResource, **tables: pa.Table
    ) -> dg.MaterializeResult[pa.Table]:
        """Each distinct caption's embed: its key, and the shard that holds it.

        Only embeds that the store lacks are computed.
        """
        models = pin(recipe, context.run.run_id)
        captions = tables["captions"]
        outcome, facts = embeds.encode(models, captions, tables.get("buckets"), gpu.hold_device, context.log.info)
        view = views.embeds(recipe, captions, outcome.table, facts["bytes_stored"])
        tags = record_model_used(context, recipe, revisions.TEXT)
        return result(context, recipe, outcome, {**facts, **as_metadata(view)}, tags=tags)

    return text_embeds

"""The captions' embeds."""

import functools

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode import embeds, encoders, revisions, versions
from hf_assets.encode.pins import pin
from hf_assets.encode.taken_over import TakenOver
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.observations import record_model_used
from hf_assets.orchestrate.results import Made, Step
from hf_assets.previews.token_counts import Counted
from hf_assets.resources.gpu import POOL, GpuResource
from hf_assets.show import views
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=embeds.inputs(recipe),
        revisions=[name for name in revisions.moving(recipe) if name == revisions.TEXT],
        code_version=CODE_VERSIONS["text_embeds"](recipe),
        pool=POOL,
        kinds=("pytorch", "parquet"),
    )
    def text_embeds(context: dg.AssetExecutionContext, gpu: GpuResource, **tables: TableFile) -> Step:
        """Each distinct caption's embed: its key, and the shard that holds it.

        Only embeds that the store lacks are computed.
        """
        models = pin(recipe, context.run.run_id)
        encoder = encoders.text_of(models, embeds.VERSION)

        def make(basis: str) -> Made:
            counted = Counted(recipe.folders.metadata)
            inputs = [tables[name] for name in embeds.inputs(recipe)]
            before = TakenOver(recipe.folders.metadata, embeds.STAGE, "embed_key", basis, inputs, in_a_row=True)
            with before.remaking as remaking:
                captions, *buckets = (functools.partial(remaking.tables, one) for one in inputs)
                outcome, facts, _, num_captions = embeds.encode(
                    models,
                    captions,
                    buckets[0] if buckets else None,
                    gpu.hold_device,
                    say(context),
                    encoder,
                    counted.add,
                    before,
                )
            num_embeds, stored_bytes = outcome.table.num_rows, facts["bytes_stored"]
            view = views.embeds(recipe, num_captions, counted.num_captions, num_embeds, stored_bytes, counted)
            return Made(outcome, {**facts, **as_metadata(view)})

        return Step(
            make,
            follows_from=versions.of_embeds(models, encoder),
            tags=record_model_used(context, recipe, revisions.TEXT),
            in_use=functools.partial(TensorStore(recipe.folders.embeds).in_use, recipe.folders.metadata),
        )

    return text_embeds

"""What is taken of each row's media, and in which shape it is encoded."""

import dagster as dg
import pyarrow as pa

from hf_assets import draw
from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing
from hf_assets.encode.pins import pin
from hf_assets.kinds.medium import medium_of
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import result
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.resources.gpu import GpuResource
from hf_assets.resources.hub import HubResource
from hf_assets.show import views


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe, inputs=("captions", "raw_dataset"), side_tables=("filtered",), code_version=bucketing.version(recipe)
    )
    def buckets(
        context: dg.AssetExecutionContext, captions: pa.Table, raw_dataset: pa.Table, hub: HubResource, gpu: GpuResource
    ) -> dg.MaterializeResult[pa.Table]:
        """The captioned media: content hash, size, target size, crop and bucket.

        Of an image only the header is decoded, and that once in its life.
        """
        # What a VAE can be given decides how much of a clip is taken: then as this run's model says.
        bound = pin(recipe, context.run.run_id) if medium_of(recipe).reads_model else recipe
        outcome = bucketing.assign(bound, captions, raw_dataset, hub.source(recipe), gpu.threads, context.log.info)
        funnel = draw.funnel(len(captions), outcome.dropped, outcome.quarantined)
        thumbnails = Thumbnails(recipe)
        view = views.buckets(recipe, thumbnails, raw_dataset, outcome.table, funnel)
        rows = views.rows_judged(recipe, thumbnails, raw_dataset, bucketing.dropped_by_filters(recipe))
        return result(context, recipe, outcome, {**outcome.facts, **as_metadata(view), **as_metadata(rows)})

    return buckets

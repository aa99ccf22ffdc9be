"""What is taken of each row's media, and in which shape it is encoded."""

import functools

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing, versions
from hf_assets.encode.pins import pin, pins_of
from hf_assets.encode.versions import CODE_VERSIONS
from hf_assets.kinds.medium import medium_of
from hf_assets.media import memory
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.logs import say
from hf_assets.orchestrate.metadata import as_metadata
from hf_assets.orchestrate.results import Made, Step
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.resources.gpu import GpuResource
from hf_assets.resources.hub import HubResource
from hf_assets.show import views
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile


def build(recipe: Recipe) -> dg.AssetsDefinition:
    @stage_asset(
        recipe,
        inputs=("captions", "raw_dataset"),
        side_tables=("filtered",),
        code_version=CODE_VERSIONS["buckets"](recipe),
    )
    def buckets(
        context: dg.AssetExecutionContext,
        captions: TableFile,
        raw_dataset: TableFile,
        hub: HubResource,
        gpu: GpuResource,
    ) -> Step:
        """The captioned media: content hash, size, target size, crop and bucket.

        Of an image only the header is decoded, and that once in its life.
        """
        # What a VAE can be given decides how much of a clip is taken: then as this run's model says.
        reads_model, run_id = medium_of(recipe).reads_model, context.run.run_id
        bound = pin(recipe, run_id) if reads_model else recipe

        def make(basis: str) -> Made:
            memory.DECODING.resize(gpu.decode_mb << 20)
            thumbnails = Thumbnails(recipe)
            shown = views.Buckets(recipe, thumbnails)
            paths = bucketing.output_paths(recipe.folders.metadata)
            with Remaking(basis, [captions, raw_dataset], paths) as remaking:
                outcome = bucketing.assign(
                    bound,
                    functools.partial(remaking.tables, captions),
                    functools.partial(remaking.tables, raw_dataset),
                    hub.source(recipe),
                    gpu.threads,
                    say(context),
                    thumbnails,
                    shown.add,
                    bucketing.Before(remaking, captions, raw_dataset),
                )
            num_failed = 0 if outcome.quarantined is None else len(outcome.quarantined)
            judged = views.FilteredSheet(recipe, thumbnails)
            for place in bucketing.judged(recipe, raw_dataset.tables):
                judged.add(place)
            seen = as_metadata(shown.view(num_failed)), as_metadata(judged.view())
            return Made(outcome, {**outcome.facts, **seen[0], **seen[1]})

        model = versions.of_model(pins_of(recipe, run_id)) if reads_model else None
        return Step(make, follows_from=model)

    return buckets

"""What lies outside: a dataset and its models, as they are now."""

import warnings
from collections.abc import Callable

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode import revisions
from hf_assets.encode.revisions import Revision
from hf_assets.hub import api
from hf_assets.orchestrate.catalogue import tags_of
from hf_assets.orchestrate.observations import facts
from hf_assets.orchestrate.prefixes import with_resource_prefix
from hf_assets.orchestrate.results import fail_in_one_line
from hf_assets.resources.hub import HubResource


def build(recipe: Recipe) -> list[dg.SourceAsset]:
    """The dataset's revision, and those of the sides of the model that no commit sha pins."""
    built = [_dataset(recipe)]
    sides = {revisions.VAE: "VAE", revisions.TEXT: "text encoders and tokenizers"}
    return [*built, *(_model(recipe, name, sides[name]) for name in revisions.moving(recipe) if name in sides)]


def _dataset(recipe: Recipe) -> dg.SourceAsset:
    description = (
        f"The files of split `{recipe.source.split}` of `{recipe.source.dataset_name}`, as they are now. "
        "Observe it to see whether they changed."
    )

    def hub_revision(hub: HubResource) -> dg.ObserveResult:
        with api.fresh():
            return _observation(hub.revision(recipe))

    return _source(recipe, revisions.DATASET, description, hub_revision)


def _model(recipe: Recipe, name: str, title: str) -> dg.SourceAsset:
    pipeline = recipe.model.pipeline
    repository = pipeline.vae.repository if pipeline.vae and name == revisions.VAE else pipeline.repository
    description = f"The {title} of `{repository}`, as they are now. Observe it to see whether they changed."

    def model_revision() -> dg.ObserveResult:
        with api.fresh():
            return _observation(revisions.of_model(recipe, name))

    return _source(recipe, name, description, model_revision)


def _observation(revision: Revision) -> dg.ObserveResult:
    return dg.ObserveResult(data_version=dg.DataVersion(revision.version), metadata=facts(revision))


def _source(recipe: Recipe, name: str, description: str, look: Callable[..., dg.ObserveResult]) -> dg.SourceAsset:
    with warnings.catch_warnings():
        # `observable_source_asset` is the only kind whose observations make what is below it stale and fresh again.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.observable_source_asset(
            key=dg.AssetKey(recipe.key(name)),
            group_name=recipe.group,
            description=description,
            tags={"dagster/kind/huggingface": "", **tags_of(recipe, name)},
            metadata={"owners": ", ".join(recipe.owners)} if recipe.owners else None,  # it takes none
        )(with_resource_prefix(recipe.resource_prefix)(fail_in_one_line(look)))

"""The revision of a dataset, as it is on the Hub now."""

import warnings

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.resources.hub import HubResource


def build(recipe: Recipe) -> dg.AssetsDefinition:
    with warnings.catch_warnings():
        # `observable_source_asset` is the only kind whose observations make what is below it stale and fresh again.
        warnings.simplefilter("ignore", dg.BetaWarning)

        @dg.observable_source_asset(
            key=dg.AssetKey([recipe.id, "hub_revision"]),
            group_name=recipe.group,
            description=(
                f"The files of split `{recipe.source.split}` of `{recipe.source.dataset_name}`, as they are now. "
                "Observe it to see whether they changed."
            ),
            tags={"dagster/kind/huggingface": ""},
        )
        def hub_revision(hub: HubResource) -> dg.ObserveResult:
            snapshot = hub.source(recipe).resolve()
            return dg.ObserveResult(
                data_version=dg.DataVersion(snapshot.fingerprint),
                metadata={"revision": snapshot.commit, "files": len(snapshot.files)},
            )

    return hub_revision  # type: ignore[return-value]

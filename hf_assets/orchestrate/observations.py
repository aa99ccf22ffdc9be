"""What lies outside, as Dagster knows it: observations of revisions, and which of them a result was made from."""

from collections.abc import Mapping

import dagster as dg

from hf_assets.config.recipe import Recipe
from hf_assets.encode.pins import pins_of
from hf_assets.encode.revisions import Revision

# Tags of Dagster's events, by which it decides what is stale.
DATA_VERSION = "dagster/data_version"
INPUT_DATA_VERSION = "dagster/input_data_version"


def observation(recipe: Recipe, name: str, revision: Revision) -> dg.AssetObservation:
    """That a revision is what lies outside now."""
    return dg.AssetObservation(
        asset_key=recipe.key(name), metadata=facts(revision), tags={DATA_VERSION: revision.version}
    )


def facts(revision: Revision) -> dict[str, str | int]:
    """What an observation shows."""
    return {**({"revision": revision.commit} if revision.commit else {}), "files": revision.num_files}


def record_used(context: dg.AssetExecutionContext, recipe: Recipe, revisions: Mapping[str, Revision]) -> dict[str, str]:
    """Record as observations which revisions a run used, by the name of their assets.

    Dagster takes an input's version when a step starts: the last one that was observed, or none. What the step then
    finds outside may be newer, and would be marked as not yet used as soon as somebody observes it.

    Returns:
        Tags for the materialization that was made from them.
    """
    for name, revision in revisions.items():
        context.log_event(observation(recipe, name, revision))
    return {
        f"{INPUT_DATA_VERSION}/{dg.AssetKey(recipe.key(name)).to_user_string()}": revision.version
        for name, revision in revisions.items()
    }


def record_model_used(context: dg.AssetExecutionContext, recipe: Recipe, side: str) -> dict[str, str]:
    """The same for the side of the model that this run has pinned; nothing where a commit sha pins it for good."""
    revisions = pins_of(recipe, context.run.run_id).revisions
    return record_used(context, recipe, {side: revisions[side]} if side in revisions else {})

"""What Dagster's catalogue says of an asset beside what it does: tags, freshness, where it is configured, a picture."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hf_assets.config.config_file import Refresh
from hf_assets.config.cron import longest_gap
from hf_assets.config.loading import Place
from hf_assets.config.recipe import Recipe
from hf_assets.draw import sheets
from hf_assets.show import views

# So many scheduled runs may fail before an asset counts as out of date.
MISSED_RUNS = 2
LONGEST_TAG = 63
# The asset whose page begins with a picture, and whose sheet that is: of the first that has one.
PICTURED, SHEETS = "training_set", ("training_set", "buckets")


def tags_of(recipe: Recipe, stage: str) -> dict[str, str]:
    """For selections: `tag:"stage"="buckets"`. Of a model, the name without its owner."""
    pipeline = recipe.model.pipeline.repository.rstrip("/").rpartition("/")[2]
    return {"dataset": _tag("/".join(recipe.key_prefix)), "model": _tag(pipeline), "stage": stage}


def catalogued(
    assets: Sequence[dg.AssetsDefinition], recipe: Recipe, refresh: Refresh | None, place: Place
) -> list[dg.AssetsDefinition]:
    """The same assets with all of that.

    Args:
        place: of the dataset's entry in the config.
    """
    freshness = None
    if refresh is not None and refresh.cron is not None:
        freshness = dg.FreshnessPolicy.time_window(fail_window=MISSED_RUNS * longest_gap(refresh.cron))
    with warnings.catch_warnings():  # nobody can do anything about it
        warnings.simplefilter("ignore", dg.BetaWarning)
        local = dg.LocalFileCodeReference(file_path=str(place.file), line_number=place.line, label="config")
        more = {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[local])}

    def described(spec: dg.AssetSpec) -> dg.AssetSpec:
        stage = spec.key.path[-1]
        picture = _picture(recipe) if stage == PICTURED else ""
        return spec.replace_attributes(
            tags={**spec.tags, **tags_of(recipe, stage)},
            metadata={**spec.metadata, **more},
            description=f"{spec.description}{picture}",
            freshness_policy=freshness,
        )

    return [asset for asset in dg.map_asset_specs(described, assets) if isinstance(asset, dg.AssetsDefinition)]


def job(recipe: Recipe, keys: Sequence[dg.AssetKey]) -> Any:
    """All of one dataset, with its checks, in one process."""
    return dg.define_asset_job(
        f"materialize_{recipe.group.replace('/', '__')}",
        dg.AssetSelection.assets(*keys),
        description=f"Brings {'/'.join(recipe.key_prefix)} up to date: what did not change is not computed again.",
        tags={"dataset": _tag("/".join(recipe.key_prefix))},
        executor_def=dg.in_process_executor,
    )


def _picture(recipe: Recipe) -> str:
    """The last run's sheet, as Markdown; empty before the first, and where it would have to be fetched."""
    root = recipe.folders.metadata
    kept = (views.kept_sheet(root, name) for name in SHEETS) if isinstance(root, Path) else iter(())
    sheet = next((data for data in kept if data is not None), None)
    return "" if sheet is None else f"\n\n{sheets.inline(sheets.smaller(sheet), views.SHEETS[PICTURED])}"


def _tag(text: str) -> str:
    """As Dagster allows tags to be: ids that differ in other characters share one."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:LONGEST_TAG]

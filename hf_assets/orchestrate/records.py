"""What Dagster's history says about a dataset."""

import dagster as dg

from hf_assets.config.recipe import Recipe


def last_rows(context: dg.AssetCheckExecutionContext, recipe: Recipe) -> tuple[int, int | None]:
    """(rows of the split now, rows of it when the last training set was made); None: no training set was made yet."""
    raw, trained = (dg.AssetKey(recipe.key(name)) for name in ("raw_dataset", "training_set"))
    now = _rows(context, dg.AssetRecordsFilter(asset_key=raw))
    assert now is not None
    last = context.instance.fetch_materializations(trained, limit=1).records
    if not last:
        return now, None
    return now, _rows(context, dg.AssetRecordsFilter(asset_key=raw, before_timestamp=last[0].timestamp))


def pipeline_of(context: dg.AssetCheckExecutionContext, asset: dg.AssetKey) -> str | None:
    """Class of the pipeline whose encoder made an asset, as its last materialization says."""
    last = context.instance.fetch_materializations(asset, limit=1).records
    made = last[0].asset_materialization if last else None
    value = made.metadata.get("pipeline_class") if made is not None else None
    return None if value is None else str(value.value)


def _rows(context: dg.AssetCheckExecutionContext, wanted: dg.AssetRecordsFilter) -> int | None:
    found = context.instance.fetch_materializations(wanted, limit=1).records
    made = found[0].asset_materialization if found else None
    return None if made is None else int(str(made.metadata["dagster/row_count"].value))

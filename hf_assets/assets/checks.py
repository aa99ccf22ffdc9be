"""What must hold of a dataset's assets."""

import dagster as dg

from hf_assets import report
from hf_assets.config.recipe import Recipe
from hf_assets.resources.tables import quarantined


def build(recipe: Recipe) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(recipe.key("training_set")),
        blocking=True,
        description=f"At most {recipe.error_budget:.1%} of the wanted samples failed (`error_budget` in the config).",
    )
    def error_budget(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        failed = quarantined(recipe.folders.metadata)
        event = context.instance.get_latest_materialization_event(dg.AssetKey(recipe.key("training_set")))
        assert event is not None
        assert event.asset_materialization is not None
        num_trainable = int(event.asset_materialization.metadata["dagster/row_count"].value)
        num_failed = len(failed["row"].unique())
        num_wanted = num_failed + num_trainable
        share = num_failed / max(num_wanted, 1)
        verdict = (
            f"{num_failed:,} of {num_wanted:,} samples failed ({share:.1%}); the budget is {recipe.error_budget:.1%}"
        )
        if share > recipe.error_budget:
            context.log.error(
                f"{verdict}: mend them, or raise error_budget. See {recipe.folders.metadata}/*_quarantined.parquet"
            )
        return dg.AssetCheckResult(
            passed=share <= recipe.error_budget,
            severity=dg.AssetCheckSeverity.ERROR,
            description=verdict,
            metadata={"failed": num_failed, "share": share, "failures": dg.MetadataValue.md(report.failures(failed))},
        )

    return error_budget

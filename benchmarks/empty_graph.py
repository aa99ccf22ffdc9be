"""Seven assets and four checks that do nothing: what Dagster itself takes for a refresh (`benchmarks.plan_1m`)."""

import dagster as dg

NAMES = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")
AFTER = {
    "filtered": ["raw_dataset"],
    "captions": ["filtered"],
    "buckets": ["captions", "raw_dataset"],
    "vae_latents": ["buckets", "raw_dataset"],
    "text_embeds": ["captions"],
    "training_set": ["captions", "buckets", "vae_latents", "text_embeds"],
}


def _asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(name=name, key_prefix="empty", group_name="empty", deps=[["empty", one] for one in AFTER.get(name, [])])
    def nothing() -> None: ...

    return nothing


def _check(name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(name="nothing", asset=dg.AssetKey(["empty", name]), blocking=True)
    def nothing() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    return nothing


defs = dg.Definitions(
    assets=[_asset(name) for name in NAMES],
    executor=dg.in_process_executor,
    asset_checks=[_check(name) for name in ("raw_dataset", "vae_latents", "text_embeds", "training_set")],
)

"""What must hold of a dataset's assets, one step for each asset. Severity and limits are the config's."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg

from hf_assets import inert
from hf_assets.blobs import listings
from hf_assets.config.recipe import Recipe
from hf_assets.draw import columns
from hf_assets.encode.versions import release
from hf_assets.orchestrate.records import last_rows, pipeline_of
from hf_assets.orchestrate.results import fail_in_one_line
from hf_assets.upkeep import check_results, emptiness, reachability
from hf_assets.upkeep.check_results import CheckResult
from hf_assets.upkeep.known_results import known_or_new

# Looks at an asset that was just made; the key is that of the asset.
Look = Callable[[dg.AssetCheckExecutionContext, dg.AssetKey], list[CheckResult]]


def build(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """The checks of one dataset; those whose severity is `off` are left out."""
    checks = recipe.checks
    described = {
        "not_empty": "It has rows. If not, what left out all of them is named.",
        "hub_reached": "The Hub was reached for it, and nothing is taken as it was seen before an outage.",
        "shrink": f"At most {checks.shrink.at_most:.1%} of the rows are gone since the last training set was made.",
        "finite": "Sampled tensors can be read, are what was written, and hold no NaN or infinity.",
        "value_range": "Sampled latents hold no value that is far larger than what the model family has.",
        "cut_captions": f"Tokenizers cut at most {checks.cut_captions.at_most:.1%} of the captions.",
        "decode_back": f"Decoded latents look like their originals: at least {checks.decode_back.at_least_db:g} dB.",
        "coverage": "Each sample's latent and embeds are stored, in shards that are whole.",
        "duplicates": f"At most {checks.duplicates.at_most:.1%} of the samples have media that an earlier one has.",
        "error_budget": f"At most {recipe.error_budget:.1%} of the wanted samples failed (`error_budget`).",
    }

    def of(asset: str, names: tuple[str, ...], look: Look) -> Iterator[dg.AssetChecksDefinition]:
        is_local = not (asset in reachability.ASSETS and reachability.asked(recipe, asset))
        wanted = [
            name
            for name in names
            if getattr(checks, name).severity != "off" and not (name == reachability.NAME and is_local)
        ]
        if wanted:
            key = dg.AssetKey(recipe.key(asset))
            specs = [
                dg.AssetCheckSpec(
                    name,
                    asset=key,
                    blocking=getattr(checks, name).severity == "error",  # a warning stops nothing
                    description=described[name],
                )
                for name in wanted
            ]
            yield _check(recipe, f"{recipe.group.replace('/', '__')}__{asset}_checks", key, specs, look)

    return [
        *of(
            "raw_dataset",
            ("hub_reached", "shrink"),
            lambda context, key: [
                reachability.hub_reached(recipe, "raw_dataset"),
                *check_results.raw_dataset(recipe, *last_rows(context, recipe)),
            ],
        ),
        *(
            one
            for asset in ("filtered", "captions", "buckets")
            for one in of(asset, ("not_empty",), functools.partial(_is_empty, recipe, asset))
        ),
        *of(
            "vae_latents",
            ("hub_reached", "finite", "value_range", "decode_back"),
            lambda context, key: _latents(recipe, pipeline_of(context, key)),
        ),
        *of(
            "text_embeds",
            ("hub_reached", "finite", "cut_captions"),
            lambda context, key: [
                reachability.hub_reached(recipe, "text_embeds"),
                *known_or_new(recipe, "text_embeds", _settings(recipe), lambda: check_results.text_embeds(recipe)),
            ],
        ),
        *of(
            "training_set",
            ("not_empty", "coverage", "duplicates", "error_budget"),
            lambda context, key: known_or_new(
                recipe,
                "training_set",
                _settings(recipe),
                lambda: [emptiness.not_empty(recipe, "training_set"), *check_results.training_set(recipe)],
            ),
        ),
    ]


def _is_empty(
    recipe: Recipe, asset: str, context: dg.AssetCheckExecutionContext, key: dg.AssetKey
) -> list[CheckResult]:
    return [emptiness.not_empty(recipe, asset)]


def _latents(recipe: Recipe, pipeline: str | None) -> list[CheckResult]:
    settings = [*_settings(recipe), pipeline]
    found = known_or_new(recipe, "vae_latents", settings, lambda: check_results.vae_latents(recipe, pipeline))
    return [reachability.hub_reached(recipe, "vae_latents"), *found]


def _settings(recipe: Recipe) -> list[Any]:
    """What of the config decides whether a check passes, and what is said."""
    return [release(), recipe.checks.model_dump(mode="json"), recipe.error_budget, str(recipe.folders.metadata)]


def _check(
    recipe: Recipe, name: str, key: dg.AssetKey, specs: list[dg.AssetCheckSpec], look: Look
) -> dg.AssetChecksDefinition:
    @fail_in_one_line
    @listings.held()
    def results(context: dg.AssetCheckExecutionContext) -> list[dg.AssetCheckResult]:
        wanted = {check.name for check in context.selected_asset_check_keys}
        return [_result(context, recipe, key, result) for result in look(context, key) if result.name in wanted]

    @dg.multi_asset_check(name=name, specs=specs, can_subset=True)
    def checked(context: dg.AssetCheckExecutionContext) -> Iterable[dg.AssetCheckResult]:
        yield from results(context)

    return checked


def _result(
    context: dg.AssetCheckExecutionContext, recipe: Recipe, key: dg.AssetKey, result: CheckResult
) -> dg.AssetCheckResult:
    fails = getattr(recipe.checks, result.name).severity == "error"
    if not result.passed:
        log = context.log.error if fails else context.log.warning
        log(inert.text(f"{key.to_user_string()}, check {result.name}: {result.message}"))
    return dg.AssetCheckResult(
        passed=result.passed,
        asset_key=key,
        check_name=result.name,
        severity=dg.AssetCheckSeverity.ERROR if fails else dg.AssetCheckSeverity.WARN,
        description=inert.text(f"{result.message[0].upper()}{result.message[1:]}"),
        metadata={
            **{name: columns.short(value) for name, value in result.numbers.items()},
            **({"failures": dg.MetadataValue.md(result.table)} if result.table is not None else {}),
        },
    )

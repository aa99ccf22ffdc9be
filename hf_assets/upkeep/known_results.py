"""What came of an asset's checks, noted beside its table: who looks at the same again sees the same."""

from collections.abc import Callable
from typing import Any

from hf_assets import fingerprint
from hf_assets import folder as places
from hf_assets.config.recipe import Recipe
from hf_assets.errors import StoreError
from hf_assets.store import memo
from hf_assets.store.memo import Memo
from hf_assets.upkeep.check_results import CheckResult

# Of each asset whose checks read tables or stores: the tables that they, or what they name, lie in.
LOOKED_AT = {
    "vae_latents": ("vae_latents",),
    "text_embeds": ("text_embeds",),
    "training_set": ("training_set", "buckets", "vae_latents", "text_embeds"),
}
# The checks whose results follow from tables alone.
OF_TABLES = ("duplicates", "cut_captions")


def known_or_new(recipe: Recipe, asset: str, settings: Any, look: Callable[[], list[CheckResult]]) -> list[CheckResult]:
    """What came of an asset's checks: as it is noted, if nothing of what they look at has changed; else they look.

    What failed is looked at each time, since a store may be mended; but not what follows from tables alone, or is off.

    Args:
        settings: JSON of all that decides the results besides tables and stores.
    """
    folder, name = recipe.folders.metadata, f"{asset}_checks"
    before = _seen(recipe, asset, settings)
    known = memo.load(folder, name)
    if before is not None and known is not None and known.follows_from == before:
        return [CheckResult(**one) for one in known.facts["results"]]
    results = look()
    is_done = all(
        one.passed or one.name in OF_TABLES or getattr(recipe.checks, one.name).severity == "off" for one in results
    )
    if is_done and before is not None and before == _seen(recipe, asset, settings):
        try:
            memo.save(folder, name, Memo(before, {}, "", {}, (), {"results": [one._asdict() for one in results]}))
        except StoreError:  # it saves time only
            return results
    return results


def _seen(recipe: Recipe, asset: str, settings: Any) -> str | None:
    """Hash of what the checks look at; None where that isn't known for sure."""
    folder = recipe.folders.metadata
    identities = []
    for name in LOOKED_AT[asset]:
        noted = memo.load(folder, name)
        if noted is None or not noted.is_intact(folder):
            return None
        identities.append(noted.identity(folder))
    pictures = memo.states_of(places.decoded(folder)) if asset == "vae_latents" else {}
    return fingerprint.of_value([settings, identities, sorted(pictures.items())])

"""What came of an asset's checks, noted beside its table: who looks at the same again sees the same."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from hf_assets import fingerprint
from hf_assets import folder as places
from hf_assets.config.recipe import Recipe
from hf_assets.errors import StoreError
from hf_assets.store import memo, runs
from hf_assets.store.memo import Memo
from hf_assets.store.tensors import TensorStore
from hf_assets.upkeep.check_results import CheckResult

# Of each asset whose checks read tables or stores: the tables that they, or what they name, lie in.
LOOKED_AT = {
    "vae_latents": ("vae_latents",),
    "text_embeds": ("text_embeds",),
    "training_set": ("training_set", "buckets", "vae_latents", "text_embeds"),
}
# The checks whose results follow from tables alone; and those that follow from tables, and from what files the stores
# have: of these nothing but the index is read.
OF_TABLES = ("duplicates", "cut_captions")
OF_LISTED_FILES = ("not_empty", "coverage", "error_budget")


def known_or_new(recipe: Recipe, asset: str, settings: Any, look: Callable[[], list[CheckResult]]) -> list[CheckResult]:
    """What came of an asset's checks: as it is noted, if nothing of what they look at has changed; else they look.

    A failure that follows from tables, or is off, is known by the same; one that follows from the stores' files, by all
    of these files as well. Others are looked at each time: a damaged file may be mended and have the time that it had.

    Args:
        settings: JSON of all that decides the results besides tables and stores.
    """
    folder, name = recipe.folders.metadata, f"{asset}_checks"
    known, seen = memo.load(folder, name), _seen(recipe, asset, settings)
    noted = [] if known is None else [CheckResult(**one) for one in known.facts["results"]]
    if known is not None and known.follows_from in (seen, *_listed_for(recipe, asset, settings, noted)):
        return noted
    results = look()
    failed = _failed(recipe, results)
    basis = None
    if failed <= {*OF_TABLES}:
        basis = seen if seen == _seen(recipe, asset, settings) else None
    elif failed <= {*OF_TABLES, *OF_LISTED_FILES} and _is_index_whole(recipe):
        listed, results = _listed(recipe, asset, settings), look()  # what was there before they looked
        is_same = _failed(recipe, results) == failed and listed == _listed(recipe, asset, settings)
        basis = listed if is_same else None
    if basis is not None:
        with contextlib.suppress(StoreError):  # it saves time only
            memo.save(folder, name, Memo(basis, {}, "", {}, (), {"results": [one._asdict() for one in results]}))
    return results


def _listed_for(recipe: Recipe, asset: str, settings: Any, noted: list[CheckResult]) -> Iterator[str]:
    """By what results that failed are known, where they can be known so."""
    if not _failed(recipe, noted) <= {*OF_TABLES}:
        yield _listed(recipe, asset, settings)


def _failed(recipe: Recipe, results: list[CheckResult]) -> set[str]:
    """Names of the checks that failed, but for those that are off."""
    return {one.name for one in results if not one.passed and getattr(recipe.checks, one.name).severity != "off"}


def _seen(recipe: Recipe, asset: str, settings: Any) -> str | None:
    """Hash of what the checks look at; None where that isn't known for sure."""
    folder = recipe.folders.metadata
    identities = []
    for name in LOOKED_AT[asset]:
        noted = memo.identified(folder, name)
        if noted is None or not noted[0].is_intact(folder):
            return None
        identities.append(noted[1])
    pictures = memo.states_of(places.decoded(folder)) if asset == "vae_latents" else {}
    # no other table follows from the rows that couldn't be read
    failures = memo.state_of(places.quarantined(folder, "raw_dataset")) if asset == "training_set" else None
    return fingerprint.of_value([settings, identities, sorted(pictures.items()), failures])


def _listed(recipe: Recipe, asset: str, settings: Any) -> str:
    """Hash of all tables, and of all files of the stores, by their sizes and times."""
    folders = recipe.folders
    stores = [TensorStore(folders.latents), TensorStore(folders.embeds)]
    inside = [one for store in stores for one in (store.folder, store.index_folder, store.index_folder / runs.FOLDER)]
    tables = {name: state for name, state in memo.states_of(folders.metadata).items() if name.endswith(places.SUFFIX)}
    files = [sorted(states.items()) for states in (tables, *map(memo.states_of, inside))]
    return fingerprint.of_value([settings, asset, files])


def _is_index_whole(recipe: Recipe) -> bool:
    """Whether all of it could be read."""
    folders = recipe.folders
    return all(TensorStore(store).open_index().is_whole() for store in (folders.latents, folders.embeds))

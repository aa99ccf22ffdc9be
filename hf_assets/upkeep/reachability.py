"""Whether the Hub was reached for what a dataset was made from: an outage never looks like fresh data."""

import os
from pathlib import Path

from hf_assets import folder
from hf_assets.config.recipe import Recipe
from hf_assets.hub import last_seen, model_repository
from hf_assets.upkeep.check_results import CheckResult

NAME = "hub_reached"
# The assets that ask the Hub by themselves.
ASSETS = ("raw_dataset", "vae_latents", "text_embeds")


def asked(recipe: Recipe, asset: str) -> list[tuple[str, str, str | None]]:
    """What an asset asks the Hub for: nothing where it reads folders and addresses."""
    if asset == "raw_dataset":
        name, revision = recipe.source.dataset_name, recipe.source.revision
        is_elsewhere = Path(name).is_absolute() or "://" in name
        return [] if is_elsewhere else [("dataset", name, revision)]
    pipeline = recipe.model.pipeline
    beside = pipeline.vae if asset == "vae_latents" else pipeline.t5
    sources = [(pipeline.repository, pipeline.revision)]
    if beside is not None:
        sources.append((beside.repository, beside.revision))
    return [model_repository.asked(*one) for one in sources if not Path(os.path.expanduser(one[0])).is_dir()]


def hub_reached(recipe: Recipe, asset: str) -> CheckResult:
    """Whether the last run reached the Hub for one of `ASSETS`, or went on from what was seen before."""
    lines = outages(recipe, [asset])
    if lines:
        return CheckResult(NAME, False, "; ".join(lines), {"missed": len(lines)})
    seen = [_seen(recipe, one) for one in asked(recipe, asset)]
    said = "; ".join(line for line in seen if line) or "the Hub isn't needed"
    return CheckResult(NAME, True, said, {"missed": 0})


def outages(recipe: Recipe, assets: list[str] | tuple[str, ...] = ASSETS) -> list[str]:
    """A line for all that is taken as it was seen last, since the Hub can't be reached."""
    if is_offline():
        return []
    memory = folder.sources(recipe.folders.metadata)
    wanted = dict.fromkeys(one for asset in assets for one in asked(recipe, asset))
    found = [last_seen.outage_of(memory, one) for one in wanted]
    return [
        f"the Hub wasn't reached since {_time(one.since)}: {one.subject} is taken at commit {one.commit}, as it was "
        f"seen {_time(one.seen_at)} ({one.reason})"
        for one in found
        if one is not None
    ]


def is_offline() -> bool:
    """Whether the user doesn't want the Hub to be asked."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _seen(recipe: Recipe, one: tuple[str, str, str | None]) -> str:
    seen = last_seen.recall(folder.sources(recipe.folders.metadata), one)
    if seen is None:
        return ""
    offline = ", HF_HUB_OFFLINE being set" if is_offline() else ""
    return f'{one[0]} "{one[1]}" at commit {seen.commit}, as it was seen {_time(seen.at)}{offline}'


def _time(iso: str) -> str:
    """2026-01-31 12:00 UTC."""
    return f"{iso[:10]} {iso[11:16]} UTC"

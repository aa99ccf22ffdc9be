"""Whether a run would find nothing to do, known without opening a table."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hf_assets.config.recipe import Recipe
from hf_assets.encode import embeds, encoders, latents, pins, versions
from hf_assets.errors import StoreError
from hf_assets.kinds.medium import medium_of
from hf_assets.sources.spec import Snapshot
from hf_assets.store import memo
from hf_assets.store.table_file import TableFile, recall

TRAINING_SET_INPUTS = ("raw_dataset", "captions", "buckets", "vae_latents", "text_embeds")


class LastRun(NamedTuple):
    """What the last run made, which another one would make again.

    Attributes:
        rows: of the split.
        latents, embeds: different ones that are stored, and used.
    """

    rows: int
    latents: int
    embeds: int


def last_run(recipe: Recipe, snapshot: Snapshot) -> LastRun | None:
    """The last run, if another one would compute nothing, and no sample has failed; else None."""
    graph: tuple[tuple[str, tuple[str, ...], Callable[[], Any]], ...] = (
        ("raw_dataset", (), lambda: versions.of_split(recipe, snapshot)),
        ("filtered", ("raw_dataset",), lambda: None),
        ("captions", ("filtered",), lambda: None),
        ("buckets", ("captions", "raw_dataset"), lambda: _model(recipe)),
        ("vae_latents", ("buckets", "raw_dataset"), lambda: versions.of_latents(latents.vae_of(recipe))),
        ("text_embeds", embeds.inputs(recipe), lambda: _texts(recipe)),
        ("training_set", TRAINING_SET_INPUTS, lambda: versions.of_training_set(recipe)),
    )
    folder = recipe.folders.metadata
    found = {}
    for name, inputs, beside in graph:
        if memo.load(folder, name) is None:
            return None
        basis = versions.follows_from(recipe, versions.CODE_VERSIONS[name](recipe), beside())
        try:
            known = recall(folder, name, basis, [TableFile(folder, one, f"{recipe.id}/{one}") for one in inputs])
        except StoreError:  # a run says which table is missing
            return None
        if known is None:
            return None
        found[name] = known.facts
    if found["vae_latents"]["quarantined"] or found["text_embeds"]["quarantined"]:
        return None
    return LastRun(found["raw_dataset"]["rows"], found["vae_latents"]["samples"], found["text_embeds"]["samples"])


def _model(recipe: Recipe) -> list[Any] | None:
    return versions.of_model(pins.resolve_pins(recipe)) if medium_of(recipe).reads_model else None


def _texts(recipe: Recipe) -> list[Any]:
    return versions.of_embeds(recipe, encoders.text_of(recipe, embeds.VERSION))

"""The commits of the models that one run uses: a branch that moves while a run goes on doesn't split it."""

import json
from contextlib import suppress
from typing import Any, NamedTuple

from hf_assets import blobs, folder
from hf_assets.config.recipe import Recipe
from hf_assets.encode import revisions
from hf_assets.encode.revisions import Revision
from hf_assets.errors import ModelError
from hf_assets.models.pipeline import ComponentSource, PipelineSource, resolve_pipeline


class Pins(NamedTuple):
    """What one run takes its models to be.

    Attributes:
        commits: of `pipeline` and, where others are given, `vae` and `t5`; None for a folder, which has none.
        revisions: of the sides that can move, as they were when the run looked.
    """

    commits: dict[str, str | None]
    revisions: dict[str, Revision]


def pin(recipe: Recipe, run_id: str) -> Recipe:
    """The recipe with its models' branches replaced by the commits that this run resolved first.

    Raises:
        ModelError: a model can't be found.
    """
    pins = pins_of(recipe, run_id)
    changes = {
        name: source.model_copy(update={"revision": pins.commits.get(name)})
        for name, source in _sources(recipe).items()
    }
    pipeline = changes.pop("pipeline")
    model = recipe.model.model_copy(update={"pipeline": pipeline.model_copy(update=changes)})
    return recipe.model_copy(update={"model": model})


def pins_of(recipe: Recipe, run_id: str) -> Pins:
    """What the run's first asset that asked found, the same for all that ask later.

    Raises:
        ModelError: a model can't be found.
    """
    path = folder.pins(recipe.folders.metadata, run_id)
    try:
        return _parse(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pins = resolve_pins(recipe)
    if not blobs.at(path.parent).put_if_absent(path.name, json.dumps(pins._asdict()).encode()):
        return _parse(json.loads(path.read_bytes()))  # another asset of this run was quicker
    return pins


def _sources(recipe: Recipe) -> dict[str, PipelineSource | ComponentSource]:
    pipeline = recipe.model.pipeline
    others = {"vae": pipeline.vae, "t5": pipeline.t5}
    return {"pipeline": pipeline, **{name: source for name, source in others.items() if source is not None}}


def resolve_pins(recipe: Recipe) -> Pins:
    """What a run would take the models to be if it looked now.

    Raises:
        ModelError: a model can't be found.
    """
    moving = revisions.moving(recipe)
    if revisions.VAE not in moving and revisions.TEXT not in moving:
        return Pins({name: source.revision for name, source in _sources(recipe).items()}, {})
    pipeline = resolve_pipeline(recipe.model.pipeline, hash_cache=revisions.hash_cache(recipe))
    commits = {"pipeline": pipeline.sha}
    if pipeline.vae_repository is not None:
        commits["vae"] = pipeline.vae_repository.sha
    if pipeline.t5_repository is not None:
        commits["t5"] = pipeline.t5_repository.sha
    found = {}
    for side in (side for side in (revisions.VAE, revisions.TEXT) if side in moving):
        with suppress(ModelError):  # the asset that needs this side says what is wrong with it
            found[side] = revisions.of_side(pipeline, side)
    return Pins(commits, found)


def _parse(content: dict[str, Any]) -> Pins:
    return Pins(content["commits"], {name: Revision(*revision) for name, revision in content["revisions"].items()})

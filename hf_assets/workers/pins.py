"""The commits of the models that one run uses: a branch that moves while a run goes on doesn't split it."""

import json
import re

from hf_assets.config.recipe import Recipe
from hf_assets.models.repository import resolve
from hf_assets.models.source import ComponentSource, PipelineSource


def pinned(recipe: Recipe, run_id: str) -> Recipe:
    """The recipe with its models' branches replaced by the commits that this run resolved first.

    Raises:
        ModelError: a model can't be found.
    """
    pipeline = recipe.model.pipeline
    sources: dict[str, PipelineSource | ComponentSource] = {"pipeline": pipeline}
    if pipeline.vae:
        sources["vae"] = pipeline.vae
    path = recipe.folders.metadata / "sources" / "pins" / f"{run_id}.json"
    try:
        commits: dict[str, str | None] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        commits = {name: _commit(source.repository, source.revision) for name, source in sources.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x") as file:
                file.write(json.dumps(commits))
        except FileExistsError:  # another asset of this run was quicker
            commits = json.loads(path.read_text())
    changes = {name: source.model_copy(update={"revision": commits.get(name)}) for name, source in sources.items()}
    vae = {"vae": changes["vae"]} if "vae" in changes else {}
    model = recipe.model.model_copy(update={"pipeline": changes["pipeline"].model_copy(update=vae)})
    return recipe.model_copy(update={"model": model})


def _commit(repository: str, revision: str | None) -> str | None:
    """The commit that a revision is now; None for a folder, which has none."""
    if revision and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    return resolve(repository, revision).sha

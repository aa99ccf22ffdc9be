"""What a dataset and its models are at this moment: looked at by the sensor, and by every run for what it uses."""

from pathlib import Path
from typing import NamedTuple

from hf_assets import fingerprint, folder
from hf_assets.config.recipe import Recipe
from hf_assets.hub import api
from hf_assets.models.components import PICKLED, t5_component, vae_component
from hf_assets.models.pipeline import INDEX, Pipeline, resolve_pipeline
from hf_assets.sources.spec import Snapshot

# Names of the assets that stand for what lies outside: each dataset has its own.
DATASET, VAE, TEXT = "hub_revision", "vae_revision", "text_revision"


class Revision(NamedTuple):
    """How something outside is at one moment.

    Attributes:
        version: changes when what is made from it may change, and not when only a README does.
        commit: commit sha; None for a folder.
    """

    version: str
    commit: str | None
    num_files: int


def moving(recipe: Recipe) -> tuple[str, ...]:
    """What can change without an edit of the config: all that no full commit sha pins."""
    pipeline = recipe.model.pipeline
    is_pinned = api.is_commit(pipeline.revision)
    is_text_pinned = is_pinned and (pipeline.t5 is None or api.is_commit(pipeline.t5.revision))
    is_vae_pinned = is_pinned and (pipeline.vae is None or api.is_commit(pipeline.vae.revision))
    is_text_pinned = is_text_pinned or not pipeline.has_text  # what isn't read can't move
    pinned = {DATASET: recipe.source.is_pinned, VAE: is_vae_pinned, TEXT: is_text_pinned}
    return tuple(name for name, is_fixed in pinned.items() if not is_fixed)


def of_snapshot(snapshot: Snapshot) -> Revision:
    """The revision of a split: its version is the content of its files."""
    return Revision(snapshot.fingerprint, snapshot.commit, len(snapshot.files))


def of_model(recipe: Recipe, side: str) -> Revision:
    """The revision of one side of a recipe's model, as it is now. Nothing but model_index.json is downloaded.

    Raises:
        ModelError: a model can't be found or read, or lacks this side.
    """
    return of_side(resolve_pipeline(recipe.model.pipeline, hash_cache=hash_cache(recipe)), side)


def of_side(pipeline: Pipeline, side: str) -> Revision:
    """The revision of one side of a pipeline: its version is the content of the files that it may be loaded from.

    Raises:
        ModelError: the pipeline lacks a VAE, or has one that isn't supported.
    """
    if side == VAE:
        hashes = vae_component(pipeline).hashes()
        commit = pipeline.sha if pipeline.vae_repository is None else pipeline.vae_repository.sha
    else:
        paths = sorted(path for path in pipeline.repository.paths if _is_of_text(pipeline, path))
        hashes = {path: pipeline.repository.hash(path) for path in paths}
        if pipeline.single_file is not None:
            hashes["single file"] = pipeline.single_file.hash
        if (t5 := t5_component(pipeline)) is not None:
            hashes |= {f"t5/{path}": digest for path, digest in t5.hashes().items()}
        commit = pipeline.sha
    return Revision(fingerprint.of_value({**hashes, INDEX: pipeline.repository.hash(INDEX)}), commit, len(hashes))


def hash_cache(recipe: Recipe) -> Path:
    """Where the hashes of a model folder's files are remembered."""
    return folder.model_hashes(recipe.folders.metadata)


def _is_of_text(pipeline: Pipeline, path: str) -> bool:
    """Whether the text side may read a file: which it does is known by importing diffusers only, which is slow."""
    folder, _, name = path.partition("/")
    library, _ = pipeline.components.get(folder, ("diffusers", ""))
    return name == "config.json" or (library != "diffusers" and bool(name) and not name.endswith(PICKLED))

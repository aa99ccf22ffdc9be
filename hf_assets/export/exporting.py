"""Export one dataset in one format: what is written, what is kept, and what came of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hf_assets import fingerprint
from hf_assets.config.export_rules import ExportRules
from hf_assets.config.recipe import Recipe
from hf_assets.errors import StoreError
from hf_assets.export import fastvideo_shards, opening, parquet_shards, simpletuner_cache, tar_shards
from hf_assets.export.job import Job
from hf_assets.export.place import Generation, Place
from hf_assets.export.view import open_view, version_of
from hf_assets.export.writing import Written
from hf_assets.hub import pushing
from hf_assets.hub.pushing import Pushed

# Bump when a change to this room changes what a generation holds.
VERSION = 3


class Exported(NamedTuple):
    """What came of an export.

    Attributes:
        version: of the generation: equal for equal content.
        folder: of the generation, which later exports leave as it is.
        samples: of the training set.
        computed, reused, copied: see `writing.Written`.
        removed: payloads that nothing names any more.
        renamed: names that are new, or of another payload than before.
        files: that say whether it is still so.
    """

    id: str
    format: str
    version: str
    folder: Path
    samples: int
    computed: int = 0
    reused: int = 0
    copied: int = 0
    removed: int = 0
    renamed: int = 0
    bytes_written: int = 0
    files: tuple[Path, ...] = ()


class Format(Protocol):
    """A module that knows one format.

    Attributes:
        VERSION: changes when a payload would come out differently.
        BESIDE: files that lie beside the datasets' folders.
    """

    VERSION: int
    BESIDE: tuple[str, ...]

    def make(self, job: Job) -> tuple[Generation, Written]:
        """Write what the pool lacks, and say what the dataset's folder is to hold."""
        ...

    def finish(self, place: Place, recipe: Recipe, version: str) -> list[Path]:
        """Write what lies beside the datasets' folders, where it isn't so already. Returns these files."""
        ...

    def reads(self, recipe: Recipe) -> Any:
        """JSON of the settings that it reads, beside the training set."""
        ...


FORMATS: dict[str, Format] = {
    "simpletuner": simpletuner_cache,
    "parquet": parquet_shards,
    "webdataset": tar_shards,
    "fastvideo": fastvideo_shards,
}


def code_version_of(recipe: Recipe, rules: ExportRules) -> str:
    """Version of the code that exports, and of just the settings that it reads."""
    format = FORMATS[rules.format]
    return fingerprint.of_value([VERSION, format.VERSION, rules.model_dump(), format.reads(recipe)])


def _version(recipe: Recipe, rules: ExportRules, training_set: str) -> str:
    """What the generation of a training set's export is called."""
    return fingerprint.of_value(
        [VERSION, FORMATS[rules.format].VERSION, rules.format, rules.names, recipe.family, training_set]
    )


def export(recipe: Recipe, rules: ExportRules, say: Callable[[str], None]) -> Exported:
    """Write what changed since the last export, and let the dataset's folder lead to it.

    Raises:
        StoreError: there is no training set, or the folder can't be written.
        ModelError: the format can't hold what this model makes.
    """
    id, format = recipe.id, FORMATS[rules.format]
    training_set = version_of(recipe)
    with opening.opened(Path(rules.to), rules.format, id, say, format.BESIDE) as place:
        version = _version(recipe, rules, training_set)
        written, removed, renamed = Written(), 0, 0
        noted = place.publish_again(id, version)
        if noted is not None:
            facts = noted.facts
            written = Written(reused=facts["payloads"])
        else:
            view = open_view(recipe)
            if not len(view.table):
                raise StoreError(f"the training set of {id} is empty: see what its filters dropped")
            version = _version(recipe, rules, view.version)
            known = place.manifest(id, place.current(id))
            place.remove_begun()
            made, written = format.make(Job(view, rules, place, version, known, say))
            facts = {**made.facts, "payloads": written.computed + written.reused + written.copied}
            renamed = place.publish(id, made._replace(facts=facts))
        files = format.finish(place, recipe, version)
        if noted is None:
            removed = place.collect()
        return Exported(
            *(id, rules.format, version, place.generation(id, version), facts["samples"]),
            *(written.computed, written.reused, written.copied, removed, renamed, written.bytes_written),
            files=(place.noted(id), *files),
        )


def push(done: Exported, repository: str, *, is_public: bool = False) -> Pushed:
    """Put a generation that was exported as Parquet on the Hub, in one commit.

    Raises:
        StoreError: see `hub.pushing.push`.
    """
    message = f"{done.id}: {done.samples:,} samples, generation {done.version[:12]}"
    return pushing.push(done.folder, repository, parquet_shards.OWN, message, is_public=is_public)

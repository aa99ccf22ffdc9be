"""From a file's validated entries to recipes: where things lie, which source, which model."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from hf_assets.blobs import Location, ObjectPath
from hf_assets.blobs.location import SCHEMES
from hf_assets.config import rules, simpletuner
from hf_assets.config.config_file import Dataset, ImageEmbeds, Model, T5Override, TextEmbeds, VaeOverride
from hf_assets.config.model_choice import Choice
from hf_assets.config.recipe import Folders, ModelRecipe, Recipe
from hf_assets.models import single_file
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import ComponentSource, PipelineSource
from hf_assets.sources.spec import FolderRules, SourceSpec
from hf_assets.stages.captions import NO_CAPTIONS

Entry: TypeAlias = Dataset | TextEmbeds | ImageEmbeds


class Places(NamedTuple):
    """What a file's names are relative to.

    Attributes:
        entries: the folder of the file that holds the entries.
        top: of the file that was named.
        model: of the file that names the model.
        cache_dir: the folder of all caches that no entry names, or its address.
        is_simpletuner: whether these are SimpleTuner's files, which name media from a folder above.
    """

    entries: Path
    top: Path
    model: Path
    cache_dir: str
    is_simpletuner: bool

    def file(self, name: str) -> Path:
        """A file or folder by its name in the entries."""
        return simpletuner.found_from(self.entries, name) if self.is_simpletuner else _path(self.entries, name)

    def location(self, name: str) -> Location:
        """Where something is kept: an address of an object store, or a folder."""
        return ObjectPath(name.rstrip("/")) if name.startswith(SCHEMES) else _path(self.entries, name)


class Plugins(NamedTuple):
    """Modules whose functions filters may name.

    Attributes:
        listed_in: what to add one to that isn't among them.
    """

    names: list[str]
    listed_in: str = "the file"


def recipe_of(
    dataset: Dataset,
    entries: Iterable[Entry],
    model: ModelRecipe,
    places: Places,
    plugins: Plugins,
    family: str | None = None,
) -> Recipe:
    """What is done with one dataset.

    Args:
        entries: of the whole file, among them the caches.
        family: SimpleTuner's name of the model's, where the file has it.

    Raises:
        ValidationError, RuleError: values that contradict each other, or that a stage can't work with.
    """
    if dataset.export and not model.pipeline.has_text:
        raise rules.RuleError("export", "needs captions, and there are none since model.text is false; remove one")
    entries = list(entries)
    cache_dir = places.location(dataset.cache_dir or f"{places.cache_dir}/{dataset.id}")
    cache = _text_cache(dataset, entries)
    return Recipe(
        id=dataset.id,
        source=_source(dataset, places),
        media_column=rules.media_column(dataset),
        filter=rules.filter_rules(dataset, plugins.names, places.top, plugins.listed_in),
        captions=rules.caption_rules(dataset, cache, places.file) if model.pipeline.has_text else NO_CAPTIONS,
        settings=rules.media_settings(dataset),
        model=model,
        folders=Folders(
            metadata=cache_dir / "huggingface_metadata" / dataset.id,
            latents=_latents_folder(dataset, entries, cache_dir, places),
            embeds=places.location((cache and cache.cache_dir) or f"{places.cache_dir}/text"),
        ),
        error_budget=dataset.error_budget,
        checks=dataset.checks,
        owners=tuple(dataset.owners),
        trainer=dataset.trainer,
        family=family,
        exports=tuple(one.model_copy(update={"to": str(_path(places.entries, one.to))}) for one in dataset.export),
    )


def model_of(model: Model, choice: Choice, places: Places) -> ModelRecipe:
    """Which encoders, and how they compute and store."""
    pipeline = PipelineSource(
        repository=_repository(places, places.model, choice.repository),
        revision=model.revision,
        variant=model.variant,
        vae=_component(model.vae, places),
        t5=_component(model.t5, places),
        tokenizer_max_length=model.tokenizer_max_length,
        text=None if model.text else False,
        encode_prompt=json.dumps(model.encode_prompt, sort_keys=True) if model.encode_prompt else None,
    )
    return ModelRecipe(
        pipeline=pipeline,
        dtype=model.dtype,
        latents=LatentSettings(
            kind=model.latents, tiling=model.vae_tiling, norms=model.vae_norms, weights=model.vae_weights
        ),
        embeds_dtype=None if model.embeds_dtype == model.dtype else model.embeds_dtype,
        text_quantization=model.text_quantization,
    )


def _component(given: VaeOverride | T5Override | None, places: Places) -> ComponentSource | None:
    if given is None:
        return None
    return ComponentSource(
        repository=_repository(places, places.model, given.pretrained_model_name_or_path),
        revision=given.revision,
        variant=given.variant,
        subfolder=(given.subfolder or "").strip("/") or None,
    )


def _source(dataset: Dataset, places: Places) -> SourceSpec:
    spec = _rows_of(dataset, places)
    if dataset.follow_links and not Path(spec.dataset_name).is_absolute():
        raise rules.RuleError("follow_links", "is true, but has an effect on folders of this machine only; remove it")
    return spec


def _rows_of(dataset: Dataset, places: Places) -> SourceSpec:
    if dataset.type == "local":
        assert dataset.instance_data_dir is not None
        folder = places.location(dataset.instance_data_dir)
        if places.is_simpletuner and not isinstance(folder, ObjectPath):
            folder = places.file(dataset.instance_data_dir)
        return SourceSpec(
            dataset_name=str(folder),
            folder=_tables_found(rules.folder_rules(dataset), folder, places),
            follow_links=dataset.follow_links,
            endpoint=dataset.aws_endpoint_url,
            region=dataset.aws_region_name,
        )
    assert dataset.dataset_name is not None
    return SourceSpec(
        dataset_name=_repository(places, places.entries, dataset.dataset_name),
        folder=rules.folder_rules(dataset) if dataset.caption_strategy == "textfile" else None,
        dataset_config=dataset.dataset_config,
        split=dataset.split,
        revision=dataset.revision,
        data_files=dataset.data_files,
        streaming=dataset.streaming,
        follow_links=dataset.follow_links,
        endpoint=dataset.aws_endpoint_url,
        region=dataset.aws_region_name,
    )


def _tables_found(of_folder: FolderRules, folder: Location, places: Places) -> FolderRules:
    """Rules whose table of captions, if not in the folder, is looked for where SimpleTuner's files have others."""
    table = of_folder.table
    if table is None or not places.is_simpletuner or isinstance(folder, ObjectPath):
        return of_folder
    if (folder / table.path).exists() or not (found := places.file(table.path)).exists():
        return of_folder
    return of_folder.model_copy(update={"table": table.model_copy(update={"path": str(found)})})


def _text_cache(dataset: Dataset, entries: Iterable[Entry]) -> TextEmbeds | None:
    """The entry that keeps a dataset's embeds: the one it names, else the default."""
    return next(
        (
            entry
            for entry in entries
            if isinstance(entry, TextEmbeds)
            and (entry.id == dataset.text_embeds or (dataset.text_embeds is None and entry.default))
        ),
        None,
    )


def _latents_folder(dataset: Dataset, entries: Iterable[Entry], cache_dir: Location, places: Places) -> Location:
    if dataset.cache_dir_vae:
        return places.location(dataset.cache_dir_vae)
    for entry in entries:
        if isinstance(entry, ImageEmbeds) and entry.id == dataset.image_embeds and entry.cache_dir:
            return places.location(entry.cache_dir) / dataset.id
    return cache_dir / "vae" / dataset.id


def _path(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder / os.path.expanduser(name)))


def _repository(places: Places, folder: Path, name: str) -> str:
    """A Hub id, also with a file in it, or an address as it is; what is here, or is written like a path, as a path.

    Args:
        folder: of the file in which it is written.
    """
    if name.startswith(SCHEMES):
        return name.rstrip("/")
    is_file = single_file.names_one(name)
    is_none_of_the_hub = name.count("/") < 2 if is_file else name.count("/") > 1
    is_here = _path(folder, name).is_file() if is_file else _path(folder, name).is_dir()
    if not (name.startswith((".", "/", "~")) or is_none_of_the_hub or is_here):
        return name
    return str(simpletuner.found_from(folder, name) if places.is_simpletuner else _path(folder, name))

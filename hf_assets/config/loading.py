"""From the JSON file to recipes. Every error names the file, the JSON path, the value and the way out."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from hf_assets.config import mistakes, positions, rules, simpletuner, training_part
from hf_assets.config.defaults import with_defaults
from hf_assets.config.keys import (
    ELSEWHERE,
    EVALUATION,
    TRAINER_ONLY,
    Dataset,
    File,
    ImageEmbeds,
    Model,
    Refresh,
    TextEmbeds,
    without_effect,
)
from hf_assets.config.mistakes import Mistake, nearest, quote
from hf_assets.config.positions import child_path
from hf_assets.config.recipe import Folders, ModelRecipe, Recipe
from hf_assets.config.rules import RuleError
from hf_assets.errors import ConfigError
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import ComponentSource, PipelineSource
from hf_assets.sources.spec import SourceSpec
from hf_assets.values import boolean

ENVIRONMENT_VARIABLE = "HF_ASSETS_CONFIG"
DEFAULT_FILE = "datasets.json"
# Blocks of an entry whose keys mean what they mean in the entry itself.
INNER = ("huggingface", "config")

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")


Entry: TypeAlias = Dataset | TextEmbeds | ImageEmbeds


class Config(NamedTuple):
    """What a config file asks for.

    Attributes:
        notes: what is accepted, and has no effect here: a line each.
    """

    file: Path
    recipes: tuple[Recipe, ...]
    refresh: Refresh | None
    notes: tuple[str, ...] = ()


def config_file() -> Path:
    """The file that `HF_ASSETS_CONFIG` names, else `datasets.json` in the working directory."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE).expanduser()


def load(file: Path) -> Config:
    """Read and validate a config file. Asks no Hub and reads nothing else.

    Raises:
        ConfigError: the file is missing, no JSON, or wrong; one line per mistake.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text, object_pairs_hook=mistakes.Object.of)
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file; create it, or name another in {ENVIRONMENT_VARIABLE}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise mistakes.not_json(file, error) from None
    except ValueError:
        raise mistakes.too_long(file) from None
    except RecursionError:
        raise ConfigError(f'{file}: is nested too deeply; write an object with "model" and "datasets"') from None
    return parse(content, file, lambda: positions.of_json(text))


def parse(content: Any, file: Path, where: Callable[[], positions.Node | None] | None = None) -> Config:
    """Validate the content of a config file; relative paths in it are relative to `file`.

    Args:
        where: the places of what the file holds; asked for only when something is wrong.

    Raises:
        ConfigError: one line per mistake.
    """
    reader = _Reader(file, where)
    reader.mistakes.extend(mistakes.of_json(content))
    whole = simpletuner.beside(file) if isinstance(content, list) else None
    if whole is not None:
        reader.defaults, reader.cache_dir = whole.defaults, whole.cache_dir or reader.cache_dir
        reader.prefix = ""
        content = {"model": whole.model, "datasets": content}
    if not isinstance(content, dict):
        reader.error("", f'holds {quote(content)}; write an object with "model" and "datasets"')
        raise reader.found()
    for key in [key for key in content if key not in File.model_fields]:
        reader.error(key, mistakes.unknown_key(key, File.model_fields))
    model = reader.block(Model, content.get("model"), "model")
    refresh = reader.block(Refresh, content["refresh"], "refresh") if "refresh" in content else None
    plugins = content.get("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(name, str) for name in plugins):
        reader.error("plugins", f"is {quote(plugins)}; list names of modules")
        plugins = []
    entries = content.get("datasets")
    if not isinstance(entries, list) or not entries:
        reader.error(
            "datasets", f"is {quote(entries) if 'datasets' in content else 'missing'}; list at least one dataset"
        )
        entries = []
    reader.read(entries)
    reader.stop_on_errors()
    assert model is not None
    recipes = reader.recipes(model, plugins)
    reader.stop_on_errors()
    return Config(file, recipes, refresh, tuple(reader.notes))


class _Reader:
    """Collects all mistakes of one file before it gives up."""

    def __init__(self, file: Path, where: Callable[[], positions.Node | None] | None) -> None:
        self.file = file
        self.where = where
        self.base = file.absolute().parent
        self.cache_dir = "cache"
        self.defaults: dict[str, Any] = {}
        self.prefix = "datasets"  # a bare list has none
        self.mistakes: list[Mistake] = []
        self.notes: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.origins: dict[str, dict[str, str]] = {}  # entry -> key -> the block it stands in, where not the entry

    def error(self, path: str, message: str) -> None:
        self.mistakes.append(Mistake(path, message))

    def found(self) -> ConfigError:
        return mistakes.error(self.file, self.mistakes, self.where() if self.where else None)

    def stop_on_errors(self) -> None:
        if self.mistakes:
            raise self.found()

    def block(self, model: type[T], content: Any, path: str, origins: Mapping[str, str] | None = None) -> T | None:
        """Validate one block; `origins` says under which path each key was written, where that isn't `path` itself."""
        if not isinstance(content, dict):
            self.error(path, f"is {quote(content)}; write an object" if content is not None else "is missing; add it")
            return None
        try:
            return model.model_validate(content)
        except ValidationError as error:
            for mistake in mistakes.of_block(error, path, model, origins):
                self.error(*mistake)
            return None

    def read(self, entries: list[Any]) -> None:
        """Validate all entries, and what they say of each other."""
        for index, content in enumerate(entries):
            path = f"{self.prefix}[{index}]"
            if (entry := self.entry(content, path)) is not None:
                self.entries[path] = entry
        self.distinct_ids()
        self.known_caches(entries)

    def entry(self, content: Any, path: str) -> Entry | None:
        if not isinstance(content, dict):
            self.error(path, f"is {quote(content)}; write an object")
            return None
        if boolean(content.get("disabled", content.get("disable"))) is True:
            return None
        content = {key: value for key, value in content.items() if key != "disable"}
        kind = content.get("dataset_type")
        if isinstance(kind, str) and kind in ELSEWHERE:
            self.notes.append(f'{path} is for the trainer only, as dataset_type is "{kind}"')
            return None
        if kind == EVALUATION:  # images like any other; what they are for is the trainer's business
            self.notes.append(
                f'{path} is made like a dataset of images; that dataset_type is "{kind}" is for the trainer'
            )
            content, kind = {**content, "dataset_type": "image"}, "image"
        merged, origins = self.merge(content, path)
        self.origins[path] = origins
        if "trainer" in merged:
            self.error(child_path(origins.get("trainer", path), "trainer"), "is not a known key; remove it")
        trainer = {key: merged.pop(key) for key in list(merged) if key in TRAINER_ONLY}
        if trainer:
            self.notes.append(f"{path}: for the trainer only: {', '.join(sorted(trainer))}")
        model: type[Entry] = _KINDS.get(kind, Dataset) if isinstance(kind, str) else Dataset
        if model is Dataset:
            without = (*TRAINER_ONLY, *(without_effect(str(merged.get("dataset_type", "image")))))
            merged = with_defaults(merged, {key: value for key, value in self.defaults.items() if key not in without})
            trainer = with_defaults(
                trainer, {key: value for key, value in self.defaults.items() if key in TRAINER_ONLY}
            )
            for key, message in training_part.mistakes(trainer):
                self.error(child_path(origins.get(key, path), key), message)
        found = self.block(model, {**merged, "trainer": trainer}, path, origins)
        if isinstance(found, Dataset):
            self.check(lambda: rules.geometry_rules(found), path)
        return found

    def check(self, make: Callable[[], R], path: str) -> R | None:
        """What is made of an entry; a mistake that shows only then is reported at its key."""
        origins = self.origins[path]
        try:
            return make()
        except ValidationError as error:
            for mistake in mistakes.of_block(error, path, Dataset, origins):
                self.error(*mistake)
        except RuleError as error:
            self.error(child_path(origins.get(error.key.split(".")[0], path), error.key), error.message)
        return None

    def merge(self, content: dict[str, Any], path: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The keys of an entry and of its blocks `INNER`, which mean the same; and where each was written."""
        merged = {key: value for key, value in content.items() if key not in INNER}
        origins: dict[str, str] = {}
        for block in INNER:
            inner = content.get(block, {})
            if not isinstance(inner, dict):
                self.error(f"{path}.{block}", f"is {quote(inner)}; write an object")
                continue
            for key, value in inner.items():
                if key not in merged:
                    merged[key] = value
                    origins[key] = f"{path}.{block}"
                elif merged[key] != value:
                    there = child_path(origins.get(key, path), key)
                    self.error(
                        f"{path}.{block}.{key}", f"is {quote(value)}, but {there} is {quote(merged[key])}; keep one"
                    )
        return merged, origins

    def distinct_ids(self) -> None:
        ids = Counter(entry.id for entry in self.entries.values())
        groups: dict[str, str] = {}
        for path, entry in self.entries.items():
            if ids[entry.id] > 1:
                self.error(f"{path}.id", f'"{entry.id}" is used twice; give each entry its own id')
            elif isinstance(entry, Dataset):
                group = "".join(c if c.isascii() and c.isalnum() else "_" for c in entry.id)
                if (other := groups.setdefault(group.lower(), entry.id)) != entry.id:
                    self.error(
                        f"{path}.id", f'"{entry.id}" and "{other}" fold to one asset group "{group}"; rename one'
                    )

    def known_caches(self, contents: list[Any]) -> None:
        """An entry's caches must be there, and only one of a kind can be the default."""
        defaults = [path for path, entry in self.entries.items() if isinstance(entry, TextEmbeds) and entry.default]
        for path in defaults[1:]:
            self.error(f"{path}.default", "is true in another text_embeds entry too; keep one")
        for key in ("text_embeds", "image_embeds"):
            known = [
                content["id"]
                for content in contents
                if isinstance(content, dict)
                and content.get("dataset_type") == key
                and boolean(content.get("disabled")) is not True
                and isinstance(content.get("id"), str)
            ]
            for path, entry in self.entries.items():
                named = getattr(entry, key, None)
                if named and named not in known:
                    hint = nearest(named, known) or "; add one, or leave the key out"
                    where = child_path(self.origins[path].get(key, path), key)
                    self.error(where, f'"{named}" is the id of no active {key} entry{hint}')

    def path(self, name: str) -> Path:
        return Path(os.path.normpath(self.base / os.path.expanduser(name)))

    def repository(self, name: str) -> str:
        """A Hub id as it is; what exists as a folder, or is written like a path, as an absolute path."""
        is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or self.path(name).is_dir()
        return str(self.path(name)) if is_path else name

    def recipes(self, model: Model, plugins: list[str]) -> tuple[Recipe, ...]:
        datasets = [(path, entry) for path, entry in self.entries.items() if isinstance(entry, Dataset)]
        made = [self.check(lambda: self.recipe(entry, model, plugins), path) for path, entry in datasets]  # noqa: B023
        return tuple(recipe for recipe in made if recipe is not None)

    def recipe(self, dataset: Dataset, model: Model, plugins: list[str]) -> Recipe:
        cache_dir = self.path(dataset.cache_dir or f"{self.cache_dir}/{dataset.id}")
        cache = self.text_cache(dataset)
        return Recipe(
            id=dataset.id,
            source=self.source(dataset),
            media_column=rules.media_column(dataset),
            filter=rules.filter_rules(dataset, plugins, self.base),
            captions=rules.caption_rules(dataset, cache, self.base),
            settings=rules.media_settings(dataset),
            model=self.model(model),
            folders=Folders(
                metadata=cache_dir / "huggingface_metadata" / dataset.id,
                latents=self.latents_folder(dataset, cache_dir),
                embeds=self.path(cache.cache_dir if cache else f"{self.cache_dir}/text"),
            ),
            error_budget=dataset.error_budget,
            checks=dataset.checks,
            owners=tuple(dataset.owners),
            trainer=dataset.trainer,
        )

    def source(self, dataset: Dataset) -> SourceSpec:
        if dataset.type == "local":
            assert dataset.instance_data_dir is not None
            folder = str(self.path(dataset.instance_data_dir))
            return SourceSpec(dataset_name=folder, folder=rules.folder_rules(dataset))
        assert dataset.dataset_name is not None
        return SourceSpec(
            dataset_name=self.repository(dataset.dataset_name),
            dataset_config=dataset.dataset_config,
            split=dataset.split,
            revision=dataset.revision,
            data_files=dataset.data_files,
            streaming=dataset.streaming,
        )

    def text_cache(self, dataset: Dataset) -> TextEmbeds | None:
        """The entry that keeps a dataset's embeds: the one it names, else the default."""
        return next(
            (
                entry
                for entry in self.entries.values()
                if isinstance(entry, TextEmbeds)
                and (entry.id == dataset.text_embeds or (dataset.text_embeds is None and entry.default))
            ),
            None,
        )

    def latents_folder(self, dataset: Dataset, cache_dir: Path) -> Path:
        if dataset.cache_dir_vae:
            return self.path(dataset.cache_dir_vae)
        for entry in self.entries.values():
            if isinstance(entry, ImageEmbeds) and entry.id == dataset.image_embeds:
                return self.path(entry.cache_dir) / dataset.id
        return cache_dir / "vae" / dataset.id

    def model(self, model: Model) -> ModelRecipe:
        override = model.vae and ComponentSource(
            repository=self.repository(model.vae.pretrained_model_name_or_path),
            revision=model.vae.revision,
            variant=model.vae.variant,
            subfolder=(model.vae.subfolder or "").strip("/") or None,
        )
        pipeline = PipelineSource(
            repository=self.repository(model.pretrained_model_name_or_path),
            revision=model.revision,
            variant=model.variant,
            vae=override,
        )
        return ModelRecipe(
            pipeline=pipeline,
            dtype=model.dtype,
            latents=LatentSettings(kind=model.latents, tiling=model.vae_tiling),
            embeds_dtype=None if model.embeds_dtype == model.dtype else model.embeds_dtype,
            text_quantization=model.text_quantization,
        )


_KINDS: dict[str, type[Entry]] = {"text_embeds": TextEmbeds, "image_embeds": ImageEmbeds}

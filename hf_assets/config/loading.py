"""From the JSON file to recipes. Every error names the file, the JSON path, the value and the way out."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from hf_assets.blobs import Location, ObjectPath
from hf_assets.blobs.location import SCHEMES
from hf_assets.config import (
    documents,
    entries,
    family_defaults,
    mistakes,
    model_choice,
    numerals,
    placeholders,
    positions,
    rules,
    simpletuner,
)
from hf_assets.config.config_file import Dataset, File, ImageEmbeds, Model, Refresh, T5Override, TextEmbeds, VaeOverride
from hf_assets.config.documents import At, Document
from hf_assets.config.mistakes import Mistake, nearest, quote
from hf_assets.config.model_choice import Choice
from hf_assets.config.positions import child_path
from hf_assets.config.recipe import Folders, ModelRecipe, Recipe
from hf_assets.config.rules import RuleError
from hf_assets.errors import ConfigError
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import ComponentSource, PipelineSource
from hf_assets.sources.spec import SourceSpec
from hf_assets.values import boolean

ENVIRONMENT_VARIABLE = "HF_ASSETS_CONFIG"
PLUGINS_VARIABLE = "HF_ASSETS_PLUGINS"
DEFAULT_FILE = "datasets.json"

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")


Entry: TypeAlias = Dataset | TextEmbeds | ImageEmbeds


class Config(NamedTuple):
    """What a config file asks for.

    Attributes:
        notes: what is accepted, and has no effect here: a line each.
        model: which repository was taken, and why.
        refusal: why nothing can be made with that model, if so: then the file is right, and no run can be.
    """

    file: Path
    recipes: tuple[Recipe, ...]
    refresh: Refresh | None
    notes: tuple[str, ...] = ()
    model: str = ""
    refusal: str | None = None

    def usable(self) -> "Config":
        """Itself.

        Raises:
            ConfigError: nothing can be made with its model.
        """
        if self.refusal is not None:
            raise ConfigError(self.refusal)
        return self


def config_file() -> Path:
    """The file that `HF_ASSETS_CONFIG` names, else `datasets.json` in the working directory."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE).expanduser()


def load(file: Path) -> Config:
    """Read and validate a config file. Asks no Hub and reads nothing else.

    Raises:
        ConfigError: the file is missing, no JSON, or wrong; one line per mistake.
    """
    return _parse(documents.read(file, f"create it, or name another in {ENVIRONMENT_VARIABLE}"))


def parse(content: Any, file: Path, where: Callable[[], positions.Node | None] | None = None) -> Config:
    """Validate the content of a config file; relative paths in it are relative to `file`.

    Args:
        where: the places of what the file holds; asked for only when something is wrong.

    Raises:
        ConfigError: one line per mistake.
    """
    return _parse(Document(file, content, where))


def _parse(document: Document) -> Config:
    named = documents.unwrap(document)
    if isinstance(named.content, list):
        return _of_simpletuner(named, simpletuner.beside(named.file), named)
    if simpletuner.is_settings(named.content):
        return _of_simpletuner(simpletuner.datasets_of(named), named, named)
    reader = _Reader(named, named.folder)
    reader.mistakes.extend(mistakes.of_json(named.content))
    content = named.content
    if not isinstance(content, dict):
        reader.error("", f'holds {quote(content)}; write an object with "model" and "datasets"')
        raise reader.found()
    for key in [key for key in content if key not in File.model_fields]:
        reader.error(key, mistakes.unknown_key(key, File.model_fields))
    model = reader.model_block(content.get("model"), "model", {})
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
    reader.read(entries, "datasets")
    return reader.config(model, plugins, refresh)


def _of_simpletuner(datasets: Document, settings: Document, named: Document) -> Config:
    """A list of datasets, and the config.json beside it or that names it."""
    given = simpletuner.read(settings)
    reader = _Reader(datasets, named.folder, given)
    reader.mistakes.extend(mistakes.of_json(datasets.content, datasets.prefix))
    origins = {key.removeprefix("model."): at for key, at in given.origins.items() if key.startswith("model.")}
    model = reader.model_block(given.model, settings.prefix, origins, settings)
    reader.notes.extend(given.notes)
    reader.read(datasets.content, datasets.prefix)
    return reader.config(model, given.plugins, None)


class _Reader:
    """Collects all mistakes of one file before it gives up."""

    def __init__(self, document: Document, top: Path, settings: simpletuner.Settings | None = None) -> None:
        """Read the entries of a file.

        Args:
            top: the folder of the file that was named, beside which caches lie by default.
            settings: what a config.json says of all entries.
        """
        self.document = document
        self.top = top
        self.settings = settings
        self.mistakes: list[Mistake] = []
        self.notes: list[str] = []
        self.choice: Choice | None = None
        self.entries: dict[str, Entry] = {}
        self.origins: dict[str, Mapping[str, At]] = {}  # entry -> key -> where it stands, where not in the entry

    @property
    def plugins_place(self) -> str:
        """Where a module that a filter names is to be listed."""
        if self.settings is None:
            return "the file"
        return f"{self.settings.document.file.name}, or name it in {PLUGINS_VARIABLE}"

    @property
    def cache_dir(self) -> str:
        return (self.settings and self.settings.cache_dir) or str(self.top / "cache")

    def error(self, path: str, message: str, document: Document | None = None) -> None:
        self.mistakes.append(Mistake(path, message, document))

    def found(self) -> ConfigError:
        return mistakes.error(self.document.file, self.mistakes, self.document.places())

    def stop_on_errors(self) -> None:
        if self.mistakes:
            raise self.found()

    def block(self, model: type[T], content: Any, path: str, origins: Mapping[str, At] | None = None) -> T | None:
        """Validate one block; `origins` says where each key was written, where that isn't in `path` itself."""
        if not isinstance(content, dict):
            self.error(path, f"is {quote(content)}; write an object" if content is not None else "is missing; add it")
            return None
        try:
            return model.model_validate(numerals.read(model, content))
        except ValidationError as error:
            self.mistakes += mistakes.of_block(error, path, model, origins)
            return None

    def model_block(
        self, content: Any, path: str, origins: Mapping[str, At], document: Document | None = None
    ) -> Model | None:
        """Validate what is said of the model, and find which one is meant.

        Args:
            document: the file in which it stands, where that isn't the entries' own.
        """
        before = len(self.mistakes)
        content = self.fill_in(content, path, origins)
        model = self.block(Model, content, path, origins)
        if model is not None:
            try:
                self.choice = model_choice.choose(model.family, model.flavour, model.pretrained_model_name_or_path)
            except model_choice.ChoiceError as error:
                at = origins.get(error.key, At(child_path(path, error.key)))
                self.error(at.path, error.message, at.document)
        if document is not None:
            self.mistakes[before:] = [one._replace(document=document) for one in self.mistakes[before:]]
        return model

    def fill_in(self, content: Any, path: str, origins: Mapping[str, At]) -> Any:
        """What is said of the model, with what placeholders stand for in their place."""
        if not isinstance(content, dict):
            return content
        family = content.get("family")
        values = {"model_family": family if isinstance(family, str) else None}
        values["output_dir"] = self.settings and self.settings.output_dir
        made = dict(content)
        for key in ("pretrained_model_name_or_path", "vae", "t5"):
            block = content.get(key)
            name = block.get("pretrained_model_name_or_path") if isinstance(block, dict) else block
            if not isinstance(name, str):
                continue
            try:
                name = placeholders.fill_in(name, values)
            except placeholders.PlaceholderError as error:
                at = origins.get(key, At(child_path(path, key)))
                self.error(at.path, f"is {quote(name)}, which {error}", at.document)
            made[key] = {**block, "pretrained_model_name_or_path": name} if isinstance(block, dict) else name
        return made

    def read(self, contents: list[Any], prefix: str) -> None:
        """Validate all entries, and what they say of each other."""
        given = self.settings
        around = entries.Surroundings({}, {}, self.choice)
        if given is not None:
            around = entries.Surroundings(
                given.defaults, given.origins, self.choice, given.frame_rate, given.seed, given.output_dir
            )
        for index, content in enumerate(contents):
            path = f"{prefix}[{index}]"
            draft = entries.make_draft(content, path, around)
            self.mistakes += draft.mistakes
            self.notes += draft.notes
            if draft.model is None:
                continue
            self.origins[path] = draft.origins
            entry = self.block(draft.model, draft.content, path, draft.origins)
            if isinstance(entry, Dataset):
                self.check(lambda: rules.geometry_rules(entry), path)  # noqa: B023
            if entry is not None:
                self.entries[path] = entry
        self.distinct_ids()
        self.known_caches(contents)

    def config(self, model: Model | None, plugins: list[str], refresh: Refresh | None) -> Config:
        """What the file asks for, or all that is wrong with it."""
        self.stop_on_errors()
        assert model is not None
        assert self.choice is not None
        more = [name.strip() for name in os.environ.get(PLUGINS_VARIABLE, "").split(",") if name.strip()]
        recipes = self.recipes(model, self.choice, [*plugins, *more])
        self.stop_on_errors()
        rate = self.settings.frame_rate if self.settings else family_defaults.USUAL_RATE
        defaults = family_defaults.in_words({recipe.kind for recipe in recipes}, self.choice, rate)
        said = f"model {self.choice.repository}: {self.choice.reason}{defaults}"
        refusal = self.choice.refusal and self.refusal(self.choice.refusal)
        return Config(self.document.file, recipes, refresh, tuple(self.notes), said, refusal)

    def refusal(self, why: str) -> str:
        """That nothing can be made with the family, where it is named."""
        settings = self.settings
        at = settings.origins["model.family"] if settings else At("model.family", self.document)
        assert at.document is not None
        return str(mistakes.error(at.document.file, [Mistake(at.path, f"is {why}", at.document)]))

    def check(self, make: Callable[[], R], path: str) -> R | None:
        """What is made of an entry; a mistake that shows only then is reported at its key."""
        origins = self.origins[path]
        try:
            return make()
        except ValidationError as error:
            self.mistakes += mistakes.of_block(error, path, Dataset, origins)
        except RuleError as error:
            at = mistakes.place(error.key.split("."), path, origins)
            self.error(at.path, error.message, at.document)
        return None

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
                    at = mistakes.place([key], path, self.origins[path])
                    self.error(at.path, f'"{named}" is the id of no active {key} entry{hint}', at.document)

    def path(self, name: str) -> Path:
        return _path(self.document.folder, name)

    def place(self, name: str) -> Location:
        """Where something is kept: an address of an object store, or a folder."""
        return ObjectPath(name.rstrip("/")) if name.startswith(SCHEMES) else self.path(name)

    def recipes(self, model: Model, choice: Choice, plugins: list[str]) -> tuple[Recipe, ...]:
        datasets = [(path, entry) for path, entry in self.entries.items() if isinstance(entry, Dataset)]
        encoders = self.model(model, choice)
        made = [self.check(lambda: self.recipe(entry, encoders, plugins), path) for path, entry in datasets]  # noqa: B023
        return tuple(recipe for recipe in made if recipe is not None)

    def recipe(self, dataset: Dataset, model: ModelRecipe, plugins: list[str]) -> Recipe:
        cache_dir = self.place(dataset.cache_dir or f"{self.cache_dir}/{dataset.id}")
        cache = self.text_cache(dataset)
        return Recipe(
            id=dataset.id,
            source=self.source(dataset),
            media_column=rules.media_column(dataset),
            filter=rules.filter_rules(dataset, plugins, self.top, self.plugins_place),
            captions=rules.caption_rules(dataset, cache, self.document.folder),
            settings=rules.media_settings(dataset),
            model=model,
            folders=Folders(
                metadata=cache_dir / "huggingface_metadata" / dataset.id,
                latents=self.latents_folder(dataset, cache_dir),
                embeds=self.place(cache.cache_dir if cache else f"{self.cache_dir}/text"),
            ),
            error_budget=dataset.error_budget,
            checks=dataset.checks,
            owners=tuple(dataset.owners),
            trainer=dataset.trainer,
        )

    def source(self, dataset: Dataset) -> SourceSpec:
        if dataset.type == "local":
            assert dataset.instance_data_dir is not None
            folder = str(self.place(dataset.instance_data_dir))
            return SourceSpec(
                dataset_name=folder,
                folder=rules.folder_rules(dataset),
                follow_links=dataset.follow_links,
                endpoint=dataset.aws_endpoint_url,
                region=dataset.aws_region_name,
            )
        assert dataset.dataset_name is not None
        return SourceSpec(
            dataset_name=_repository(self.document.folder, dataset.dataset_name),
            dataset_config=dataset.dataset_config,
            split=dataset.split,
            revision=dataset.revision,
            data_files=dataset.data_files,
            streaming=dataset.streaming,
            follow_links=dataset.follow_links,
            endpoint=dataset.aws_endpoint_url,
            region=dataset.aws_region_name,
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

    def latents_folder(self, dataset: Dataset, cache_dir: Location) -> Location:
        if dataset.cache_dir_vae:
            return self.place(dataset.cache_dir_vae)
        for entry in self.entries.values():
            if isinstance(entry, ImageEmbeds) and entry.id == dataset.image_embeds and entry.cache_dir:
                return self.place(entry.cache_dir) / dataset.id
        return cache_dir / "vae" / dataset.id

    def model(self, model: Model, choice: Choice) -> ModelRecipe:
        folder = self.settings.document.folder if self.settings else self.document.folder

        def component(given: VaeOverride | T5Override | None) -> ComponentSource | None:
            if given is None:
                return None
            return ComponentSource(
                repository=_repository(folder, given.pretrained_model_name_or_path),
                revision=given.revision,
                variant=given.variant,
                subfolder=(given.subfolder or "").strip("/") or None,
            )

        pipeline = PipelineSource(
            repository=_repository(folder, choice.repository),
            revision=model.revision,
            variant=model.variant,
            vae=component(model.vae),
            t5=component(model.t5),
            tokenizer_max_length=model.tokenizer_max_length,
        )
        return ModelRecipe(
            pipeline=pipeline,
            dtype=model.dtype,
            latents=LatentSettings(kind=model.latents, tiling=model.vae_tiling),
            embeds_dtype=None if model.embeds_dtype == model.dtype else model.embeds_dtype,
            text_quantization=model.text_quantization,
        )


def _path(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder / os.path.expanduser(name)))


def _repository(folder: Path, name: str) -> str:
    """A Hub id or an address as it is; what exists as a folder, or is written like a path, as an absolute path."""
    if name.startswith(SCHEMES):
        return name.rstrip("/")
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or _path(folder, name).is_dir()
    return str(_path(folder, name)) if is_path else name

"""Validate a file's model and entries, and collect all that is wrong with them before anything stops."""

import functools
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hf_assets.config import assembling, entries, mistakes, model_choice, numerals, placeholders, rules, simpletuner
from hf_assets.config.assembling import Entry, Places, Plugins
from hf_assets.config.config_file import Dataset, Model, TextEmbeds
from hf_assets.config.documents import At, Document
from hf_assets.config.mistakes import Mistake, nearest, quote
from hf_assets.config.model_choice import Choice
from hf_assets.config.positions import child_path
from hf_assets.config.recipe import Recipe
from hf_assets.config.rules import RuleError
from hf_assets.errors import ConfigError
from hf_assets.spellings import boolean

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")

# What to write for a block that is missing.
EXAMPLES: dict[type[BaseModel], str] = {Model: ', such as {"family": "sdxl"}'}


class Collector:
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
        self.by_family: set[str] = set()  # keys of entries that the model's family decides
        self.choice: Choice | None = None
        self.family: str | None = None
        self.entries: dict[str, Entry] = {}
        self.origins: dict[str, Mapping[str, At]] = {}  # entry -> key -> where it stands, where not in the entry

    @property
    def places(self) -> Places:
        """What the names in the file are relative to."""
        given = self.settings
        cache_dir = (given and given.cache_dir) or str(self.top / "cache")
        model = given.document.folder if given else self.document.folder
        return Places(self.document.folder, self.top, model, cache_dir, given is not None)

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
            said = "is missing; add it" if content is None else f"is {quote(content)}; write an object"
            self.error(path, f"{said}{EXAMPLES.get(model, '')}")
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
                self.choice = model_choice.choose(
                    model.family, model.flavour, model.pretrained_model_name_or_path, self.places.model
                )
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
        self.family = family if isinstance(family, str) else None
        values = {"model_family": self.family}
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
        around = entries.Surroundings({}, {}, self.choice, family=self.family)
        if given is not None:
            around = entries.Surroundings(
                given.defaults,
                given.origins,
                self.choice,
                given.frame_rate,
                given.seed,
                given.output_dir,
                self.family,
                is_simpletuner=True,
            )
        for index, content in enumerate(contents):
            path = f"{prefix}[{index}]"
            draft = entries.make_draft(content, path, around)
            self.mistakes += draft.mistakes
            self.notes += draft.notes
            self.by_family |= draft.by_family
            if draft.model is None:
                continue
            self.origins[path] = draft.origins
            entry = self.block(draft.model, draft.content, path, draft.origins)
            if isinstance(entry, Dataset):
                self.check(lambda: rules.geometry_rules(entry), path)  # noqa: B023
            if entry is not None:
                self.entries[path] = entry
        self.distinct_ids()
        self.one_format_a_folder()
        self.known_caches(contents)

    def recipes(self, model: Model | None, plugins: Plugins) -> tuple[Recipe, ...]:
        """What is to be done with each dataset.

        Raises:
            ConfigError: all that is wrong with the file.
        """
        self.stop_on_errors()
        assert model is not None
        assert self.choice is not None
        encoders = assembling.model_of(model, self.choice, self.places)

        family = self.choice.family

        def make(dataset: Dataset) -> Recipe:
            return assembling.recipe_of(dataset, self.entries.values(), encoders, self.places, plugins, family)

        datasets = [(path, entry) for path, entry in self.entries.items() if isinstance(entry, Dataset)]
        made = [self.check(functools.partial(make, entry), path) for path, entry in datasets]
        self.stop_on_errors()
        return tuple(recipe for recipe in made if recipe is not None)

    def refusal(self) -> str | None:
        """Why nothing can be made with the family, said where it is named."""
        if self.choice is None or self.choice.refusal is None:
            return None
        at = self.settings.origins["model.family"] if self.settings else At("model.family", self.document)
        assert at.document is not None
        return str(mistakes.error(at.document.file, [Mistake(at.path, f"is {self.choice.refusal}", at.document)]))

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

    def one_format_a_folder(self) -> None:
        """A folder of exports holds one format, whichever datasets lie in it."""
        formats: dict[str, str] = {}
        for path, entry in self.entries.items():
            for number, one in enumerate(entry.export if isinstance(entry, Dataset) else ()):
                folder = os.path.normpath(os.path.expanduser(one.to))
                if (other := formats.setdefault(folder, one.format)) != one.format:
                    self.error(
                        f"{path}.export[{number}].to",
                        f'"{one.to}" is a folder of exports as {other} already; name another one for {one.format}',
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

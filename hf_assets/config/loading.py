"""From the JSON file to recipes. Every error names the file, the JSON path, the value and the way out."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hf_assets.config import documents, family_defaults, mistakes, positions, simpletuner
from hf_assets.config.assembling import Plugins
from hf_assets.config.collecting import Collector
from hf_assets.config.config_file import Dataset, File, Model, Refresh
from hf_assets.config.documents import Document
from hf_assets.config.mistakes import quote
from hf_assets.config.recipe import Recipe
from hf_assets.errors import ConfigError

ENVIRONMENT_VARIABLE = "HF_ASSETS_CONFIG"
PLUGINS_VARIABLE = "HF_ASSETS_PLUGINS"
DEFAULT_FILE = "datasets.json"


class Place(NamedTuple):
    """Where a dataset stands in its file."""

    file: Path
    line: int | None


class Config(NamedTuple):
    """What a config file asks for.

    Attributes:
        notes: what is accepted, and has no effect here: a line each.
        model: which repository was taken, and why.
        refusal: why nothing can be made with that model, if so: then the file is right, and no run can be.
        entries: the JSON path of each recipe's entry.
        where: the places of what the file holds.
    """

    file: Path
    recipes: tuple[Recipe, ...]
    refresh: Refresh | None
    notes: tuple[str, ...] = ()
    model: str = ""
    refusal: str | None = None
    entries: tuple[str, ...] = ()
    where: Callable[[], positions.Node | None] = lambda: None

    def place_of(self, recipe: Recipe) -> Place:
        """Where a dataset's entry stands."""
        node, at = self.where(), self.recipes.index(recipe)
        line = positions.find(node, self.entries[at]).line if node is not None and self.entries else None
        return Place(self.file.absolute(), line)

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
    return Path(os.path.expanduser(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE))


def load(file: Path) -> Config:
    """Read and validate a config file. Asks no Hub and reads nothing else.

    Raises:
        ConfigError: the file is missing, no JSON, or wrong; one line per mistake.
    """
    way = f"make one with `hf-assets init`, or name another in {ENVIRONMENT_VARIABLE} or by --config"
    return _parse(documents.read(file, way))


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
    reader = Collector(named, named.folder)
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
        way = "write a list: [ before it and ] behind it" if isinstance(entries, dict) else "list at least one dataset"
        reader.error("datasets", f"is {quote(entries) if 'datasets' in content else 'missing'}; {way}")
        entries = []
    reader.read(entries, "datasets")
    return _config(reader, model, plugins, refresh)


def _of_simpletuner(datasets: Document, settings: Document, named: Document) -> Config:
    """A list of datasets, and the config.json beside it or that names it."""
    given = simpletuner.read(settings)
    reader = Collector(datasets, named.folder, given)
    reader.mistakes.extend(mistakes.of_json(datasets.content, datasets.prefix))
    origins = {key.removeprefix("model."): at for key, at in given.origins.items() if key.startswith("model.")}
    model = reader.model_block(given.model, settings.prefix, origins, settings)
    reader.notes.extend(given.notes)
    reader.read(datasets.content, datasets.prefix)
    return _config(reader, model, given.plugins, None)


def _config(reader: Collector, model: Model | None, plugins: list[str], refresh: Refresh | None) -> Config:
    """What the file asks for, or all that is wrong with it."""
    settings = reader.settings
    more = [name.strip() for name in os.environ.get(PLUGINS_VARIABLE, "").split(",") if name.strip()]
    listed_in = f"{settings.document.file.name}, or name it in {PLUGINS_VARIABLE}" if settings else "the file"
    recipes = reader.recipes(model, Plugins([*plugins, *more], listed_in))
    assert reader.choice is not None
    rate = settings.frame_rate if settings else family_defaults.USUAL_RATE
    defaults = family_defaults.in_words(reader.by_family, reader.choice, rate)
    which = f"model {reader.choice.repository}: {reader.choice.reason}{defaults}"
    paths = tuple(path for path, entry in reader.entries.items() if isinstance(entry, Dataset))
    document = reader.document
    return Config(document.file, recipes, refresh, tuple(reader.notes), which, reader.refusal(), paths, document.places)

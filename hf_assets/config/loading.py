"""From the JSON file to recipes. Every error names the file, the JSON path, the value and the way out."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from hf_assets.config import mistakes
from hf_assets.config.keys import TRAINER_ONLY, Dataset, File, Model, Refresh, TextEmbeds, boolean
from hf_assets.config.mistakes import joined, nearest, shown
from hf_assets.config.recipe import Folders, ModelRecipe, Recipe
from hf_assets.errors import ConfigError
from hf_assets.models.source import ComponentSource, PipelineSource
from hf_assets.sources.spec import SourceSpec
from hf_assets.stages.captions import CaptionRules
from hf_assets.stages.filtering import FilterRules
from hf_assets.stages.geometry import GeometryRules

ENVIRONMENT_VARIABLE = "HF_ASSETS_CONFIG"
DEFAULT_FILE = "datasets.json"
DEFAULT_QUALITY_COLUMN = "quality_assessment"


T = TypeVar("T", bound=BaseModel)


class Config(NamedTuple):
    """What a config file asks for."""

    file: Path
    recipes: tuple[Recipe, ...]
    refresh: Refresh | None


def config_file() -> Path:
    """The file that `HF_ASSETS_CONFIG` names, else `datasets.json` in the working directory."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FILE).expanduser()


def load(file: Path) -> Config:
    """Read and validate a config file. Asks no Hub and reads nothing else.

    Raises:
        ConfigError: the file is missing, no JSON, or wrong; one line per mistake.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=mistakes.Object.of)
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file; create it, or name another in {ENVIRONMENT_VARIABLE}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}: line {error.lineno}, column {error.colno}: is not JSON: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f'{file}: is nested too deeply; write an object with "model" and "datasets"') from None
    return parse(content, file)


def parse(content: Any, file: Path) -> Config:
    """Validate the content of a config file; relative paths in it are relative to `file`."""
    reader = _Reader(file)
    if isinstance(content, list):
        raise ConfigError(
            f"{file}: is a bare list of datasets; write "
            '{"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [ … ]}'
        )
    if not isinstance(content, dict):
        raise ConfigError(f'{file}: holds {shown(content)}; write an object with "model" and "datasets"')
    for mistake in mistakes.of_json(content):
        reader.error(*mistake)
    for key in [key for key in content if key not in File.model_fields]:
        reader.error(key, mistakes.unknown(key, File.model_fields))
    model = reader.block(Model, content.get("model"), "model")
    refresh = reader.block(Refresh, content["refresh"], "refresh") if "refresh" in content else None
    entries = content.get("datasets")
    if not isinstance(entries, list) or not entries:
        reader.error(
            "datasets", f"is {shown(entries) if 'datasets' in content else 'missing'}; list at least one dataset"
        )
        entries = []
    parsed = [(index, reader.entry(entry, f"datasets[{index}]")) for index, entry in enumerate(entries)]
    active = [(index, entry) for index, entry in parsed if entry is not None]
    reader.distinct_ids(active)
    caches = [entry for _, entry in active if isinstance(entry, TextEmbeds)]
    for index, _ in [(i, e) for i, e in active if isinstance(e, TextEmbeds) and e.default][1:]:
        reader.error(f"datasets[{index}].default", "is true in another text_embeds entry too; keep one")
    known = [entry["id"] for entry in entries if _is_text_embeds(entry) and isinstance(entry.get("id"), str)]
    datasets = [(index, entry) for index, entry in active if isinstance(entry, Dataset)]
    for index, dataset in datasets:
        if dataset.text_embeds and dataset.text_embeds not in known:
            hint = nearest(dataset.text_embeds, known) or "; add one, or leave the key out"
            reader.error(
                joined(reader.origins[f"datasets[{index}]"].get("text_embeds", f"datasets[{index}]"), "text_embeds"),
                f'"{dataset.text_embeds}" is the id of no active text_embeds entry{hint}',
            )
    reader.stop_on_errors()
    assert model is not None
    recipes = tuple(reader.recipe(dataset, model, caches) for _, dataset in datasets)
    return Config(file, recipes, refresh)


class _Reader:
    """Collects all mistakes of one file before it gives up."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.base = file.absolute().parent
        self.mistakes: list[str] = []
        self.origins: dict[str, dict[str, str]] = {}  # entry -> key -> the block it stands in, where not the entry

    def error(self, path: str, message: str) -> None:
        self.mistakes.append(f"{self.file}: {path}: {message}")

    def stop_on_errors(self) -> None:
        if self.mistakes:
            raise ConfigError("\n".join(self.mistakes))

    def block(self, model: type[T], content: Any, path: str, origins: Mapping[str, str] | None = None) -> T | None:
        """Validate one block; `origins` says under which path each key was written, where that isn't `path` itself."""
        if not isinstance(content, dict):
            self.error(path, f"is {shown(content)}; write an object" if content is not None else "is missing; add it")
            return None
        try:
            return model.model_validate(content)
        except ValidationError as error:
            for mistake in mistakes.of_block(error, path, model, origins):
                self.error(*mistake)
            return None

    def entry(self, content: Any, path: str) -> Dataset | TextEmbeds | None:
        if not isinstance(content, dict):
            self.error(path, f"is {shown(content)}; write an object")
            return None
        if boolean(content.get("disabled")) is True:
            return None
        merged, origins = self.merged(content, path)
        self.origins[path] = origins
        if "trainer" in merged:
            self.error(joined(origins.get("trainer", path), "trainer"), "is not a known key; remove it")
        trainer = {key: merged.pop(key) for key in list(merged) if key in TRAINER_ONLY}
        block = {**merged, "trainer": trainer}
        if _is_text_embeds(merged):
            return self.block(TextEmbeds, block, path, origins)
        dataset = self.block(Dataset, block, path, origins)
        try:
            if dataset is not None:
                _geometry_rules(dataset)
            return dataset
        except ValidationError as error:
            for mistake in mistakes.of_block(error, path, Dataset, origins):
                self.error(*mistake)
            return None

    def merged(self, content: dict[str, Any], path: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The keys of an entry and of its `huggingface` block, which mean the same; and where each was written."""
        inner = content.get("huggingface", {})
        outer = {key: value for key, value in content.items() if key != "huggingface"}
        if not isinstance(inner, dict):
            self.error(f"{path}.huggingface", f"is {shown(inner)}; write an object")
            inner = {}
        for key in outer.keys() & inner.keys():
            if outer[key] != inner[key]:
                self.error(
                    f"{path}.huggingface.{key}",
                    f"is {shown(inner[key])}, but {path}.{key} is {shown(outer[key])}; keep one",
                )
        return {**inner, **outer}, dict.fromkeys(inner.keys() - outer.keys(), f"{path}.huggingface")

    def distinct_ids(self, entries: list[tuple[int, Dataset | TextEmbeds]]) -> None:
        ids = Counter(entry.id for _, entry in entries)
        groups: dict[str, str] = {}
        for index, entry in entries:
            if ids[entry.id] > 1:
                self.error(f"datasets[{index}].id", f'"{entry.id}" is used twice; give each entry its own id')
            elif isinstance(entry, Dataset):
                group = "".join(c if c.isascii() and c.isalnum() else "_" for c in entry.id)
                if (other := groups.setdefault(group.lower(), entry.id)) != entry.id:
                    self.error(
                        f"datasets[{index}].id",
                        f'"{entry.id}" and "{other}" fold to one asset group "{group}"; rename one',
                    )

    def path(self, name: str) -> Path:
        return Path(os.path.normpath(self.base / os.path.expanduser(name)))

    def repository(self, name: str) -> str:
        """A Hub id as it is; what exists as a folder, or is written like a path, as an absolute path."""
        is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or self.path(name).is_dir()
        return str(self.path(name)) if is_path else name

    def recipe(self, dataset: Dataset, model: Model, caches: list[TextEmbeds]) -> Recipe:
        cache_dir = self.path(dataset.cache_dir or f"cache/{dataset.id}")
        return Recipe(
            id=dataset.id,
            source=SourceSpec(
                dataset_name=self.repository(dataset.dataset_name),
                dataset_config=dataset.dataset_config,
                split=dataset.split,
                revision=dataset.revision,
            ),
            kind=dataset.dataset_type,
            media_column=dataset.image_column,
            filter=_filter_rules(dataset),
            captions=CaptionRules(caption_column=dataset.caption_column),
            geometry=_geometry_rules(dataset),
            model=self.model(model),
            folders=Folders(
                metadata=cache_dir / "huggingface_metadata" / dataset.id,
                latents=cache_dir / "vae" / dataset.id,
                embeds=self.embeds_folder(dataset, caches),
            ),
            error_budget=dataset.error_budget,
            trainer=dataset.trainer,
        )

    def model(self, model: Model) -> ModelRecipe:
        override = model.vae and ComponentSource(
            repository=self.repository(model.vae.pretrained_model_name_or_path),
            revision=model.vae.revision,
            variant=model.vae.variant,
            subfolder=model.vae.subfolder,
        )
        pipeline = PipelineSource(
            repository=self.repository(model.pretrained_model_name_or_path),
            revision=model.revision,
            variant=model.variant,
            vae=override,
        )
        return ModelRecipe(pipeline=pipeline, dtype=model.dtype)

    def embeds_folder(self, dataset: Dataset, caches: list[TextEmbeds]) -> Path:
        chosen = [
            cache
            for cache in caches
            if cache.id == dataset.text_embeds or (dataset.text_embeds is None and cache.default)
        ]
        return self.path(chosen[0].cache_dir if chosen else "cache/text")


def _is_text_embeds(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("dataset_type") == "text_embeds" and not boolean(entry.get("disabled"))


def _geometry_rules(dataset: Dataset) -> GeometryRules:
    return GeometryRules(
        resolution=dataset.resolution,
        resolution_type=dataset.resolution_type,
        minimum_image_size=dataset.minimum_image_size or None,
        crop=dataset.crop,
        crop_style=dataset.crop_style,
        crop_aspect=dataset.crop_aspect,
        alignment=dataset.aspect_bucket_alignment,
        rounding=dataset.aspect_bucket_rounding,
    )


def _filter_rules(dataset: Dataset) -> FilterRules:
    rules = dataset.filter_func
    return FilterRules(
        quality_column=rules.quality_column or dataset.quality_column or DEFAULT_QUALITY_COLUMN
        if rules.quality_thresholds
        else None,
        quality_thresholds=tuple(sorted(rules.quality_thresholds.items())),
        min_width=rules.min_width,
        min_height=rules.min_height,
        width_column=dataset.width_column,
        height_column=dataset.height_column,
    )

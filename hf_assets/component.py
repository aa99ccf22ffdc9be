"""A Dagster component: the graphs of a config, in a project of somebody else's, from a `defs.yaml`."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, WithJsonSchema

from hf_assets.building import build_definitions, parts_of, require_resource_prefix
from hf_assets.config import json_schema, loading, mistakes, positions
from hf_assets.config.loading import Config
from hf_assets.config.mistakes import Mistake
from hf_assets.config.positions import child_path
from hf_assets.errors import ConfigError

# What `defs.yaml` may hold in place of the name of a config file.
INLINE = ("model", "datasets", "refresh", "plugins")
# What Dagster calls the file, the first that is there.
FILES = ("defs.yaml", "defs.yml", "component.yaml")
# What Dagster fills in.
TEMPLATE = re.compile(r"\{\{|\{%")


class Attributes(BaseModel):
    """What `defs.yaml` says under `attributes`: the name of a config file, or the keys of one."""

    model_config = ConfigDict(extra="forbid", title="HuggingFaceDatasets")

    config: str | None = Field(None, description="A config file, relative to defs.yaml.")
    # these are checked as the keys of a config file are
    model: Annotated[Any, WithJsonSchema(json_schema.of("model"))] = Field(
        None, description="In place of `config`: as in a config file."
    )
    datasets: Annotated[Any, WithJsonSchema(json_schema.of("datasets"))] = Field(
        None, description="In place of `config`: as in a config file. Paths are relative to defs.yaml."
    )
    refresh: Annotated[Any, WithJsonSchema(json_schema.of("refresh"))] = Field(
        None, description="In place of `config`: as in a config file."
    )
    plugins: Annotated[Any, WithJsonSchema(json_schema.of("plugins"))] = Field(
        None, description="In place of `config`: as in a config file. Modules beside defs.yaml, or installed."
    )
    key_prefix: Annotated[Any, WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}})] = Field(
        None, description="What all asset keys and groups begin with."
    )
    resource_prefix: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        None,
        description="What the names of the resources `hub`, `gpu` and `tables` begin with; for a project that has some "
        "of these names.",
    )


class AnyAttributes(BaseModel):
    """Any attributes: Dagster gives no column for what pydantic finds, so `load` checks them, which knows the file."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors: what there is to say. Nothing is wrong by it, as `dg check defs` would then ask no further."""
        return json_schema.without_refusals(Attributes.model_json_schema())


class HuggingFaceDatasets(dg.Component):
    """Hugging Face datasets as latents and text embeddings for training diffusion models, exactly incremental.

    One graph of assets per dataset. `config` names a file, or what it would hold stands here: `model`, `datasets`,
    `refresh`, `plugins`.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config,
        key_prefix: str | Sequence[str] | None = None,
        base: Path = Path(FILES[0]),
        resource_prefix: str = "",
    ) -> None:
        """Name a config file, or give its content.

        Args:
            key_prefix: of all asset keys and groups.
            base: the file that paths in the content are relative to.
            resource_prefix: of the names of the resources.
        """
        self.config = config
        self.key_prefix = key_prefix
        self.base = base
        self.resource_prefix = resource_prefix

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """What `defs.yaml` may say."""
        return AnyAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component that a `defs.yaml` describes.

        Raises:
            ConfigError: a line for each mistake, as `file:line:column: json.path: …`.
        """
        given = attributes.model_dump() if attributes else {}
        found: list[Mistake] = []
        said = {
            key: _fill_in(value, key, context.resolution_context, found)
            for key, value in given.items()
            if value is not None
        }
        written = _Origin.of(context)
        if found:
            raise ConfigError(mistakes.error(written.file, found, written.attributes).located)
        found = list(_mistakes(said, written))
        lines = [mistakes.error(written.file, found, written.attributes).located] if found else []
        config = None
        try:
            if isinstance(said.get("config"), str):
                if (file := written.named(said["config"])).exists():
                    config = loading.load(file)
            elif inline := {key: said[key] for key in INLINE if key in said}:
                config = loading.parse(inline, written.file, lambda: written.attributes)
        except ConfigError as error:
            lines.append(error.located)
        if config is None or lines:
            raise ConfigError("\n".join(lines))
        return cls(config, said.get("key_prefix"), written.file, said.get("resource_prefix", ""))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The graphs, with a sensor and a schedule named after the key prefix, else after the place."""
        config = loading.parse(self.config, self.base) if isinstance(self.config, Mapping) else self.config
        name = None if self.key_prefix else _place_of(context)
        return build_definitions(config, key_prefix=self.key_prefix, name=name, resource_prefix=self.resource_prefix)


def _place_of(context: dg.ComponentLoadContext) -> str:
    """The folders below `defs`, and what distinguishes the components of one file: no two have the same."""
    path, root = context.path, context.defs_module_path
    path = path.with_suffix("") if path.is_file() else path
    below = path.relative_to(root).parts if path.is_relative_to(root) else ()
    key = context.component_path.instance_key
    number = str(key + 1) if isinstance(key, int) and key else key or ""
    return "_".join([*(below or [path.name]), *([number] if number else [])])


class _Origin(NamedTuple):
    """Where a component is described.

    Attributes:
        file: the `defs.yaml`.
        attributes: the places of its attributes; None where the file isn't there.
    """

    file: Path
    attributes: positions.Node | None

    @classmethod
    def of(cls, context: dg.ComponentLoadContext) -> Self:
        folder = context.path if context.path.is_dir() else context.path.parent
        file = next((file for name in FILES if (file := folder / name).exists()), None)
        if file is None:
            return cls(folder / FILES[0], None)
        key = context.component_path.instance_key  # the number of the document in the file
        document = positions.of_yaml(file.read_text(encoding="utf-8"), key if isinstance(key, int) else 0)
        if document.repeated:
            found = [Mistake(key, "stands twice in one object; keep one") for key in document.repeated]
            raise ConfigError(mistakes.error(file, found, document).located)
        return cls(file, document.children["attributes"][1] if "attributes" in document.children else document)

    def named(self, config: str) -> Path:
        """The file that `config` names."""
        return Path(os.path.normpath(self.file.parent / Path(os.path.expanduser(config))))


def _fill_in(value: Any, path: str, context: dg.ResolutionContext, found: list[Mistake]) -> Any:
    """A value with its templates filled in; what can't be is added to `found`.

    Text without templates is left as YAML has it: Dagster would make numbers, lists and nothing of "2024", "1, 2" and
    "None", as it does of what templates give.
    """
    if isinstance(value, dict):
        return {key: _fill_in(one, child_path(path, str(key)), context, found) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill_in(one, child_path(path, index), context, found) for index, one in enumerate(value)]
    if not isinstance(value, str) or not TEMPLATE.search(value):
        return value
    try:
        filled = context.resolve_value(value)
    except Exception as error:  # of whatever is called in the template
        why = str(error.__context__ or error).strip().rstrip(".")
        found.append(Mistake(path, f"is {mistakes.quote(value)}, which can't be filled in: {why}"))
        return value
    if filled is None:
        remedy = """set the variable, or give a default as in {{ env('NAME', 'default') }}"""
        found.append(Mistake(path, f"is {mistakes.quote(value)}, which gives nothing; {remedy}"))
    return filled


def _mistakes(said: Mapping[str, Any], written: _Origin) -> Iterator[Mistake]:
    """What is wrong with the attributes, apart from what is in a config."""
    if written.attributes is not None:
        for path in positions.repeated_keys(written.attributes):  # of which YAML takes the last without a word
            yield Mistake(path, "stands twice in one object; keep one")
    try:
        Attributes.model_validate(said)
    except ValidationError as error:
        yield from mistakes.of_block(error, "", Attributes)
    checks = {"key_prefix": parts_of, "resource_prefix": require_resource_prefix}
    for key in [key for key in checks if key in said]:
        try:
            checks[key](said[key])
        except ConfigError as error:
            yield Mistake(key, str(error).removeprefix(f"{key}: "))
    inline = [key for key in INLINE if key in said]
    config = said.get("config")
    if config is None and not inline:
        yield Mistake("", "names no config; give config, or model and datasets")
    elif config is not None and inline:
        yield Mistake(inline[0], "has no place beside config, which names a file; keep one of them")
    elif isinstance(config, str) and not (file := written.named(config)).exists():
        yield Mistake("config", f"is {mistakes.quote(config)}, but there is no file {file}; create it, or name another")

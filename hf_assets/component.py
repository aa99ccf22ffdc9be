"""A Dagster component: the graphs of a config, in a project of somebody else's, from a `defs.yaml`."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import dagster as dg
from pydantic import BaseModel, Field, ModelWrapValidatorHandler, ValidationError, WithJsonSchema, model_validator
from pydantic_core import InitErrorDetails

from hf_assets.building import build_definitions
from hf_assets.config import loading, schema
from hf_assets.errors import ConfigError

# What `defs.yaml` may hold in place of the name of a config file.
INLINE = ("model", "datasets", "refresh")
TEMPLATE = re.compile(r"\{\{.*\}\}")
HERE = Path("defs.yaml")

# Where in some content, step by step.
Where = list[str | int]


class Attributes(BaseModel):
    """What `defs.yaml` says under `attributes`: the name of a config file, or the keys of one."""

    model_config = {"extra": "forbid", "title": "HuggingFaceDatasets"}

    config: str | None = Field(None, description="A config file, relative to defs.yaml.")
    model: Annotated[dict[str, Any] | None, WithJsonSchema(schema.of("model"))] = Field(
        None, description="In place of `config`: as in a config file."
    )
    datasets: Annotated[list[dict[str, Any]] | None, WithJsonSchema(schema.of("datasets"))] = Field(
        None, description="In place of `config`: as in a config file. Paths are relative to defs.yaml."
    )
    refresh: Annotated[dict[str, Any] | None, WithJsonSchema(schema.of("refresh"))] = Field(
        None, description="In place of `config`: as in a config file."
    )
    key_prefix: str | list[str] | None = Field(None, description="What all asset keys and groups begin with.")

    @property
    def inline(self) -> dict[str, Any]:
        """The keys of a config file that stand here."""
        return {key: value for key in INLINE if (value := getattr(self, key)) is not None}

    @model_validator(mode="wrap")
    @classmethod
    def _is_right(cls, content: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """All mistakes at once, each where it stands: Dagster adds file and line."""
        made = handler(content)
        if made.config is not None and made.inline:
            raise _at([([next(iter(made.inline))], "config names a file already; keep one")], content)
        if made.config is None and not made.inline:
            raise ValueError("names no config; give config, or model and datasets")
        if made.inline and not TEMPLATE.search(str(made.inline)):  # else it is known later what stands there
            try:
                loading.parse(made.inline, HERE)
            except ConfigError as error:
                raise _at(_mistakes(str(error)), content) from None
        return made


class HuggingFaceDatasets(dg.Component):
    """Hugging Face datasets as latents and text embeddings for training diffusion models, exactly incremental.

    One graph of assets per dataset. `config` names a file, or `model`, `datasets` and `refresh` stand here as in one.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any],
        key_prefix: str | Sequence[str] | None = None,
        base: Path = HERE,
    ) -> None:
        """Name a config file, or give its content.

        Args:
            key_prefix: of all asset keys and groups.
            base: the file that paths in the content are relative to.
        """
        self.config = config
        self.key_prefix = key_prefix
        self.base = base

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """What `defs.yaml` may say."""
        return Attributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component that a `defs.yaml` describes."""
        checked = attributes if isinstance(attributes, Attributes) else Attributes.model_validate({})
        said = context.resolution_context.resolve_value(checked.model_dump(exclude_none=True))
        folder = context.path if context.path.is_dir() else context.path.parent
        config = folder / said["config"] if "config" in said else {key: said[key] for key in INLINE if key in said}
        return cls(config, said.get("key_prefix"), folder / HERE.name)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The graphs, with a sensor and a schedule named after the key prefix, else after the folder."""
        config = loading.parse(self.config, self.base) if isinstance(self.config, Mapping) else self.config
        name = None if self.key_prefix else context.path.stem
        return build_definitions(config, key_prefix=self.key_prefix, name=name)


def _mistakes(error: str) -> Iterator[tuple[Where, str]]:
    """The mistakes that an error lists as `defs.yaml: json.path: message`: where, and what."""
    for line in error.splitlines():
        path, _, message = line.removeprefix(f"{HERE}: ").partition(": ")
        steps = re.findall(r"[^.\[\]]+|\[\d+\]", path)
        yield [int(step[1:-1]) if step[0] == "[" else step for step in steps], f"{path}: {message}"


def _at(mistakes: Iterable[tuple[Where, str]], content: Any) -> ValidationError:
    """Mistakes as pydantic reports them, each at the part of the content that holds it."""
    details = [
        InitErrorDetails(type="value_error", loc=tuple(_there(where, content)), input=None, ctx={"error": message})
        for where, message in mistakes
    ]
    return ValidationError.from_exception_data("HuggingFaceDatasets", details)


def _there(where: Where, content: Any) -> Iterator[str | int]:
    """As much of a path as exists."""
    for step in where:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return
        yield step

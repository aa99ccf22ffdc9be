"""`docs/config.md`, made from the models: `python -m hf_assets.config.keys_page > docs/config.md`."""

import json
import types
import typing
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hf_assets.config.blocks import CaptionFile, FilterFunc
from hf_assets.config.check_keys import Checks
from hf_assets.config.config_file import Dataset, File, ImageEmbeds, Model, Refresh, T5Override, TextEmbeds, VaeOverride
from hf_assets.config.export_rules import ExportRules
from hf_assets.config.trainer_keys import TRAINER_ONLY
from hf_assets.stages.audio import AudioRules
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import AspectBucket
from hf_assets.stages.rewriting import ShuffleRules

INTRODUCTION = """# The config file

One JSON file, named by `HF_ASSETS_CONFIG`, else `datasets.json` in the working directory. Relative paths in it are
relative to the file. Keys of a dataset may stand in its entry or in a block `"huggingface": {}` or `"config": {}`
there: they mean the same, and a key that stands in two of these with different values is an error, as is a key that
isn't known. All mistakes are reported at once, a line for each: `file: json.path: what, and what to do (line, column)`.
This page is made from the code (`python -m hf_assets.config.keys_page`).

SimpleTuner's own files work as they are: `config.json`, which names the list of datasets, or that list
(`multidatabackend.json`) with a `config.json` beside it. [simpletuner.md](simpletuner.md) says what happens with each
of their keys. In paths, `{id}`, `{model_family}`, `{output_dir}` and `{env:NAME}` are replaced."""

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", File),
    ("`model`", Model),
    ("`model.vae`", VaeOverride),
    ("`model.t5`", T5Override),
    ("An entry of `datasets`", Dataset),
    ("`parquet` and `csv`", CaptionFile),
    ("`filter_func`", FilterFunc),
    ("`composite_image_config`", CompositeRules),
    ("`audio`", AudioRules),
    ("`video`", FrameRules),
    ("`caption_shuffle`", ShuffleRules),
    ("`crop_aspect_buckets`", AspectBucket),
    ("`export`", ExportRules),
    ("`checks`", Checks),
    *((f"`checks.{name}`", type(field.default)) for name, field in Checks.model_fields.items()),
    ("An entry of `datasets` that keeps text embeds", TextEmbeds),
    ("An entry of `datasets` that keeps latents", ImageEmbeds),
    ("`refresh`", Refresh),
)


def page() -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION]
    for title, model in SECTIONS:
        rows = [_row(name, field) for name, field in model.model_fields.items() if name != "trainer"]
        parts.append("\n".join([f"## {title}", "", "| key | value | default | |", "|--|--|--|--|", *rows]))
    keys = ", ".join(f"`{key}`" for key in sorted(TRAINER_ONLY))
    parts.append(
        "## For the trainer only\n\nAccepted and kept for the reader ([training.md](training.md)); nothing that is "
        f"stored depends on them: {keys}."
    )
    return "\n\n".join(parts) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    if field.is_required():
        default = "required"
    else:
        value = field.get_default(call_default_factory=True)
        default = (
            ""
            if value is None or value is PydanticUndefined or isinstance(value, BaseModel) or value == {}
            else f"`{json.dumps(value)}`"
        )
    return f"| `{name}` | {_kind(field.annotation)} | {default} | {field.description or ''} |"


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in get_args(annotation))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(_kind(part) for part in get_args(annotation) if part is not type(None)))
    if origin in (list, tuple):
        parts = [part for part in get_args(annotation) if part is not ...]
        return f"list of {' or '.join(dict.fromkeys(_kind(part) for part in parts))}"
    if origin is dict:
        return f"object of {_kind(get_args(annotation)[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "any")


if __name__ == "__main__":
    print(page(), end="")

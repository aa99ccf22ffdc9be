"""The config's keys as a JSON schema, for editors."""

from typing import Any

from pydantic import BaseModel

from hf_assets.config.config_file import Dataset, File, ImageEmbeds, Model, Refresh, TextEmbeds
from hf_assets.config.trainer_keys import TRAINER_ONLY

# What a schema says without refusing anything.
SAYING = ("title", "description", "default", "examples")


def of(key: str) -> dict[str, Any]:
    """The schema of the value of one of the file's keys. What is right and what is wrong, `loading` says."""
    if key == "datasets":
        entry = _merge(_plain(Dataset), _plain(TextEmbeds), _plain(ImageEmbeds))
        return {"type": "array", "minItems": 1, "items": _entry(entry)}
    blocks: dict[str, type[BaseModel]] = {"model": Model, "refresh": Refresh}
    if key in blocks:
        return _plain(blocks[key])
    own: dict[str, Any] = _plain(File)["properties"][key]
    return own


def without_refusals(schema: dict[str, Any]) -> dict[str, Any]:
    """The same keys, values and descriptions, for an editor to offer; whatever is written is right by it."""
    made = {name: schema[name] for name in SAYING if name in schema}
    if "properties" in schema:
        made["properties"] = {name: without_refusals(one) for name, one in schema["properties"].items()}
    elif "items" in schema:
        made["items"] = without_refusals(schema["items"])
    else:
        made["anyOf"] = [{name: one for name, one in schema.items() if name not in SAYING}, {}]
    return made


def _entry(keys: dict[str, Any]) -> dict[str, Any]:
    """An entry: keys stand in it or in its block `huggingface`, so that none is required at one place."""
    known = {name: schema for name, schema in keys.items() if name != "trainer"}
    known |= {key: {"description": "For the trainer only."} for key in sorted(TRAINER_ONLY)}
    block = {"type": "object", "properties": known, "additionalProperties": False}
    return {**block, "properties": {**known, "huggingface": block, "config": block}}


def _merge(*schemas: dict[str, Any]) -> dict[str, Any]:
    """The keys of several blocks; one that means something else in each is taken as it comes."""
    merged: dict[str, Any] = {}
    for schema in schemas:
        for name, value in schema["properties"].items():
            merged[name] = value if merged.get(name, value) == value else {}
    return merged


def _plain(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with nothing referred to elsewhere, and with flags that may be text."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return plain(definitions[value["$ref"].rsplit("/", 1)[-1]])
        if value.get("type") == "boolean":
            return {"anyOf": [{"type": "boolean"}, {"type": "string"}], **{k: value[k] for k in value if k != "type"}}
        return {name: plain(one) for name, one in value.items()}

    made = plain(schema)
    assert isinstance(made, dict)
    return made

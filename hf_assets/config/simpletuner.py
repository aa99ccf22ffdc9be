"""SimpleTuner's own files: a bare list of datasets, and the `config.json` beside it with the model and defaults."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from hf_assets.config import mistakes, positions
from hf_assets.config.keys import Dataset
from hf_assets.config.mistakes import Mistake, quote
from hf_assets.config.rules import RuleError
from hf_assets.errors import ConfigError

CONFIG_FILE = "config.json"

# Keys of a dataset that config.json may give for all.
DEFAULTS = (
    "resolution",
    "resolution_type",
    "aspect_bucket_alignment",
    "aspect_bucket_rounding",
    "minimum_image_size",
    "maximum_image_size",
    "target_downsample_size",
    "instance_prompt",
    "prepend_instance_prompt",
    "only_instance_prompt",
    "train_batch_size",
)

# Its key -> ours, of the model.
MODEL_KEYS = {
    "pretrained_model_name_or_path": "pretrained_model_name_or_path",
    "revision": "revision",
    "variant": "variant",
}
VAE_KEYS = ("pretrained_vae_model_name_or_path", "vae_path")
DTYPES = {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "float16": "float16",
    "fp32": "float32",
    "float32": "float32",
    "default": "bfloat16",
}


class FileParts(NamedTuple):
    """The parts of our own form of the file.

    Attributes:
        model: the block `model`.
        defaults: of every dataset's keys.
        cache_dir: the folder of all caches that no entry names.
    """

    model: dict[str, Any]
    defaults: dict[str, Any]
    cache_dir: str | None


def beside(file: Path) -> FileParts:
    """What the `config.json` beside a bare list says.

    Raises:
        ConfigError: there is none, or it names no model.
    """
    config = file.absolute().parent / CONFIG_FILE
    try:
        text = config.read_text(encoding="utf-8-sig")
        content = json.loads(text, object_pairs_hook=mistakes.Object.of)
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: is a bare list of datasets, and there is no {CONFIG_FILE} beside it that names the model; write "
            '{"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [ … ]}, or add that file'
        ) from None
    except json.JSONDecodeError as error:
        raise mistakes.not_json(config, error) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{config}: can't be read as JSON: {error}") from None
    except ValueError:
        raise mistakes.too_long(config) from None
    try:
        whole = _of(content)
        found = list(_wrong(content, whole))
    except RuleError as error:
        found = [Mistake(error.key, error.message)]
    if found:
        raise mistakes.error(config, found, positions.of_json(text))
    return whole


def _of(content: Any) -> FileParts:
    """Take from SimpleTuner's settings, with or without leading dashes, what concerns us. The rest is the trainer's."""
    if not isinstance(content, dict):
        raise RuleError("", f"holds {quote(content)}; write an object with pretrained_model_name_or_path")
    given = {key.lstrip("-"): value for key, value in content.items() if value is not None}
    if "pretrained_model_name_or_path" not in given:
        family = f" (model_family {quote(given['model_family'])} alone doesn't)" if "model_family" in given else ""
        raise RuleError(
            "pretrained_model_name_or_path", f"is missing, which says what pipeline is used{family}; add it"
        )
    model = {ours: given[key] for key, ours in MODEL_KEYS.items() if key in given}
    vae = next((given[key] for key in VAE_KEYS if given.get(key)), None)
    if vae is not None:
        model["vae"] = {"pretrained_model_name_or_path": vae}
    dtype = given.get("vae_dtype", "default")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        key = next(key for key in content if key.lstrip("-") == "vae_dtype")
        raise RuleError(key, f"is {quote(dtype)}; use {', '.join(sorted(DTYPES))}")
    model["dtype"] = DTYPES[dtype]
    defaults = {key: _number(given[key]) for key in DEFAULTS if key in given}
    return FileParts(model, defaults, given.get("cache_dir"))


def _wrong(content: dict[str, Any], whole: FileParts) -> Iterator[Mistake]:
    """What is wrong with the keys that concern us, as they are written there."""
    concern = {*MODEL_KEYS, *VAE_KEYS, *DEFAULTS, "vae_dtype", "cache_dir"}
    written = {key: value for key, value in content.items() if key.lstrip("-") in concern}
    for key in written:
        others = [one for one in written if one.lstrip("-") == key.lstrip("-") and one != key]
        if any(written[one] != written[key] for one in others) or key in getattr(content, "repeated", ()):
            yield Mistake(key, "stands twice; keep one")
    yield from mistakes.of_json(written)
    as_written = {key.lstrip("-"): key for key in written}
    for key in (*MODEL_KEYS, *VAE_KEYS, "cache_dir"):
        value = written.get(as_written.get(key, ""))
        if value is not None and not isinstance(value, str):
            yield Mistake(as_written[key], f"is {quote(value)}; write text")
    entry = {"id": "a", "type": "huggingface", "dataset_name": "a/a"}
    try:
        Dataset.model_validate(
            {**entry, **{key: whole.defaults[key] for key in whole.defaults if key in Dataset.model_fields}}
        )
    except ValidationError as error:
        if any(found["loc"] for found in error.errors()):  # else it is one that a dataset's own keys may mend
            for path, message in mistakes.of_block(error, "", Dataset):
                yield Mistake(as_written.get(path, path), message)


def _number(value: Any) -> Any:
    """SimpleTuner's files hold numbers as text too."""
    if isinstance(value, str):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                if math.isfinite(number := kind(value)):
                    return number
    return value

"""SimpleTuner's own files: `config.json` with the model and defaults, and the list of datasets that it names."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from hf_assets.blobs.location import SCHEMES
from hf_assets.config import documents, mistakes, model_choice, numerals, trainer_keys
from hf_assets.config.config_file import Dataset
from hf_assets.config.documents import At, Document
from hf_assets.config.family_defaults import USUAL_RATE
from hf_assets.config.mistakes import Mistake, quote
from hf_assets.config.placeholders import PlaceholderError, fill_in
from hf_assets.config.positions import child_path
from hf_assets.config.suggestions import suggest
from hf_assets.errors import ConfigError
from hf_assets.spellings import boolean, number

CONFIG_FILE = "config.json"
DATASETS_KEY = "data_backend_config"
DATASETS_FILE = "multidatabackend.json"
# A file with one of these, and no datasets in it, is a config.json.
SIGNS = frozenset([DATASETS_KEY, "model_family", "model_type", "pretrained_model_name_or_path"])

# Keys of a dataset that config.json may give for all.
DEFAULTS = (
    "resolution",
    "resolution_type",
    "aspect_bucket_alignment",
    "aspect_bucket_rounding",
    "minimum_image_size",
    "maximum_image_size",
    "target_downsample_size",
    "max_upscale_threshold",
    "crop",
    "crop_style",
    "crop_aspect",
    "crop_aspect_buckets",
    "caption_strategy",
    "instance_prompt",
    "prepend_instance_prompt",
    "only_instance_prompt",
    "train_batch_size",
    "caption_dropout_probability",
)

# Its key -> ours, of the model.
MODEL_KEYS = {
    "model_family": "family",
    "model_flavour": "flavour",
    "pretrained_model_name_or_path": "pretrained_model_name_or_path",
    "revision": "revision",
    "variant": "variant",
    "vae_enable_tiling": "vae_tiling",
    "tokenizer_max_length": "tokenizer_max_length",
}
VAE_KEYS = ("pretrained_vae_model_name_or_path", "vae_path")
T5_KEY = "pretrained_t5_model_name_or_path"
# Keys of its that name text encoders; those of denoisers and adapters are the trainer's.
ENCODER = re.compile(r"pretrained_(?!model_|vae_|t5_|transformer_|unet_|controlnet_)\w*_?model_name_or_path")
DTYPES = {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "float16": "float16",
    "fp32": "float32",
    "float32": "float32",
    "default": "bfloat16",
}
PATHS = ("cache_dir", "output_dir")


class Settings(NamedTuple):
    """What a config.json says that concerns us.

    Attributes:
        model: the block `model` of our own form.
        defaults: of every dataset's keys.
        origins: key of `defaults` or of `model` (as `model.key`) -> where it is written.
        cache_dir, output_dir: absolute; None where not given.
        frame_rate: of which 5 seconds are encoded where a dataset doesn't say how many frames.
        seed: of shuffled captions.
        plugins: modules whose functions filters may name.
        notes: a line on the keys that nothing here depends on.
    """

    document: Document
    model: dict[str, Any]
    defaults: dict[str, Any]
    origins: dict[str, At]
    cache_dir: str | None
    output_dir: str | None
    frame_rate: float
    seed: int | None
    plugins: list[str]
    notes: tuple[str, ...]


def is_settings(content: Any) -> bool:
    """Whether a file's content is that of a config.json."""
    return isinstance(content, dict) and "datasets" not in content and any(key.lstrip("-") in SIGNS for key in content)


def beside(file: Path) -> Document:
    """The `config.json` beside a bare list.

    Raises:
        ConfigError: there is none, or it can't be read.
    """
    config = file.absolute().parent / CONFIG_FILE
    if not config.exists():
        raise ConfigError(
            f"{file}: is a bare list of datasets, and there is no {CONFIG_FILE} beside it that names the model; write "
            '{"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [ … ]}, or add that file'
        )
    return documents.unwrap(documents.read(config, "add it"))


def datasets_of(settings: Document) -> Document:
    """The list of datasets that a config.json names: beside it, in a folder above it, or in the working directory.

    Raises:
        ConfigError: it names none, or the file isn't there or no list.
    """
    as_written = _as_written(settings.content)
    key = as_written.get(DATASETS_KEY, DATASETS_KEY)
    name = settings.content.get(key) or DATASETS_FILE
    if not isinstance(name, str):
        raise _error(settings, key, f"is {quote(name)}; write the name of a file")
    try:
        name = fill_in(name, {"model_family": _family(settings.content)})
    except PlaceholderError as wrong:
        raise _error(settings, key, f"is {quote(name)}, which {wrong}") from None
    file = found_from(settings.folder, name)
    if not file.is_file():
        if key not in settings.content:
            raise _error(
                settings, key, f"is missing, and there is no {DATASETS_FILE} beside it; name the datasets' file"
            )
        raise _error(
            settings,
            key,
            f"is {quote(name)}, but there is no such file beside {settings.file}, in a folder above it, or in the "
            "working directory; correct the path",
        )
    found = documents.unwrap(documents.read(file, "create it"))
    if isinstance(found.content, dict) and isinstance(found.content.get("datasets"), list):
        found = found._replace(content=found.content["datasets"], prefix=child_path(found.prefix, "datasets"))
    if not isinstance(found.content, list):
        raise _error(found, found.prefix, f"holds {quote(found.content)}; write a list of datasets")
    return found


def found_from(folder: Path, name: str) -> Path:
    """A file or folder by its name in this folder, in one above it, or in the working directory; the first that is
    there. SimpleTuner runs in a folder above its files, and names are relative to that one.
    """
    asked = Path(os.path.expanduser(name))
    places = [base / asked for base in (folder, *folder.parents, Path.cwd())]
    return Path(os.path.normpath(next((one for one in places if one.exists()), places[0])))


def read(document: Document) -> Settings:
    """Take from SimpleTuner's settings, with or without leading dashes, what concerns us. The rest is the trainer's.

    Raises:
        ConfigError: something of it is wrong, or would change what is encoded and can't be kept.
    """
    content = document.content
    if not isinstance(content, dict):
        raise _error(document, document.prefix, f"holds {quote(content)}; write an object with model_family")
    as_written = _as_written(content)
    given = {key: content[written] for key, written in as_written.items()}

    def at(key: str) -> At:
        return At(child_path(document.prefix, as_written.get(key, key)), document)

    found = [*_repetitions(content, as_written), *_refusals(given)]
    if not given.get("model_family") and not given.get("pretrained_model_name_or_path"):
        found.append(("model_family", "is missing; add it, or pretrained_model_name_or_path"))
    found += [(key, f"is {quote(given[key])}; write text") for key in _no_text(given)]
    model = _model(given)
    vae = next((key for key in VAE_KEYS if given.get(key)), None)
    origins = {f"model.{ours}": at(key) for key, ours in MODEL_KEYS.items()}
    if vae:
        origins["model.vae"] = at(vae)
    origins["model.t5"] = at(T5_KEY)
    if "vae_dtype" in given:
        origins["model.dtype"] = at("vae_dtype")
    defaults = {key: given[key] for key in DEFAULTS if key in given}
    found += _wrong_defaults(defaults)
    found += _wrong_alignment(given, defaults)
    rate, seed = number(given.get("framerate", USUAL_RATE)), number(given.get("seed"))
    if not _is_positive(rate):
        found.append(("framerate", f"is {quote(rate)}; write a number above 0"))
    plugins = given.get("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(name, str) for name in plugins):
        found.append(("plugins", f"is {quote(plugins)}; list names of modules"))
    written = {key: value for key, value in content.items() if key.lstrip("-") in trainer_keys.HONOURED}
    odd = [Mistake(child_path(document.prefix, one.path), one.message, document) for one in mistakes.of_json(written)]
    if wrong := [*(Mistake(at(key).path, message, document) for key, message in dict(found).items()), *odd]:
        raise mistakes.error(document.file, wrong)
    output_dir = _folder(given, "output_dir", at("output_dir"), None)
    cache_dir = _folder(given, "cache_dir", at("cache_dir"), output_dir)
    return Settings(
        document,
        model,
        defaults,
        origins | {key: at(key) for key in defaults},
        cache_dir,
        output_dir,
        float(rate),
        seed if isinstance(seed, int) else None,
        plugins,
        tuple(_notes(document, given)),
    )


def _model(given: Mapping[str, Any]) -> dict[str, Any]:
    """The block `model` of our own form."""
    model: dict[str, Any] = {ours: given[key] for key, ours in MODEL_KEYS.items() if key in given}
    for key in ("flavour", "family"):  # "2.0" is a flavour, and may be written as a number
        if isinstance(model.get(key), int | float) and not isinstance(model[key], bool):
            model[key] = str(model[key])
    vae = next((given[key] for key in VAE_KEYS if given.get(key)), None)
    if vae is not None:
        model["vae"] = {"pretrained_model_name_or_path": vae}
    if given.get(T5_KEY):
        model["t5"] = {"pretrained_model_name_or_path": given[T5_KEY]}
    dtype = given.get("vae_dtype", "default")
    model["dtype"] = DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype
    return model


def _refusals(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What would change tensors, and can't be kept."""
    dtype = given.get("vae_dtype", "default")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        yield "vae_dtype", f"is {quote(dtype)}; use {', '.join(sorted(DTYPES))}"
    if given.get("t5_padding") not in (None, "", "unmodified"):
        yield "t5_padding", f"is {quote(given['t5_padding'])}, but {trainer_keys.REFUSED['t5_padding']}"
    if boolean(given.get("ideogram_prompt_upsample")) not in (None, False):
        key = "ideogram_prompt_upsample"
        yield key, f"is {quote(given[key])}, but {trainer_keys.REFUSED[key]}"
    for key, value in given.items():
        if ENCODER.fullmatch(key) and value:
            yield key, f"is {quote(value)}, but {trainer_keys.OTHER_ENCODERS}"


def _no_text(given: Mapping[str, Any]) -> Iterator[str]:
    for key in ("model_family", "pretrained_model_name_or_path", "revision", "variant", *VAE_KEYS, T5_KEY, *PATHS):
        if not isinstance(given.get(key, ""), str):
            yield key


def _wrong_defaults(defaults: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What no dataset could take."""
    entry = {"id": "a", "type": "huggingface", "dataset_name": "a/a"}
    entry |= {key: defaults[key] for key in defaults if key in Dataset.model_fields}
    try:
        Dataset.model_validate(numerals.read(Dataset, entry))
    except ValidationError as error:
        if any(found["loc"] for found in error.errors()):  # else it is one that a dataset's own keys may mend
            for path, message, _ in mistakes.of_block(error, "", Dataset):
                yield re.split(r"[.\[]", path)[0], message


def _wrong_alignment(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Another alignment than the family has, which SimpleTuner wouldn't take either."""
    key = "aspect_bucket_alignment"
    family, flavour = given.get("model_family"), given.get("model_flavour")
    if not isinstance(family, str | None):
        return  # said of the model
    try:
        choice = model_choice.choose(family, flavour and str(flavour), given.get("pretrained_model_name_or_path"))
    except model_choice.ChoiceError:
        return
    if choice and choice.forces_alignment and number(defaults.get(key, choice.alignment_px)) != choice.alignment_px:
        yield (
            key,
            f'is {quote(defaults[key])}, but SimpleTuner always takes {choice.alignment_px} for "{family}"; remove it, '
            "or write it in the datasets' entries, which decide",
        )


def _repetitions(content: Mapping[str, Any], as_written: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys that are there with dashes and without, and differ."""
    for key, written in content.items():
        bare = key.lstrip("-")
        differs = content[as_written.get(bare, key)] != written and written is not None
        if bare in trainer_keys.HONOURED and (differs or key in getattr(content, "repeated", ())):
            yield bare, "stands twice; keep one"


def _notes(document: Document, given: Mapping[str, Any]) -> Iterator[str]:
    """The keys that only a trainer reads, and what those that look like ours may have been meant to be."""
    others = sorted(set(given) - set(trainer_keys.HONOURED) - set(trainer_keys.REFUSED))
    said = []
    for key in others:
        known = key in trainer_keys.OF_THE_TRAINER
        meant = None if known else suggest(key, trainer_keys.HONOURED, trainer_keys.OF_THE_TRAINER)
        said.append(f'{key} (did you mean "{meant}"?)' if meant else key)
    if said:
        yield f"{document.file.name}: for the trainer only: {', '.join(said)}"


def _folder(given: Mapping[str, Any], key: str, at: At, output_dir: str | None) -> str | None:
    """A folder that config.json names, absolute."""
    if not given.get(key):
        return None
    assert at.document is not None
    try:
        filled = fill_in(given[key], {"model_family": given.get("model_family"), "output_dir": output_dir})
    except PlaceholderError as wrong:
        raise _error(at.document, at.path, f"is {quote(given[key])}, which {wrong}") from None
    return filled if filled.startswith(SCHEMES) else str(at.document.folder / Path(os.path.expanduser(filled)))


def _family(content: Mapping[str, Any]) -> str | None:
    family = content.get(_as_written(content).get("model_family", ""))
    return family if isinstance(family, str) else None


def _as_written(content: Mapping[str, Any]) -> dict[str, str]:
    """Key without dashes -> as it stands in the file, of those that have a value."""
    return {key.lstrip("-"): key for key, value in content.items() if value is not None and value != ""}


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _error(document: Document, path: str, message: str) -> ConfigError:
    return mistakes.error(document.file, [Mistake(path, message, document)])

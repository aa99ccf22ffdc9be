"""An entry as it was written, on the way to one of ours: what only a trainer reads set aside, defaults put in."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hf_assets.config import family_defaults, placeholders, trainer_keys, training_part
from hf_assets.config.config_file import Dataset, ImageEmbeds, TextEmbeds, without_effect
from hf_assets.config.defaults import with_defaults
from hf_assets.config.documents import At
from hf_assets.config.mistakes import Mistake, quote
from hf_assets.config.model_choice import Choice
from hf_assets.config.placeholders import PlaceholderError
from hf_assets.config.positions import child_path
from hf_assets.config.rules import RuleError
from hf_assets.spellings import boolean

# Blocks of an entry whose keys mean what they mean in the entry itself.
INNER = ("huggingface", "config")
# Its other blocks.
BLOCKS = ("video", "audio", "parquet", "csv", "caption_shuffle", "composite_image_config", "filter_func")
# Keys that hold paths, in which placeholders are filled in; `block.key` of one in a block.
PATHS = ("cache_dir", "cache_dir_vae", "instance_data_dir", "dataset_name", "parquet.path", "csv.path")
# A path, or a list of what isn't one.
PATH_IF_TEXT = "caption_filter_list"
# Patterns, in which other braces have a meaning of their own.
PATTERNS = "data_files"

AUDIO_OF_VIDEOS = "the audio of videos is not encoded"

KINDS: Mapping[str, type[TextEmbeds | ImageEmbeds]] = {"text_embeds": TextEmbeds, "image_embeds": ImageEmbeds}


class Surroundings(NamedTuple):
    """What decides about all entries of a file.

    Attributes:
        defaults: of the datasets' keys; `origins` says where each is written.
        choice: the model; None where it is wrong.
        frame_rate: of which 5 seconds are encoded in a family where an entry says nothing.
        seed: of shuffled captions that have none.
        output_dir: what `{output_dir}` stands for.
        family: what `{model_family}` stands for, also where there is no such family.
        is_simpletuner: whether these are SimpleTuner's files, in which null or an empty text says nothing.
    """

    defaults: Mapping[str, Any]
    origins: Mapping[str, At]
    choice: Choice | None
    frame_rate: float = family_defaults.USUAL_RATE
    seed: int | None = None
    output_dir: str | None = None
    family: str | None = None
    is_simpletuner: bool = False


class Draft(NamedTuple):
    """An entry whose values are still to be checked.

    Attributes:
        model: of what kind it is; None: nothing is made of it.
        content: its keys, with those of its blocks `INNER` among them.
        origins: key -> where it was written, of those that don't stand in the entry itself.
        by_family: the keys, as dotted paths, that the model's family decides.
    """

    model: type[Dataset | TextEmbeds | ImageEmbeds] | None
    content: dict[str, Any]
    origins: Mapping[str, At]
    mistakes: list[Mistake]
    notes: list[str]
    by_family: frozenset[str] = frozenset()


def make_draft(written: Any, path: str, around: Surroundings) -> Draft:
    """An entry at `path` on the way to one of ours."""
    draft = Draft(None, {}, {}, [], [])
    if not isinstance(written, dict):
        draft.mistakes.append(Mistake(path, f"is {quote(written)}; write an object"))
        return draft
    if boolean(written.get("disabled", written.get("disable"))) is True:
        return draft
    kind = written.get("dataset_type")
    if isinstance(kind, str) and kind in trainer_keys.ELSEWHERE:
        reason = trainer_keys.ELSEWHERE[kind]
        draft.notes.append(f'{path} is for the trainer only, as dataset_type is "{kind}": {reason}')
        return draft
    if kind == "audio" and _is_of_videos(written.get("audio")):
        draft.notes.append(f"{path} is left out: {AUDIO_OF_VIDEOS}")
        return draft
    content, origins = _merge(written, path, draft.mistakes)
    model = KINDS.get(kind, Dataset) if isinstance(kind, str) else Dataset
    if around.is_simpletuner:
        content = _without_what_says_nothing(content, model, around.defaults)
    draft = draft._replace(model=model, content=content, origins=origins)
    if not _read_aws(draft, path):
        return draft._replace(model=None)
    if (wrong := _unreadable(content, model)) is not None:
        draft.mistakes.append(_at(draft, path, "type", wrong))
        return draft._replace(model=None)
    if model is Dataset and _lacks_its_type(content):
        wrong = 'is missing; add "type": "huggingface", as dataset_name is given'
        draft.mistakes.append(_at(draft, path, "type", wrong))
        content["type"] = "huggingface"
    if kind == trainer_keys.EVALUATION:  # images like any other; what they are for is the trainer's business
        draft.notes.append(f'{path} is made like a dataset of images; that dataset_type is "{kind}" is for the trainer')
        content["dataset_type"] = "image"
    if "trainer" in content:
        draft.mistakes.append(_at(draft, path, "trainer", "is not a known key; remove it"))
    content["trainer"] = _set_aside(draft, path)
    if model is Dataset:
        draft = _with_defaults(draft, path, around)
    _fill_in(draft, path, around)
    return draft


def _is_of_videos(audio: Any) -> bool:
    """Whether an entry of audio means the sound of a folder of videos."""
    return isinstance(audio, dict) and boolean(audio.get("source_from_video")) is True


def _merge(written: Mapping[str, Any], path: str, wrong: list[Mistake]) -> tuple[dict[str, Any], dict[str, At]]:
    """The keys of an entry and of its blocks `INNER`, which mean the same; and where each was written."""
    merged: dict[str, Any] = {}
    origins: dict[str, At] = {}
    for block in ("", *INNER):
        inner: Any = written.get(block, {}) if block else {key: written[key] for key in written if key not in INNER}
        if not isinstance(inner, dict):
            wrong.append(Mistake(f"{path}.{block}", f"is {quote(inner)}; write an object"))
            continue
        spelt: str
        for spelt, value in inner.items():
            key = trainer_keys.SPELLINGS.get(spelt, spelt)
            at = child_path(child_path(path, block) if block else path, spelt)
            if key not in merged:
                merged[key] = value
                if block or spelt != key:
                    origins[key] = At(at)
            elif merged[key] is None:
                merged[key], origins[key] = value, At(at)
            elif merged[key] != value and value is not None:
                there = origins.get(key, At(child_path(path, key))).path
                wrong.append(Mistake(at, f"is {quote(value)}, but {there} is {quote(merged[key])}; keep one"))
    return merged, origins


def _without_what_says_nothing(
    content: dict[str, Any], model: type[Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """An entry without keys of ours that are null or an empty text, but for one that stands against a default."""
    made: dict[str, Any] = {}
    for key, value in content.items():
        field = model.model_fields.get(key)
        if field is not None and key in BLOCKS and isinstance(value, dict):
            made[key] = {name: one for name, one in value.items() if one not in (None, "")}
        elif field is None or key == "id" or value not in (None, ""):
            made[key] = value
        elif key in defaults and field.default is None:
            made[key] = None
    return made


def _read_aws(draft: Draft, path: str) -> bool:
    """Turn SimpleTuner's type `aws` into an address: of a folder of media, or of a cache. Credentials are the
    environment's, and of a cache the endpoint, too.

    Returns:
        Whether it names a bucket.
    """
    content = draft.content
    if content.get("type") != "aws":
        return True
    bucket, prefix = content.pop("aws_bucket_name", None), content.pop("aws_data_prefix", None) or ""
    if not isinstance(bucket, str) or not bucket or not isinstance(prefix, str):
        what = "media" if draft.model is Dataset else "cache"
        draft.mistakes.append(_at(draft, path, "aws_bucket_name", f"is missing; name the bucket of the {what}"))
        return False
    for key in trainer_keys.SECRETS:
        if content.pop(key, None):
            draft.notes.append(
                f"{path}.{key} is not read: credentials are the environment's, AWS_ACCESS_KEY_ID or AWS_PROFILE"
            )
    content["type"] = "local"
    if draft.model is Dataset:
        content["instance_data_dir"] = f"s3://{bucket}/{prefix}".rstrip("/")
        return True
    for key in ("aws_endpoint_url", "aws_region_name"):
        if content.pop(key, None):
            variable = key.removesuffix("_name").upper()
            draft.notes.append(f"{path}.{key} is not read: of a cache it is the environment's, {variable}")
    parts = [bucket, prefix.strip("/"), str(content.get("cache_dir") or "").strip("/")]
    content["cache_dir"] = "s3://" + "/".join(part for part in parts if part)
    return True


def _unreadable(content: dict[str, Any], model: type[Any]) -> str | None:
    """Why an entry's type rules it out, where its other keys then say nothing."""
    given = content.get("type", "local")
    if model is not Dataset:
        if given == "memory":  # a trainer keeps a copy of the folder in memory
            content["type"] = "local"
        elif isinstance(given, str) and given != "local":
            return f'is {quote(given)}; use "local"'
    elif isinstance(given, str) and given in trainer_keys.UNREADABLE:
        return f"is {quote(given)}; {trainer_keys.UNREADABLE[given]}"
    return None


def _lacks_its_type(content: dict[str, Any]) -> bool:
    """Whether an entry can't be of the usual type `local`, by what it names."""
    return "type" not in content and "dataset_name" in content and "instance_data_dir" not in content


def _set_aside(draft: Draft, path: str) -> dict[str, Any]:
    """Take out what only a trainer reads, with a line that says so."""
    content, model = draft.content, draft.model
    trainer: dict[str, Any] = {}
    names = []
    for key in list(content):
        foreign = model is not Dataset and key in Dataset.model_fields and key not in KINDS_FIELDS
        is_backends = key.startswith(trainer_keys.OF_BACKENDS) and model is not None and key not in model.model_fields
        if key in trainer_keys.TRAINER_ONLY or is_backends or foreign:
            trainer[key] = content.pop(key)
            if not (key in trainer_keys.LEFT_OUT and trainer[key]):
                names.append(key)
    if content.get("dataset_type") == "video" and "audio" in content:
        trainer["audio"] = content.pop("audio")
        draft.notes.append(f"{path}.audio is left out: {AUDIO_OF_VIDEOS}")
    for block, keys in trainer_keys.IN_BLOCKS.items():
        if isinstance(content.get(block), dict) and keys & set(content[block]):
            trainer[block] = {key: value for key, value in content[block].items() if key in keys}
            content[block] = {key: value for key, value in content[block].items() if key not in keys}
            names += [f"{block}.{key}" for key in trainer[block]]
    if names:
        draft.notes.append(f"{path}: for the trainer only: {', '.join(sorted(names))}")
    for key in [key for key in trainer_keys.LEFT_OUT if trainer.get(key)]:
        draft.notes.append(f"{path}.{key} is left out: {trainer_keys.LEFT_OUT[key]}")
    return trainer


KINDS_FIELDS = frozenset(key for model in KINDS.values() for key in model.model_fields)


def _with_defaults(draft: Draft, path: str, around: Surroundings) -> Draft:
    """What the file says for all datasets, and what the model's family decides, where the entry says nothing."""
    content = draft.content
    kind = str(content.get("dataset_type", "image"))
    of_all = {key: value for key, value in around.defaults.items() if key in trainer_keys.TRAINER_ONLY}
    trainer = with_defaults(content["trainer"], of_all)
    for key, message in training_part.mistakes(trainer):
        draft.mistakes.append(_at(draft, path, key, message))
    own = {key: value for key, value in around.defaults.items() if _has_effect(key, value, content, kind)}
    origins = {key: around.origins[key] for key in own if key in around.origins and key not in content}
    content = with_defaults({**content, "trainer": trainer}, own)
    if around.seed is not None and "caption_shuffle" in content:
        content = with_defaults(content, {"caption_shuffle": {"seed": around.seed}})
    decided: dict[str, Any] = {}
    try:
        decided = family_defaults.of(kind, content, around.choice, around.frame_rate)
    except RuleError as error:
        draft.mistakes.append(_at(draft, path, error.key, error.message))
    by_family = frozenset(family_defaults.paths(decided, content))
    return draft._replace(content={**content, **decided}, origins={**draft.origins, **origins}, by_family=by_family)


def _has_effect(key: str, value: Any, content: Mapping[str, Any], kind: str) -> bool:
    """Whether a default of all datasets is one of this entry."""
    if key in trainer_keys.TRAINER_ONLY or key in without_effect(kind):
        return False
    if key == "caption_strategy":
        return value in CAPTION_STRATEGIES_FOR_ALL.get(str(content.get("type", "local")), ())
    return True


# Of `caption_strategy` as a default: those that need no block of the entry's own.
CAPTION_STRATEGIES_FOR_ALL = {
    "huggingface": ("huggingface", "instanceprompt"),
    "local": ("filename", "textfile", "instanceprompt"),
}


def _fill_in(draft: Draft, path: str, around: Surroundings) -> None:
    """Put what placeholders stand for into all paths."""
    content = draft.content
    values = {"id": content.get("id"), "model_family": around.family}
    values = {name: value if isinstance(value, str) else None for name, value in values.items()}
    values["output_dir"] = around.output_dir

    def fill_in(value: Any, key: str, fill: Callable[[str, Mapping[str, str | None]], str]) -> Any:
        if isinstance(value, dict):
            return {name: fill_in(one, child_path(key, name), fill) for name, one in value.items()}
        if isinstance(value, list):
            return [fill_in(one, child_path(key, index), fill) for index, one in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return fill(value, values)
        except PlaceholderError as error:
            draft.mistakes.append(_at(draft, path, key, f"is {quote(value)}, which {error}"))
            return value

    for key in PATHS:
        block, _, name = key.rpartition(".")
        holder = content.get(block) if block else content
        if isinstance(holder, dict) and isinstance(holder.get(name), str):
            changed = {**holder, name: fill_in(holder[name], key, placeholders.fill_in)}
            content.update({block: changed} if block else changed)
    if isinstance(content.get(PATH_IF_TEXT), str):
        content[PATH_IF_TEXT] = fill_in(content[PATH_IF_TEXT], PATH_IF_TEXT, placeholders.fill_in)
    if PATTERNS in content:
        content[PATTERNS] = fill_in(content[PATTERNS], PATTERNS, placeholders.fill_in_known)


def _at(draft: Draft, path: str, key: str, message: str) -> Mistake:
    """A mistake at a key of an entry, or of a block in it."""
    first, dot, rest = key.partition(".")
    at = draft.origins.get(first, At(child_path(path, first)))
    return Mistake(at.path + dot + rest, message, at.document)

"""From what the user wrote of one dataset to the rules of its stages."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from hf_assets.config.blocks import CaptionFile
from hf_assets.config.config_file import Dataset, TextEmbeds
from hf_assets.config.settings import AudioSettings, ImageSettings, MediaSettings, VideoSettings
from hf_assets.sources.formats import media_columns
from hf_assets.sources.spec import CaptionTable, FolderRules
from hf_assets.stages import custom, expressions, rewriting
from hf_assets.stages.captions import CaptionRules
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.custom import CustomRule
from hf_assets.stages.filtering import FilterRules
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import GeometryKeys, GeometryRules
from hf_assets.stages.rewriting import Replacement

DEFAULT_QUALITY_COLUMN = "quality_assessment"
LYRICS_FALLBACK = "norm_lyrics"

# `s/this/that/`, as in sed, with any separator that is no letter, digit or white space. All matches are replaced,
# with the flag `g` or without; `i` lets case be.
SUBSTITUTION = re.compile(r"s([^\w\s\\])((?:\\.|(?!\1).)*)\1((?:\\.|(?!\1).)*)\1([gi]*)", re.DOTALL)


class RuleError(Exception):
    """A value that a stage can't work with: the key, from the entry on, and what to say of it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def media_settings(dataset: Dataset) -> MediaSettings:
    """What is taken of each row's media.

    Raises:
        ValidationError: values that contradict each other.
        RuleError: filters by size, which audio has not.
    """
    match dataset.dataset_type:
        case "image":
            return ImageSettings(
                geometry=geometry_rules(dataset), composite=composite_rules(dataset), decode=dataset.decode
            )
        case "video":
            return VideoSettings(geometry=geometry_rules(dataset), frames=dataset.video, fps_column=dataset.fps_column)
        case "audio":
            for key in ("min_width", "min_height"):
                if getattr(dataset.filter_func, key) is not None:
                    raise RuleError(f"filter_func.{key}", "has no effect on audio; remove it")
            return AudioSettings(part=dataset.audio)


def geometry_rules(dataset: Dataset) -> GeometryRules:
    """Sizes and crops.

    Raises:
        ValidationError: values that contradict each other.
    """
    return GeometryRules(**{key: getattr(dataset, key) for key in GeometryKeys.model_fields})


def composite_rules(dataset: Dataset) -> CompositeRules | None:
    """Which cell of an image; None: the whole."""
    return dataset.composite_image_config if dataset.composite_image_config.takes_cells else None


def folder_rules(dataset: Dataset) -> FolderRules:
    """Which media files of a folder are rows, and where their captions lie."""
    given, strategy = _caption_file(dataset), dataset.caption_strategy
    has_captions = strategy in ("parquet", "csv")
    table = None
    if given is not None:
        table = CaptionTable(
            kind="parquet" if dataset.parquet else "csv",
            path=given.path,
            filename_column=given.filename_column,
            caption_columns=tuple(dict.fromkeys(given.caption_column)) if has_captions else (),
            fallback_column=given.fallback_caption_column if has_captions else None,
            has_extension=given.identifier_includes_extension,
            default=given.default_caption if has_captions else None,
        )
    if has_captions:
        return FolderRules(media=dataset.dataset_type, captions="table", table=table)
    captions = strategy if strategy in ("textfile", "instanceprompt") else "filename"
    is_whole = dataset.disable_multiline_split
    return FolderRules(media=dataset.dataset_type, captions="whole_textfile" if is_whole else captions, table=table)


def _caption_file(dataset: Dataset) -> CaptionFile | None:
    """The table of captions or sizes of a folder, whose size columns may be used as the entry's own."""
    return dataset.parquet or dataset.csv


def media_column(dataset: Dataset) -> str:
    """The column that holds a row's media."""
    if dataset.type == "local" or dataset.caption_strategy == "textfile":
        return dataset.dataset_type
    images = media_columns.SEPARATOR.join(dataset.image_column)
    by_kind = {"image": images, "video": dataset.video_column, "audio": dataset.audio_column}
    return by_kind[dataset.dataset_type]


def filter_rules(dataset: Dataset, plugins: list[str], folder: Path, listed_in: str = "the file") -> FilterRules:
    """Which rows are kept.

    Args:
        plugins: modules that may be imported.
        folder: of the config file, where modules may lie.
        listed_in: what to add a module to that isn't among the plugins.

    Raises:
        RuleError: an expression or a function that can't be used.
    """
    rules = dataset.filter_func
    width_column, height_column = _size_columns(dataset)
    where = rules.where or dataset.where
    by_size = geometry_rules(dataset)
    has_limits = by_size.minimum_image_size or by_size.minimum_aspect_ratio or by_size.maximum_aspect_ratio
    return FilterRules(
        quality_column=rules.quality_column or dataset.quality_column or DEFAULT_QUALITY_COLUMN
        if rules.quality_thresholds
        else None,
        quality_thresholds=tuple(sorted(rules.quality_thresholds.items())),
        collection=tuple(sorted(set(rules.collection or ()))),
        min_width=rules.min_width,
        min_height=rules.min_height,
        width_column=width_column,
        height_column=height_column,
        by_size=_limits_of(by_size) if has_limits and width_column else None,
        composite=composite_rules(dataset),
        frames=_limits_of_frames(dataset),
        num_frames_column=dataset.num_frames_column,
        where=where,
        where_columns=_where_columns(where, "filter_func.where" if rules.where else "where") if where else (),
        custom=_custom_rule(dataset, plugins, folder, listed_in) if rules.function else None,
        max_num_samples=dataset.max_num_samples,
        sampled_by=caption_columns(dataset) if dataset.max_num_samples else (),
        sampled_by_if_there=_default_fields(dataset) if dataset.max_num_samples else (),
    )


def _size_columns(dataset: Dataset) -> tuple[str | None, str | None]:
    """The columns of width and height: the entry's, else those of its table of captions."""
    table = _caption_file(dataset)
    if dataset.width_column or table is None:
        return dataset.width_column, dataset.height_column
    if (table.width_column is None) != (table.height_column is None):
        key = dataset.caption_strategy or ""
        raise RuleError(key, "gives only one of width_column and height_column; give both, or neither")
    return table.width_column, table.height_column


def caption_columns(dataset: Dataset) -> tuple[str, ...]:
    """The columns that captions are taken from first."""
    if dataset.only_instance_prompt or dataset.caption_strategy == "instanceprompt":
        return ()
    named = (*_columns_of_captions(dataset), *_named_fields(dataset))
    return tuple(dict.fromkeys(named))


def caption_rules(dataset: Dataset, cache: TextEmbeds | None, find: Callable[[str], Path]) -> CaptionRules:
    """Where captions come from, and what becomes of them.

    Args:
        cache: the entry that keeps the dataset's embeds, whose `caption_filter_list` holds too.
        find: the file of a filter list, by its path as it is written.

    Raises:
        RuleError: a filter list that can't be read, or an expression in it that is none.
    """
    only_prompt = dataset.only_instance_prompt or dataset.caption_strategy == "instanceprompt"
    lists = [dataset.caption_filter_list, cache.caption_filter_list if cache else None]
    return CaptionRules(
        columns_of_captions=_columns_of_captions(dataset),
        joined_columns=_named_fields(dataset),
        joined_if_there=_default_fields(dataset),
        lyrics_columns=_lyrics_columns(dataset),
        fallback_column=dataset.fallback_caption_column,
        description_column=dataset.description_column,
        instance_prompt=dataset.instance_prompt if only_prompt or dataset.prepend_instance_prompt else None,
        only_instance_prompt=only_prompt,
        replacements=tuple(one for given in lists if given is not None for one in _replacements(given, find)),
        shuffle=dataset.caption_shuffle if dataset.caption_shuffle.enable else None,
    )


def _columns_of_captions(dataset: Dataset) -> tuple[str, ...]:
    """The columns that each hold captions: of audio on the Hub, only what is named, since others make the prompt."""
    return tuple(dict.fromkeys(dataset.caption_column)) if _has_caption_column(dataset) else ()


def _named_fields(dataset: Dataset) -> tuple[str, ...]:
    """The columns of the prompt of audio that the user names: they have to be there."""
    is_named = "audio_caption_fields" in dataset.model_fields_set
    return tuple(dict.fromkeys(dataset.audio_caption_fields)) if is_named else ()


def _default_fields(dataset: Dataset) -> tuple[str, ...]:
    """The columns of the prompt of audio where the user names none."""
    is_named = _has_caption_column(dataset) or "audio_caption_fields" in dataset.model_fields_set
    return () if is_named else tuple(dataset.audio_caption_fields)


def _has_caption_column(dataset: Dataset) -> bool:
    """Whether captions lie in `caption_column`, as those of a folder always do."""
    is_usual = dataset.dataset_type != "audio" or dataset.type == "local" or dataset.caption_strategy == "textfile"
    return is_usual or "caption_column" in dataset.model_fields_set


def _lyrics_columns(dataset: Dataset) -> tuple[str, ...]:
    """Where lyrics are, the first that is there."""
    return (dataset.lyrics_column, LYRICS_FALLBACK) if dataset.dataset_type == "audio" else ()


def _limits_of_frames(dataset: Dataset) -> FrameRules | None:
    """Just what `frames.limits` reads, where a column gives the numbers of frames."""
    if dataset.num_frames_column is None:
        return None
    return FrameRules(num_frames=dataset.video.fewest, max_frames=dataset.video.max_frames)


def _limits_of(rules: GeometryRules) -> GeometryRules:
    """Just what `geometry.limits` reads, so that another resolution or crop style filters nothing anew."""
    return GeometryRules(
        resolution_type=rules.resolution_type,
        resolution=1 if rules.resolution_type == "area" else 1024,
        crop=rules.crop and rules.crop_aspect == "square",
        minimum_image_size=rules.minimum_image_size,
        minimum_aspect_ratio=rules.minimum_aspect_ratio,
        maximum_aspect_ratio=rules.maximum_aspect_ratio,
        aspect_bucket_rounding=rules.aspect_bucket_rounding,
    )


def _where_columns(where: str, key: str) -> tuple[str, ...]:
    try:
        return expressions.columns_of(where)
    except ValueError as error:
        raise RuleError(key, f"{json.dumps(where, ensure_ascii=False)} {error}") from None


def _custom_rule(dataset: Dataset, plugins: list[str], folder: Path, listed_in: str) -> CustomRule:
    rules = dataset.filter_func
    key = "filter_func.function"
    assert rules.function is not None
    assert rules.columns is not None
    module, function = rules.function.split(":")
    if module not in plugins:
        raise RuleError(key, f'"{module}" is not listed in plugins; add "plugins": ["{module}"] to {listed_in}')
    if media_column(dataset) in rules.columns:
        raise RuleError("filter_func.columns", f'"{media_column(dataset)}" holds the media, which filters can\'t see')
    file = custom.find(module, folder)
    if file is None:
        raise RuleError(key, f'there is no module "{module}", neither in {folder} nor where Python looks')
    return CustomRule(
        module=module,
        function=function,
        columns=tuple(dict.fromkeys(rules.columns)),
        batched=rules.batched,
        source=custom.source_of(file),
        file=file,
    )


def _replacements(given: str | list[str], find: Callable[[str], Path]) -> list[Replacement]:
    listed = given if isinstance(given, list) else _read_list(find(given))
    made = [_replacement(line) for line in listed if line.strip()]
    for line, one in zip((line for line in listed if line.strip()), made, strict=True):
        if (mistake := rewriting.mistake_in(one)) is not None:
            raise RuleError("caption_filter_list", f"{json.dumps(line, ensure_ascii=False)}: {mistake}")
    return made


def _read_list(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise RuleError("caption_filter_list", f"{file} can't be read: {reason}") from None
    if file.suffix != ".json":
        return re.split(r"\r\n|\r|\n", text)
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(line, str) for line in listed):
        raise RuleError("caption_filter_list", f"{file} holds no JSON list of texts")
    return listed


def _replacement(line: str) -> Replacement:
    found = SUBSTITUTION.fullmatch(line.strip())
    if found is None:
        if line.strip().startswith("s/"):
            quoted = json.dumps(line, ensure_ascii=False)
            raise RuleError(
                "caption_filter_list", f"{quoted} is no whole replacement; write s/this/that/, or s/this/that/i"
            )
        return Replacement(line)
    separator, pattern, text, flags = found.groups()
    pattern, text = (part.replace(f"\\{separator}", separator) for part in (pattern, text))
    return Replacement(f"(?i){pattern}" if "i" in flags else pattern, text)

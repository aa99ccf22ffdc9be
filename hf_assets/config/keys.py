"""What the user writes, in the terms of SimpleTuner's `multidatabackend.json`: one pydantic model per block."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from hf_assets.config import cron

# An id is part of names of files, which may have 255 bytes.
MAX_ID_LENGTH = 100

# Between two looks at the Hub.
MIN_POLL_SECONDS = 5

# Keys that only a trainer uses: their values are kept for the reader, and no key of ours depends on them.
TRAINER_ONLY = frozenset(
    [
        "train_batch_size",
        "repeats",
        "probability",
        "start_epoch",
        "start_step",
        "end_epoch",
        "end_step",
        "is_regularisation_data",
        "slider_strength",
        "timestep_sampling_offset",
        "vae_cache_ondemand",
        "vae_cache_disable",
        "vae_cache_clear_each_epoch",
        "skip_file_discovery",
        "preserve_data_backend_cache",
        "scan_for_errors",
        "vae_cache_scan_behaviour",
        "read_batch_size",
        "write_batch_size",
        "image_processing_batch_size",
        "vae_batch_size",
        "max_workers",
        "delete_problematic_images",
        "delete_unwanted_images",
        "compress_cache",
        "num_proc",
        "text_encoder_batch_size",
        "auto_load",
        "hash_filenames",
        "disable_validation",
    ]
)

# Keys of SimpleTuner that would change the result here, and don't yet: an error, never ignored.
NOT_YET = frozenset(
    [
        "audio",
        "audio_caption_fields",
        "audio_column",
        "bbox_column",
        "cache_dir_vae",
        "caption_filter_list",
        "caption_shuffle",
        "collection",
        "composite_image_config",
        "config",
        "crop_aspect_buckets",
        "data_files",
        "description_column",
        "fallback_caption_column",
        "fps_column",
        "instance_prompt",
        "lyrics_column",
        "max_num_samples",
        "max_upscale_threshold",
        "maximum_aspect_ratio",
        "maximum_image_size",
        "minimum_aspect_ratio",
        "num_frames_column",
        "only_instance_prompt",
        "path",
        "prepend_instance_prompt",
        "streaming",
        "target_downsample_size",
        "video",
        "video_column",
    ]
)


def boolean(value: Any) -> Any:
    """SimpleTuner files hold "true" and "False" as text; such text means what it says."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value


Flag = Annotated[bool, BeforeValidator(boolean)]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


def _repository(value: str) -> str:
    """A Hub id or a folder; not an address, nor an id with the revision in it."""
    found = re.search(r"^(?:https?://[^/]+/|hf://)(?:datasets/|models/)?([\w.-]+/[\w.-]+)", value)
    if found:
        raise ValueError(f'write the Hub id alone: "{found[1]}"')
    if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?@.+", value):
        raise ValueError(f'write "{value.split("@")[0]}", and "{value.split("@")[1]}" in the key revision')
    return value


Repository = Annotated[Name, AfterValidator(_repository)]


class Block(BaseModel):
    """A block of the file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FilterFunc(Block):
    """Which rows are kept."""

    quality_thresholds: dict[Name, Finite] = Field(
        {}, description="Metric of `quality_column` -> smallest accepted value."
    )
    quality_column: Name | None = Field(
        None, description="Struct column that holds the metrics. Default: `quality_assessment`."
    )
    min_width: PositiveInt | None = Field(None, description="Smallest accepted width in pixels, inclusive.")
    min_height: PositiveInt | None = Field(None, description="Smallest accepted height in pixels, inclusive.")


class Dataset(Block):
    """One dataset: a SimpleTuner backend of type `huggingface`."""

    id: str = Field(description="Name of the dataset's assets and folders: letters, digits, `_`, `-` and `.`.")
    type: Literal["huggingface"] = Field(description="Where the rows come from.")
    dataset_type: Literal["image"] = Field("image", description="What a row's media is.")
    disabled: Flag = Field(False, description="True: this entry is left out.")
    dataset_name: Repository = Field(description="Id on the Hub, `user/name`, or a local folder in the Hub's layout.")
    dataset_config: Name | None = Field(None, description="Which configuration (subset) of the dataset.")
    split: Name = Field("train", description="Which split.")
    revision: Name | None = Field(None, description="Branch, tag or commit of the dataset. Default: its main branch.")
    cache_dir: Name | None = Field(
        None, description="Where tables and latents are kept, relative to this file. Default: `cache/{id}`."
    )
    text_embeds: Name | None = Field(
        None, description="Id of the `text_embeds` entry that keeps this dataset's embeds."
    )
    caption_strategy: Literal["huggingface"] = Field(
        "huggingface", description="Captions come from the dataset's columns."
    )
    metadata_backend: Literal["huggingface"] = Field("huggingface", description="Metadata come from the dataset.")

    image_column: Name = Field("image", description="Column of the images.")
    caption_column: Name = Field("caption", description="Column of the captions; a dotted path leads into structs.")
    width_column: Name | None = Field(None, description="Column of the images' widths in pixels.")
    height_column: Name | None = Field(None, description="Column of the images' heights in pixels.")
    quality_column: Name | None = Field(None, description="As in `filter_func`.")
    filter_func: FilterFunc = Field(FilterFunc(), description="Which rows are kept.")

    resolution: Number = Field(1024, description="Target size, in the unit that `resolution_type` says.")
    resolution_type: Literal["pixel", "area", "pixel_area"] = Field(
        "pixel_area",
        description="`pixel`: the shorter edge; `area`: megapixels; `pixel_area`: edge of a square of the wanted area.",
    )
    minimum_image_size: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Smaller images are dropped; same unit as `resolution`."
    )
    crop: Flag = Field(
        False, description="True: crop to `crop_aspect`. False: keep the aspect, up to rounding to the alignment."
    )
    crop_style: Literal["random", "center", "centre", "corner"] = Field(
        "random", description="Where the crop lies. A random one is drawn from the image's content hash."
    )
    crop_aspect: Literal["square"] = Field("square", description="Aspect of the crop where `crop` is true.")
    aspect_bucket_alignment: PositiveInt = Field(64, description="Both target edges are multiples of this, in pixels.")
    aspect_bucket_rounding: Annotated[int, Field(ge=1, le=9)] = Field(
        2, description="Digits to which an aspect is rounded."
    )

    error_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of the wanted rows that may fail (not: be filtered out) before the run fails."
    )

    trainer: dict[str, Any] = Field({}, exclude=True, description="Values of the keys that only a trainer uses.")

    @field_validator("id")
    @classmethod
    def _id_is_a_folder_name(cls, value: str) -> str:
        if len(value) > MAX_ID_LENGTH:
            raise ValueError(f"use {MAX_ID_LENGTH} characters or less")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
            raise ValueError("use letters, digits, _, - and . only, and start with a letter, a digit or _")
        return value

    @field_validator("split")
    @classmethod
    def _split_is_whole(cls, value: str) -> str:
        if set(value) & set("[]+"):
            raise ValueError("name one whole split: slices and sums of splits are not supported")
        return value

    @model_validator(mode="after")
    def _quality_column_is_given_once(self) -> "Dataset":
        inner, outer = self.filter_func.quality_column, self.quality_column
        if inner and outer and inner != outer:
            raise ValueError(f'quality_column is "{outer}", but "{inner}" in filter_func; keep one')
        return self

    @model_validator(mode="after")
    def _sizes_come_in_pairs(self) -> "Dataset":
        if (self.width_column is None) != (self.height_column is None):
            given, missing = ("width_column", "height_column")[:: 1 if self.width_column else -1]
            raise ValueError(f'{given} is "{self.width_column or self.height_column}"; give {missing} too, or neither')
        return self


class TextEmbeds(Block):
    """A place for text embeds, which datasets share."""

    id: Name = Field(description="Name by which a dataset's `text_embeds` refers to this entry.")
    type: Literal["local"] = Field("local", description="Embeds are kept in a local folder.")
    dataset_type: Literal["text_embeds"] = Field(description="Marks this entry.")
    cache_dir: Name = Field(description="The folder, relative to this file.")
    default: Flag = Field(False, description="True: datasets that name no entry use this one.")
    disabled: Flag = Field(False, description="True: this entry is left out.")
    trainer: dict[str, Any] = Field({}, exclude=True)


class VaeOverride(Block):
    """Another VAE than the pipeline's own."""

    pretrained_model_name_or_path: Repository = Field(description="Hub id or folder.")
    revision: Name | None = Field(None, description="Branch, tag or commit.")
    variant: Name | None = Field(None, description="Weights variant, such as `fp16`.")
    subfolder: Name | None = Field(
        None, description="Folder of the VAE within the repository. Default: its root, else `vae`."
    )


class Model(Block):
    """The pipeline whose VAE and text encoders are used."""

    pretrained_model_name_or_path: Repository = Field(description="Hub id or folder of a diffusers pipeline.")
    revision: Name | None = Field(None, description="Branch, tag or commit. Default: the main branch.")
    variant: Name | None = Field(None, description="Weights variant, such as `fp16`.")
    vae: VaeOverride | None = Field(None, description="Another VAE than the pipeline's own.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Type in which is computed and stored."
    )


class Refresh(Block):
    """When datasets are made up to date by themselves, while a Dagster daemon runs."""

    cron: Name | None = Field(
        None, description="When everything is materialized, as five cron fields in UTC. Without it: never by the clock."
    )
    poll_seconds: Annotated[int, Field(ge=MIN_POLL_SECONDS)] | None = Field(
        None,
        description=(
            "Seconds between two looks at the Hub; what is not up to date then runs. Without it the sensor waits to be "
            "switched on in the page."
        ),
    )

    @field_validator("cron")
    @classmethod
    def _is_a_schedule(cls, value: str | None) -> str | None:
        if value is not None and (wrong := cron.mistake(value)) is not None:
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _says_when(self) -> "Refresh":
        if self.cron is None and self.poll_seconds is None:
            raise ValueError('says nothing; give cron, such as "0 3 * * *", or poll_seconds, such as 300')
        return self


class File(Block):
    """The whole file."""

    model: Model
    datasets: list[Dataset | TextEmbeds]
    refresh: Refresh | None = None

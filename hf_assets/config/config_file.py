"""What the user writes, in the terms of SimpleTuner's `multidatabackend.json`: one pydantic model per block."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hf_assets.blobs.location import SCHEMES
from hf_assets.config import cron
from hf_assets.config.blocks import CaptionFile, FilterFunc
from hf_assets.config.check_keys import Checks
from hf_assets.config.export_rules import ExportRules
from hf_assets.sources import slices
from hf_assets.stages.audio import AudioRules
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import GeometryKeys
from hf_assets.stages.rewriting import ShuffleRules
from hf_assets.values import Block, Flag, Name, Names, Place, Repository, revision_of_address

# An id is part of names of files, which may have 255 bytes.
MAX_ID_LENGTH = 100


# Between two looks at the Hub.
MIN_POLL_SECONDS = 5


# Keys of a dataset that concern only some kinds of media: with another kind, they would have no effect.
ONLY_FOR = {
    ("image",): ("image_column", "composite_image_config", "decode"),
    ("video",): ("video_column", "video", "num_frames_column", "fps_column"),
    ("audio",): ("audio_column", "audio", "audio_caption_fields", "lyrics_column"),
    ("image", "video"): ("width_column", "height_column", *GeometryKeys.model_fields),
}


def without_effect(kind: str) -> frozenset[str]:
    """The keys of a dataset that have no effect on media of this kind."""
    return frozenset(key for kinds, keys in ONLY_FOR.items() if kind not in kinds for key in keys)


# Keys of an entry by its type; those of neither are common to both.
HUB_KEYS = ("dataset_name", "dataset_config", "split", "revision", "data_files", "streaming")


FOLDER_KEYS = ("instance_data_dir", "parquet", "csv")
# Keys of tables, of which media with texts beside them have none.
TABLE_KEYS = ("dataset_config", "split", "data_files", "image_column", "video_column", "audio_column")


NEEDED = {"huggingface": "dataset_name", "local": "instance_data_dir"}


CAPTION_STRATEGIES = {
    "huggingface": ("huggingface", "textfile", "instanceprompt"),
    "local": ("filename", "textfile", "instanceprompt", "parquet", "csv"),
}


METADATA_BACKENDS = {"huggingface": ("huggingface",), "local": ("discovery", "json", "parquet")}


CaptionStrategy = Literal["huggingface", "instanceprompt", "filename", "textfile", "parquet", "csv"]


DataFiles = Name | list[Name] | dict[Name, Name | list[Name]]


class EntryKeys(Block):
    """The keys of a dataset that no stage reads as they are, and its blocks."""

    id: str = Field(description="Name of the dataset's assets and folders: letters, digits, `_`, `-` and `.`.")
    type: Literal["huggingface", "local"] = Field(
        "local",
        description="`huggingface`: a dataset on the Hub, or a folder in its layout; `local`: a folder of media files.",
    )
    dataset_type: Literal["image", "video", "audio"] = Field("image", description="What a row's media is.")
    disabled: Flag = Field(False, description="True: this entry is left out.")
    dataset_name: Repository | None = Field(
        None,
        validate_default=True,
        description="Of type `huggingface`: id on the Hub, `user/name`; or a local folder, or an address of an object "
        "store, in the Hub's layout.",
    )
    dataset_config: Name | None = Field(None, description="Which configuration (subset) of the dataset.")
    split: Name = Field(
        "train", description="Which split, slice or sum: `train[:10%]`, `train[100:200]+test`, as `datasets` reads it."
    )
    revision: Name | None = Field(None, description="Branch, tag or commit of the dataset. Default: its main branch.")
    data_files: DataFiles | None = Field(
        None, description="Which files, as `datasets` takes it: a pattern, a list, or an object of these by split."
    )
    streaming: Flag = Field(
        False,
        description=(
            "True: media are read over the network, and no copy of them is kept once they are encoded. With "
            "HF_ASSETS_WHOLE_FILES=1 in the environment, files on the Hub are fetched whole and compared with their "
            "hashes all the same ([security.md](security.md#the-hub))."
        ),
    )
    follow_links: Flag = Field(
        False,
        description="Of local folders, true: links may lead out of the folder. Else such a file is refused by name.",
    )
    instance_data_dir: Place | None = Field(
        None,
        validate_default=True,
        description="Of type `local`: the folder of the media, at any depth, relative to this file; or an address.",
    )
    aws_endpoint_url: Name | None = Field(
        None, description="Of a dataset in a bucket: the store's endpoint. Default: `AWS_ENDPOINT_URL`."
    )
    aws_region_name: Name | None = Field(
        None, description="Of a dataset in a bucket: its region. Default: `AWS_REGION`."
    )
    parquet: CaptionFile | None = Field(
        None, description="Of `caption_strategy` `parquet`, and of `metadata_backend` `parquet`."
    )
    csv: CaptionFile | None = Field(None, description="Of `caption_strategy` `csv`.")
    cache_dir: Place | None = Field(
        None,
        description="Where tables and latents are kept, relative to this file; or an address of an object store, "
        "`s3://bucket/folder`. Default: `cache/{id}`.",
    )
    text_embeds: Name | None = Field(
        None, description="Id of the `text_embeds` entry that keeps this dataset's embeds."
    )
    image_embeds: Name | None = Field(
        None, description="Id of the `image_embeds` entry that keeps this dataset's latents."
    )
    cache_dir_vae: Place | None = Field(
        None, description="Where latents are kept, relative to this file. Default: `vae/{id}` in `cache_dir`."
    )
    caption_strategy: CaptionStrategy | None = Field(
        None,
        description="Of type `huggingface`: `huggingface` (the default): captions come from the dataset's columns; "
        "`textfile`: the dataset is media files, loose or in ZIPs, with a text beside each, as of type `local`. Of "
        "type `local`: `filename` (the default): the file's name, `_` as spaces; `textfile`: the `.txt` file of that "
        "name, each line a caption; `parquet`, `csv`: a table. Of both: `instanceprompt`: `instance_prompt` is every "
        "caption.",
    )
    disable_multiline_split: Flag = Field(
        False, description="Of `textfile`, true: a file is one caption, and its line ends are part of it."
    )
    metadata_backend: Literal["huggingface", "discovery", "json", "parquet"] | None = Field(
        None,
        description="As SimpleTuner has it. With `parquet`, the table `parquet` may give sizes while captions come "
        "from elsewhere; sizes that no column gives are those of the media's headers in any case.",
    )

    image_column: Names = Field(
        ["image"],
        description="Column of the images; of several, each row's first that holds one; `images[0]` of a list. Where "
        "no column has the default name, those called `jpg`, `png` and so on, as WebDataset has them.",
    )
    audio_column: Name = Field("audio", description="Column of the clips.")
    audio: AudioRules = Field(AudioRules(), description="Which part of each clip is encoded.")
    video_column: Name = Field("video", description="Column of the videos.")
    video: FrameRules = Field(FrameRules(), description="Which videos are used, and which of their frames.")
    num_frames_column: Name | None = Field(
        None, description="Column of the videos' numbers of frames: `min_frames` and `max_frames` then need no video."
    )
    fps_column: Name | None = Field(
        None, description="Column of the videos' frames per second, recorded in place of what their files say."
    )
    caption_column: Names = Field(
        ["caption"],
        description="Column or columns of the captions; dotted paths lead into structs and lists of structs. All texts "
        "that they hold for a row are its captions; a reader draws one for each epoch. Of audio, none by default.",
    )
    audio_caption_fields: Annotated[list[Name], Field(min_length=1)] = Field(
        ["prompt", "tags"],
        description="Of audio: columns whose texts, joined by a space, are the prompt of a clip that has no caption in "
        "`caption_column`. Of the default ones, one has to be there.",
    )
    lyrics_column: Name = Field(
        "lyrics",
        description="Of audio: column of the lyrics, else `norm_lyrics`. They are encoded apart from the prompt, by "
        "pipelines that read lyrics.",
    )
    fallback_caption_column: Name | None = Field(None, description="Used for rows that have no caption there.")
    description_column: Name | None = Field(
        None,
        description="Used for rows that have no caption in any of these: text, or a struct of `main_subject`, "
        "`description` and `text`.",
    )
    instance_prompt: Name | None = Field(None, description="A text for every caption; see the next two keys.")
    prepend_instance_prompt: Flag = Field(False, description="True: captions begin with `instance_prompt`.")
    only_instance_prompt: Flag = Field(False, description="True: `instance_prompt` is every caption.")
    caption_shuffle: ShuffleRules = Field(ShuffleRules(), description="Shuffled forms of captions.")
    caption_filter_list: Name | list[Name] | None = Field(
        None,
        description="What is taken out of captions: a list, or a file of lines (`.txt`) or of a list (`.json`), of "
        "regular expressions; `s/this/that/` replaces. Also in a `text_embeds` entry, for all that use it.",
    )
    width_column: Name | None = Field(None, description="Column of the images' or videos' widths in pixels.")
    height_column: Name | None = Field(None, description="Column of the images' or videos' heights in pixels.")
    quality_column: Name | None = Field(None, description="As in `filter_func`.")
    filter_func: FilterFunc = Field(FilterFunc(), description="Which rows are kept.")
    where: Name | None = Field(None, description="As in `filter_func`.")
    max_num_samples: PositiveInt | None = Field(
        None, description="Of the rows that pass, so many are kept, chosen by what they hold and not by their position."
    )
    composite_image_config: CompositeRules = Field(
        CompositeRules(), description="Composite images, which show several, of which one is taken."
    )
    decode: Literal["exact", "fast"] = Field(
        "exact",
        description="`fast`: JPEGs are decoded at the half, fourth or eighth of their size that is still at least as "
        "large as they are resized to. Takes less time, and gives slightly other pixels; part of each latent's key.",
    )

    error_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of the wanted rows that may fail (not: be filtered out) before the run fails."
    )

    checks: Checks = Field(Checks(), description="What is checked of the results, and how strictly.")
    owners: list[str] = Field(
        [], description="Who answers for the dataset, as the page shows it: e-mail addresses, or `team:name`."
    )

    export: list[ExportRules] = Field(
        [], description="Where the training set is also written for other trainers: an asset `export_{format}` each."
    )

    trainer: dict[str, Any] = Field({}, exclude=True, description="Values of the keys that only a trainer uses.")

    @field_validator("id")
    @classmethod
    def _id_is_a_folder_name(cls, value: str) -> str:
        if len(value) > MAX_ID_LENGTH:
            raise ValueError(f"use at most {MAX_ID_LENGTH} characters")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
            raise ValueError("use letters, digits, _, - and . only, and start with a letter, a digit or _")
        return value

    @field_validator("split")
    @classmethod
    def _split_can_be_read(cls, value: str) -> str:
        if (wrong := slices.mistake(value)) is not None:
            raise ValueError(wrong)
        return value

    @field_validator("owners")
    @classmethod
    def _owners_can_be_shown(cls, value: list[str]) -> list[str]:
        for owner in value:
            if not re.fullmatch(r"team:[A-Za-z0-9_]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}", owner):
                raise ValueError(f'"{owner}" is neither an e-mail address nor "team:" and letters, digits and _')
        return value

    @field_validator("export")
    @classmethod
    def _formats_are_exported_once(cls, value: list[ExportRules]) -> list[ExportRules]:
        for one in value:
            if sum(other.format == one.format for other in value) > 1:
                raise ValueError(f'"{one.format}" is there twice; keep one')
        return value

    @field_validator("dataset_name", "instance_data_dir")
    @classmethod
    def _source_is_named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and NEEDED.get(info.data.get("type", "")) == info.field_name:
            raise PydanticCustomError("missing", "Field required")
        return value


class Dataset(GeometryKeys, EntryKeys):
    """One dataset: a SimpleTuner backend of type `huggingface` or `local`."""

    @model_validator(mode="after")
    def _source_is_of_its_type(self) -> "Dataset":
        foreign = FOLDER_KEYS if self.type == "huggingface" else HUB_KEYS
        for key in foreign:
            if key in self.model_fields_set:
                raise ValueError(f'{key} has no effect where type is "{self.type}"; remove it')
        for key, allowed in (("caption_strategy", CAPTION_STRATEGIES), ("metadata_backend", METADATA_BACKENDS)):
            given = getattr(self, key)
            if given is not None and given not in allowed[self.type]:
                names = ", ".join(f'"{name}"' for name in allowed[self.type])
                raise ValueError(f'{key} is "{given}"; use {names} where type is "{self.type}"')
        if self.type == "huggingface" and self.caption_strategy == "textfile":
            for key in TABLE_KEYS:
                if key in self.model_fields_set:
                    raise ValueError(f'{key} has no effect where caption_strategy is "textfile"; remove it')
        if not str(self.instance_data_dir or self.dataset_name).startswith(SCHEMES):
            for key in ("aws_endpoint_url", "aws_region_name"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} has no effect unless the dataset lies in a bucket; remove it")
        if self.disable_multiline_split and self.caption_strategy != "textfile":
            raise ValueError('disable_multiline_split has no effect unless caption_strategy is "textfile"; remove it')
        if self.parquet is not None and self.csv is not None:
            raise ValueError("parquet is given beside csv; keep one")
        for key in ("parquet", "csv"):
            if key == self.metadata_backend and self.parquet is not None:
                continue  # it has sizes, and captions where `caption_strategy` says so
            if (getattr(self, key) is None) == (self.caption_strategy == key):
                if self.caption_strategy != key:
                    raise ValueError(f'{key} is given; it has no effect; set caption_strategy to "{key}"')
                example = f'{{"path": "captions.{key}", "filename_column": "file", "caption_column": "text"}}'
                raise ValueError(f"{key} is missing; add it, such as {example}")
        return self

    @model_validator(mode="after")
    def _filters_are_given_once(self) -> "Dataset":
        for key in ("quality_column", "where"):
            inner, outer = getattr(self.filter_func, key), getattr(self, key)
            if inner and outer and inner != outer:
                raise ValueError(f'{key} is "{outer}", but "{inner}" in filter_func; keep one')
        return self

    @model_validator(mode="after")
    def _prompt_is_there(self) -> "Dataset":
        for key in ("prepend_instance_prompt", "only_instance_prompt"):
            if getattr(self, key) and not self.instance_prompt:
                raise ValueError(f"{key} is true, but there is no instance_prompt; add one")
        if self.caption_strategy == "instanceprompt" and not self.instance_prompt:
            raise ValueError('caption_strategy is "instanceprompt", but there is no instance_prompt; add one')
        return self

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> "Dataset":
        for key in Dataset.model_fields:
            if key in self.model_fields_set and key in without_effect(self.dataset_type):
                raise ValueError(
                    f'{key} has no effect where dataset_type is "{self.dataset_type}"; remove it, or change that'
                )
        return self

    @model_validator(mode="after")
    def _cells_are_decoded_exactly(self) -> "Dataset":
        if self.decode == "fast" and self.composite_image_config.takes_cells:
            raise ValueError('decode is "fast", but of composite images one is taken exactly; remove decode')
        return self

    @model_validator(mode="after")
    def _sizes_come_in_pairs(self) -> "Dataset":
        if (self.width_column is None) != (self.height_column is None):
            given, missing = ("width_column", "height_column")[:: 1 if self.width_column else -1]
            raise ValueError(f'{given} is "{self.width_column or self.height_column}"; give {missing} too, or neither')
        return self


class ImageEmbeds(Block):
    """A place for latents."""

    id: Name = Field(description="Name by which a dataset's `image_embeds` refers to this entry.")
    type: Literal["local"] = Field("local", description="Latents are kept in a local folder.")
    dataset_type: Literal["image_embeds"] = Field(description="Marks this entry.")
    cache_dir: Place | None = Field(
        None,
        description="The folder, relative to this file, or an address of an object store; each dataset has one of its "
        "own in it. Default: the dataset's.",
    )
    disabled: Flag = Field(False, description="True: this entry is left out.")
    trainer: dict[str, Any] = Field({}, exclude=True)


class TextEmbeds(Block):
    """A place for text embeds, which datasets share."""

    id: Name = Field(description="Name by which a dataset's `text_embeds` refers to this entry.")
    type: Literal["local"] = Field("local", description="Embeds are kept in a local folder.")
    dataset_type: Literal["text_embeds"] = Field(description="Marks this entry.")
    cache_dir: Place | None = Field(
        None, description="The folder, relative to this file, or an address of an object store. Default: `cache/text`."
    )
    default: Flag = Field(False, description="True: datasets that name no entry use this one.")
    caption_filter_list: Name | list[Name] | None = Field(
        None, description="As in a dataset, for all datasets that use this entry."
    )
    disabled: Flag = Field(False, description="True: this entry is left out.")
    trainer: dict[str, Any] = Field({}, exclude=True)


class Named(Block):
    """A block that names a model, whose revision may stand in an address."""

    @model_validator(mode="before")
    @classmethod
    def _address_has_its_revision(cls, block: Any) -> Any:
        return revision_of_address(block)


class VaeOverride(Named):
    """Another VAE than the pipeline's own."""

    pretrained_model_name_or_path: Repository = Field(
        description="Hub id or folder; or one `.safetensors` file, with the settings of the pipeline's own VAE."
    )
    revision: Name | None = Field(None, description="Branch, tag or commit.")
    variant: Name | None = Field(None, description="Weights variant, such as `fp16`.")
    subfolder: Name | None = Field(
        None, description="Folder of the VAE within the repository. Default: its root, else `vae`."
    )


class T5Override(Named):
    """Another T5 text encoder than the pipeline's own."""

    pretrained_model_name_or_path: Repository = Field(description="Hub id or folder.")
    revision: Name | None = Field(None, description="Branch, tag or commit.")
    variant: Name | None = Field(None, description="Weights variant, such as `fp16`.")
    subfolder: Name | None = Field(
        None, description="Folder of the encoder within the repository. Default: its root, else `text_encoder` …"
    )


class Model(Named):
    """The pipeline whose VAE and text encoders are used."""

    family: Name | None = Field(
        None,
        description="SimpleTuner's `model_family`, such as `flux`. With `flavour` it names the repository, and decides "
        "defaults of the datasets: `aspect_bucket_alignment`; of videos `is_i2v`, 5 seconds of `num_frames`, and "
        "`min_frames`.",
    )
    flavour: Name | None = Field(
        None, description="SimpleTuner's `model_flavour`, such as `dev`. Default: the family's own."
    )
    pretrained_model_name_or_path: Repository | None = Field(
        None,
        validate_default=True,
        description="Hub id or folder of a diffusers pipeline, or a checkpoint in one `.safetensors` file: a path, or "
        "`user/repository/file.safetensors`. Default: what `family` and `flavour` name.",
    )
    revision: Name | None = Field(None, description="Branch, tag or commit. Default: the main branch.")
    variant: Name | None = Field(None, description="Weights variant, such as `fp16`.")
    vae: VaeOverride | None = Field(None, description="Another VAE than the pipeline's own.")
    t5: T5Override | None = Field(None, description="Another T5 text encoder than the pipeline's own.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Type in which is computed and stored."
    )
    embeds_dtype: Literal["float32", "bfloat16", "float16", "float8_e4m3fn"] | None = Field(
        None,
        description=(
            "Type in which text embeds are stored, where it isn't `dtype`. What is lost is reported as "
            "`relative_error`; `float8_e4m3fn` is read back as `dtype`."
        ),
    )
    text_quantization: Literal["8bit", "4bit"] | None = Field(
        None,
        description="Keep the text encoders' linear layers in so many bits, by bitsandbytes (extra `quantize`).",
    )
    latents: Literal["mode", "moments", "sample"] = Field(
        "mode",
        description="What of the VAE's distribution is stored: its mean; mean and deviation; or one draw, "
        "always the same for the same media.",
    )
    vae_tiling: Flag = Field(
        False, description="True: the VAE encodes in tiles, for media too large for its memory. Changes the latents."
    )
    vae_norms: Literal["float32"] | None = Field(
        None,
        description="`float32`: whatever normalises in the VAE computes in float32, the rest in `dtype`: for VAEs "
        "that lose too much in 16 bits. Changes the latents.",
    )
    vae_weights: Literal["float8"] | None = Field(
        None,
        description="`float8`: the VAE's weights are kept in 8 bits (e4m3, a scale for each output channel), and "
        "computed with in `dtype`. Half their memory, no faster. Changes the latents.",
    )
    tokenizer_max_length: PositiveInt | None = Field(
        None,
        description="The most tokens of a caption, of pipelines that take such a number. Default: the pipeline's own.",
    )
    text: Flag = Field(
        True,
        description="False: latents alone, of a pipeline that reads no captions (DiT) or for a model that doesn't. "
        "Rows need no captions, and `text_embeds` is empty.",
    )
    encode_prompt: dict[str, Any] | None = Field(
        None,
        description="Arguments of the pipeline's `encode_prompt` in place of those that generation gives it, such as "
        '`{"max_sequence_length": 77, "complex_human_instruction": null}`: any but the caption. Part of every key of '
        "its embeds.",
    )

    @field_validator("pretrained_model_name_or_path")
    @classmethod
    def _is_named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("family") is None:
            raise PydanticCustomError("missing", "Field required")
        return value

    @model_validator(mode="after")
    def _has_norms_to_change(self) -> "Model":
        if self.vae_norms is not None and self.dtype == "float32":
            raise ValueError('vae_norms is "float32", as all is where dtype is; remove vae_norms')
        return self

    @model_validator(mode="after")
    def _has_text_for_its_settings(self) -> "Model":
        about_text = ("t5", "embeds_dtype", "text_quantization", "tokenizer_max_length", "encode_prompt")
        if not self.text and (unused := [name for name in about_text if getattr(self, name) is not None]):
            raise ValueError(f"text is false, so {' and '.join(unused)} would do nothing; remove one or the other")
        return self


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

    model: Model = Field(description="The pipeline.")
    datasets: list[Dataset | TextEmbeds | ImageEmbeds] = Field(
        description="The entries of SimpleTuner's `multidatabackend.json`."
    )
    refresh: Refresh | None = Field(None, description="When datasets are refreshed.")
    plugins: list[Name] = Field(
        [], description="Python modules of your own, beside this file or installed, whose functions may be named."
    )

"""What is done with one dataset, frozen: the config with all names resolved and all defaults filled in.

Everything in a recipe's parts changes bytes and is hashed into code versions and keys, except `folders`,
`error_budget`, `checks`, `owners`, `trainer`, `family`, `exports`, `prefix` and `resource_prefix`.
"""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hf_assets import fingerprint
from hf_assets.blobs import Location, atomic
from hf_assets.config.check_keys import Checks
from hf_assets.config.export_rules import ExportRules
from hf_assets.config.settings import MediaSettings, VideoSettings
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import PipelineSource
from hf_assets.sources.spec import SourceSpec
from hf_assets.stages.captions import CaptionRules
from hf_assets.stages.filtering import FilterRules


class Folders(BaseModel):
    """Where a dataset's results lie. Never hashed: a moved folder costs nothing."""

    model_config = ConfigDict(frozen=True)

    metadata: Location
    latents: Location
    embeds: Location

    def require(self, *, writable: bool = False) -> None:
        """Refuse places on this machine that can't be folders; or that can't be written to.

        Raises:
            StoreError: which, and why.
        """
        for place in (self.metadata, self.latents, self.embeds):
            if isinstance(place, Path):
                atomic.require_folder(place, writable=writable)


class ModelRecipe(BaseModel):
    """Which encoders, and the type in which they compute and store."""

    model_config = ConfigDict(frozen=True)

    pipeline: PipelineSource
    dtype: str
    latents: LatentSettings = LatentSettings()
    embeds_dtype: str | None = None
    text_quantization: Literal["8bit", "4bit"] | None = None

    @property
    def without_text(self) -> "ModelRecipe":
        """What the VAE side depends on: not on how text is encoded."""
        pipeline = self.pipeline.model_copy(
            update={"tokenizer_max_length": None, "t5": None, "encode_prompt": None, "text": None}
        )
        return self.model_copy(update={"pipeline": pipeline, "embeds_dtype": None, "text_quantization": None})

    @property
    def without_vae(self) -> "ModelRecipe":
        """What the text side depends on: not on a VAE given in place of the pipeline's own, nor on how it is used."""
        pipeline = self.pipeline.model_copy(update={"vae": None})
        return self.model_copy(update={"pipeline": pipeline, "latents": LatentSettings()})


class Recipe(BaseModel):
    """One dataset's recipe."""

    model_config = ConfigDict(frozen=True)

    id: str
    source: SourceSpec
    media_column: str
    filter: FilterRules
    captions: CaptionRules
    settings: MediaSettings
    model: ModelRecipe
    folders: Folders
    error_budget: float = 0.5
    checks: Checks = Checks()
    owners: tuple[str, ...] = ()
    trainer: dict[str, Any] = {}
    family: str | None = None  # SimpleTuner's name, where the config has it
    exports: tuple[ExportRules, ...] = ()
    prefix: tuple[str, ...] = ()  # of the asset keys, where another project takes these graphs in
    resource_prefix: str = ""  # of the names of Dagster's resources, there too

    @property
    def kind(self) -> Literal["image", "video", "audio"]:
        """What a row's media is."""
        return self.settings.kind

    @property
    def group(self) -> str:
        """Name of the asset group: the id with every other character than letters, digits and `_` turned into `_`."""
        return "/".join(re.sub(r"[^A-Za-z0-9_]", "_", part) for part in self.key_prefix)

    @property
    def key_prefix(self) -> list[str]:
        """What the keys of this dataset's assets begin with."""
        return [*self.prefix, self.id]

    def key(self, name: str) -> list[str]:
        """The key of one of this dataset's assets."""
        return [*self.key_prefix, name]

    def resource(self, name: str) -> str:
        """The name of one of the resources, as Dagster knows it."""
        return self.resource_prefix + name

    @property
    def required_columns(self) -> tuple[str, ...]:
        """The columns besides the media that this recipe reads, as dotted paths."""
        fps_column = self.settings.fps_column if isinstance(self.settings, VideoSettings) else None
        rates = (fps_column,) if fps_column else ()
        return tuple(dict.fromkeys((*self.filter.columns, *self.captions.columns, *rates)))

    def key_of_column(self, column: str) -> str | None:
        """The key of the config that names a column that is read; None: none does.

        Args:
            column: of a dotted path its first part, or all.
        """
        captions, rules = self.captions, self.filter
        named: dict[str, tuple[str | None, ...]] = {
            f"{self.kind}_column": (self.media_column,),
            "where": rules.where_columns,
            "width_column": (rules.width_column,),
            "height_column": (rules.height_column,),
            "num_frames_column": (rules.num_frames_column,),
            "filter_func.columns": rules.custom.columns if rules.custom else (),
            "caption_column": captions.columns_of_captions,
            "fallback_caption_column": (captions.fallback_column,),
            "description_column": (captions.description_column,),
            "audio_caption_fields": captions.joined_columns,
            "fps_column": (self.settings.fps_column,) if isinstance(self.settings, VideoSettings) else (),
        }
        return next(
            (key for key, columns in named.items() for one in columns if one and column in (one, one.split(".")[0])),
            None,
        )

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """The columns that this recipe reads where the dataset has them."""
        return tuple(dict.fromkeys((*self.filter.optional_columns, *self.captions.optional_columns)))


def code_version(stage_version: int | str, *settings: BaseModel | str) -> str:
    """Version of an asset's code: the stage's own version and just the settings that it reads."""
    return fingerprint.of_value(
        [stage_version, *(s.model_dump(mode="json") if isinstance(s, BaseModel) else s for s in settings)]
    )

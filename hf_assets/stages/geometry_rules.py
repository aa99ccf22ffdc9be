"""What the user says about sizes and crops, in SimpleTuner's keys and units. What follows from it: `geometry`."""

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Areas in megapixels that stand for these edges; any area within 0.05 of one counts as it.
NAMED_AREAS = {0.25: 512, 0.5: 768, 1.0: 1024, 2.0: 1536, 4.0: 2048}

# No resolution, in megapixels, is as large as this; a value above it was meant in pixels.
MEGAPIXELS_BELOW = 20
# No edge, in pixels, is smaller than this (one cell of a latent); a value below it was meant in megapixels.
MIN_EDGE_PX = 8


class AspectBucket(BaseModel):
    """One aspect ratio (width / height) to crop to, with its share of the samples where the choice is random."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aspect: float = Field(gt=0, allow_inf_nan=False)
    weight: float | None = Field(default=None, gt=0, le=1)


class GeometryRules(BaseModel):
    """What the user says about sizes and crops, in SimpleTuner's keys and units.

    `resolution`, `minimum_image_size`, `maximum_image_size` and `target_downsample_size` share one unit: megapixels for
    the type `area`, an edge in pixels for `pixel` (the shorter side) and `pixel_area` (of a square with that area).
    `crop: false` still crops what the resize leaves over, in `crop_style`; the other crop settings need `crop: true`.
    `minimum_aspect_ratio` and `maximum_aspect_ratio` are of the original, width / height, rounded as aspects are.
    An image must not be enlarged by more than `max_upscale_threshold` (0.2: by a fifth of its edges): with
    `crop_aspect` `closest`, only buckets within that are considered; an image for which there is none, is dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: float = Field(default=1024, gt=0, allow_inf_nan=False)
    resolution_type: Literal["pixel", "area", "pixel_area"] = "pixel_area"
    crop: bool = False
    crop_style: Literal["center", "corner", "random"] = "random"
    crop_aspect: Literal["square", "preserve", "closest", "random"] = "square"
    crop_aspect_buckets: tuple[AspectBucket, ...] | None = None
    minimum_image_size: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    maximum_image_size: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    target_downsample_size: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    minimum_aspect_ratio: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    maximum_aspect_ratio: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_upscale_threshold: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    alignment: int = Field(default=64, ge=1)
    rounding: int = Field(default=2, ge=1, le=9)
    seed: int = 0

    @field_validator("crop_style", mode="before")
    @classmethod
    def _one_spelling(cls, style: Any) -> Any:
        if style == "face":
            raise ValueError(
                "'face' needs a face detector, which this tool does not have; use 'center', 'corner' or 'random'"
            )
        return "center" if style == "centre" else style

    @field_validator("crop_aspect_buckets", mode="before")
    @classmethod
    def _one_form(cls, buckets: Any) -> Any:
        if not isinstance(buckets, list | tuple):
            return buckets
        return tuple({"aspect": bucket} if isinstance(bucket, int | float) else bucket for bucket in buckets)

    @model_validator(mode="after")
    def _units(self) -> Self:
        for name in ("resolution", "minimum_image_size", "maximum_image_size", "target_downsample_size"):
            value = getattr(self, name)
            if not value:
                continue
            if self.resolution_type == "area":
                if value >= MEGAPIXELS_BELOW:
                    raise ValueError(
                        f"{name} is {value:g} megapixels, since resolution_type is 'area'; if pixels are meant, "
                        "use resolution_type 'pixel_area' or 'pixel'"
                    )
            elif value < MIN_EDGE_PX:
                raise ValueError(
                    f"{name} is {value:g} pixels, since resolution_type is {self.resolution_type!r}; if megapixels are "
                    "meant, use resolution_type 'area'"
                )
            elif value != int(value):
                raise ValueError(
                    f"{name} is {value:g}, but resolution_type {self.resolution_type!r} counts whole pixels; use "
                    f"{round(value)}, or resolution_type 'area' for megapixels"
                )
        return self

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.maximum_image_size is None) != (self.target_downsample_size is None):
            given, missing = ("maximum_image_size", "target_downsample_size")
            if self.maximum_image_size is None:
                given, missing = missing, given
            raise ValueError(f"{given} is {getattr(self, given):g}, but {missing} is not set; set both or neither")
        low, high = self.minimum_aspect_ratio, self.maximum_aspect_ratio
        if low is not None and high is not None and low > high:
            raise ValueError(
                f"minimum_aspect_ratio is {low:g}, but maximum_aspect_ratio is {high:g}: no image is between"
            )
        buckets = self.crop_aspect_buckets
        if not self.chooses_aspect:
            return self
        if not buckets:
            raise ValueError(
                f"crop_aspect is {self.crop_aspect!r}, but crop_aspect_buckets is empty; list ratios of width to "
                "height, such as [0.75, 1.0, 1.33], or use crop_aspect 'square' or 'preserve'"
            )
        weights = [bucket.weight for bucket in buckets if bucket.weight is not None]
        if weights and self.crop_aspect == "random":
            if len(weights) < len(buckets):
                raise ValueError(
                    f"{len(weights)} of {len(buckets)} crop_aspect_buckets have a weight; give one to all, or to none"
                )
            if abs(sum(weights) - 1) > 1e-6:
                raise ValueError(f"the weights of crop_aspect_buckets sum to {sum(weights):g}; make them sum to 1")
        return self

    @property
    def chooses_aspect(self) -> bool:
        """Whether each sample is given one of `crop_aspect_buckets`."""
        return self.crop and self.crop_aspect in ("closest", "random")

    @property
    def draws_aspect(self) -> bool:
        return self.crop and self.crop_aspect == "random"

    @property
    def edge_px(self) -> int:
        """The side of square targets. As SimpleTuner has it, the type `pixel` takes it as given, not aligned."""
        if self.resolution_type == "pixel":
            return int(self.resolution)
        wanted = megapixels(self.resolution, self)
        named = [edge for area, edge in NAMED_AREAS.items() if abs(wanted - area) < 0.05]
        return align(named[0] if named else math.sqrt(wanted * 1e6), self)


def align(length: float, rules: GeometryRules) -> int:
    """The nearest multiple of the alignment, at least one of it; halves go to the even multiple, as Python rounds."""
    return max(round(length / rules.alignment) * rules.alignment, rules.alignment)


def megapixels(size: float, rules: GeometryRules) -> float:
    """A size, in the unit of the rules, as an area."""
    return size if rules.resolution_type == "area" else size * size / 1e6

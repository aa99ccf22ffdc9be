"""What the user says about sizes and crops, in SimpleTuner's keys and units. What follows from it: `geometry`."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from hf_assets.spellings import number
from hf_assets.values import Block, Flag, Number

# Areas in megapixels that stand for these edges; any area within 0.05 of one counts as it.
NAMED_AREAS = {0.25: 512, 0.5: 768, 1.0: 1024, 2.0: 1536, 4.0: 2048}

# No resolution, in megapixels, is as large as this; a value above it was meant in pixels.
MEGAPIXELS_BELOW = 20
# No edge, in pixels, is smaller than this (one cell of a latent); a value below it was meant in megapixels.
MIN_EDGE_PX = 8


class AspectBucket(Block):
    """An aspect with its share."""

    aspect: Number = Field(description="Width / height. A bare number in the list means the same.")
    weight: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Share of the samples where `crop_aspect` is `random`; all have one, or none."
    )


def _with_its_name(value: Any) -> Any:
    value = number(value)
    return {"aspect": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Aspect = Annotated[AspectBucket, BeforeValidator(_with_its_name)]


class GeometryKeys(Block):
    """The keys about sizes and crops, each right by itself; whether they fit each other, `GeometryRules` checks."""

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
    maximum_image_size: Number | None = Field(
        None, description="With `target_downsample_size`, as in SimpleTuner; same unit as `resolution`."
    )
    target_downsample_size: Number | None = Field(
        None, description="With `crop`: images are first resized to this size, then cropped."
    )
    minimum_aspect_ratio: Number | None = Field(
        None, description="Images of a smaller width / height are dropped; rounded as `aspect_bucket_rounding` says."
    )
    maximum_aspect_ratio: Number | None = Field(None, description="Images of a larger width / height are dropped.")
    max_upscale_threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="By how much an image may be enlarged: 0.2 for a fifth. Those that need more are dropped."
    )
    crop_style: Literal["random", "center", "centre", "corner", "face"] = Field(
        "random", description="Where the crop lies. A random one is drawn from the image's content hash."
    )
    crop_aspect: Literal["square", "preserve", "closest", "random"] = Field(
        "square",
        description="Aspect of the crop where `crop` is true: `closest` and `random` choose among "
        "`crop_aspect_buckets`.",
    )
    crop_aspect_buckets: Annotated[tuple[Aspect, ...], Field(min_length=1, strict=False)] | None = Field(
        None,
        description='Ratios of width to height, for `random` also with their share: `{"aspect": 1.5, "weight": 0.3}`.',
    )
    aspect_bucket_alignment: PositiveInt = Field(64, description="Both target edges are multiples of this, in pixels.")
    aspect_bucket_rounding: Annotated[int, Field(ge=1, le=9)] = Field(
        2, description="Digits to which an aspect is rounded."
    )

    @field_validator("crop_style")
    @classmethod
    def _style_is_known(cls, style: str) -> str:
        if style == "face":
            raise ValueError(
                "'face' needs a face detector, which this tool does not have; use 'center', 'corner' or 'random'"
            )
        return "center" if style == "centre" else style

    @field_validator("minimum_image_size")
    @classmethod
    def _none_for_no_limit(cls, size: float | None) -> float | None:
        return size or None


class GeometryRules(GeometryKeys):
    """What the user says about sizes and crops, in SimpleTuner's keys and units.

    `resolution`, `minimum_image_size`, `maximum_image_size` and `target_downsample_size` share one unit: megapixels for
    the type `area`, an edge in pixels for `pixel` (the shorter side) and `pixel_area` (of a square with that area).
    `crop: false` still crops what the resize leaves over, in `crop_style`; the other crop settings need `crop: true`.
    `minimum_aspect_ratio` and `maximum_aspect_ratio` are of the original, width / height, rounded as aspects are.
    An image must not be enlarged by more than `max_upscale_threshold` (0.2: by a fifth of its edges): with
    `crop_aspect` `closest`, only buckets within that are considered; an image for which there is none, is dropped.
    """

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
    alignment = rules.aspect_bucket_alignment
    return max(round(length / alignment) * alignment, alignment)


def megapixels(size: float, rules: GeometryRules) -> float:
    """A size, in the unit of the rules, as an area."""
    return size if rules.resolution_type == "area" else size * size / 1e6

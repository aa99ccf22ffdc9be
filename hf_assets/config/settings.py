"""What is taken of each row's media: one model for each kind of media, of which a recipe carries one.

The parts are the models that validate the user's blocks, and that the stages read.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from hf_assets.stages.audio import AudioRules
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.frames import FrameRules
from hf_assets.stages.geometry_rules import GeometryRules
from hf_assets.values import Block


class ImageSettings(Block):
    """Images.

    Attributes:
        composite: which cell of each image is taken; None: the whole.
        decode: how JPEGs are decoded. Only latents depend on it, and have it in their keys (`kinds.image`).
    """

    kind: Literal["image"] = "image"
    geometry: GeometryRules = GeometryRules()
    composite: CompositeRules | None = None
    decode: Literal["exact", "fast"] = Field("exact", exclude=True)


class VideoSettings(Block):
    """Videos.

    Attributes:
        fps_column: column of frames per second, recorded in place of what the files say.
    """

    kind: Literal["video"] = "video"
    geometry: GeometryRules = GeometryRules()
    frames: FrameRules = FrameRules()
    fps_column: str | None = None


class AudioSettings(Block):
    """Audio."""

    kind: Literal["audio"] = "audio"
    part: AudioRules = AudioRules()


MediaSettings: TypeAlias = Annotated[ImageSettings | VideoSettings | AudioSettings, Field(discriminator="kind")]

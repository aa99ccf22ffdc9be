"""Videos as a medium: some frames of each, resized and cropped as images are. See `kinds.medium.Medium`."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import VideoSettings
from hf_assets.errors import ModelError
from hf_assets.folder import model_hashes
from hf_assets.kinds.image import check_sizes, example_sizes
from hf_assets.kinds.showing import Show
from hf_assets.media import video
from hf_assets.models import autoencoders
from hf_assets.models.components import vae_component
from hf_assets.models.inputs import remembered_input
from hf_assets.models.pipeline import Pipeline, resolve_pipeline
from hf_assets.stages import frames, geometry

if TYPE_CHECKING:
    import torch
    from PIL import Image


class VideoMedium:
    """Videos of one column.

    How many frames of a clip are taken depends on the VAE's stride in time. It is read from the VAE's configuration, or
    where that doesn't say, measured; what is encoded is compared with a measurement always.
    """

    reads_model = True
    extension = "mp4"
    facts = pa.schema(
        [
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("num_frames", pa.int32()),
            pa.field("fps", pa.float64()),
            pa.field("rotation", pa.int32()),
            schema.DECODING,
        ]
    )
    media = schema.VIDEO_MEDIA
    buckets = schema.VIDEO_BUCKETS
    keyed: tuple[str, ...] = ("resized_size", "target_size", "crop_top_left", "first_frame", "num_frames")
    decoded = keyed
    training = pa.schema(
        [schema.VIDEO_BUCKETS.field(name) for name in ("original_num_frames", "fps", "first_frame", "num_frames")]
    )
    assigned_by = 1000 * geometry.VERSION + frames.VERSION

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.settings, VideoSettings)
        self.recipe, self.rules = recipe, recipe.settings
        self.reads_columns = self.rules.fps_column is not None
        # For image-to-video, a sample has more tensors.
        self.plain = f"video {video.PLAIN_VERSION}{' i2v' if self.rules.frames.is_i2v else ''}"

    @property
    def probed_by(self) -> str:
        return f"video {video.VERSION}"

    @property
    def settings(self) -> tuple[str | BaseModel, ...]:
        return str(video.VERSION), self.recipe.media_column, self.rules, self.recipe.model.pipeline

    def probe(self, data: bytes) -> dict[str, Any]:
        facts = video.probe(data)
        return {name: getattr(facts, name) for name in self.facts.names}

    def describe(self, facts: pa.Table) -> pa.Table:
        size = schema.pairs(facts["width"], facts["height"])
        columns = [facts[name] for name in ("decoding", "num_frames", "fps", "rotation")]
        return pa.table([facts["row"], facts["media_hash"], size, *columns], schema=schema.VIDEO_MEDIA)

    def assign(self, media: pa.Table) -> pa.Table:
        return frames.assign(geometry.assign(media, self.rules.geometry), self.rules.frames, self._stride)

    def with_column_facts(self, buckets: pa.Table, raw_dataset: pa.Table) -> pa.Table:
        """The rate that a column gives goes before the one that was measured."""
        if self.rules.fps_column is None:
            return buckets
        rows = pc.index_in(buckets["row"], value_set=raw_dataset["row"].combine_chunks())
        rates = schema.column(raw_dataset, self.rules.fps_column).take(rows)
        fps = pc.coalesce(rates.cast(pa.float64()), buckets["fps"])
        return buckets.set_column(buckets.schema.get_field_index("fps"), "fps", fps)

    @functools.cached_property
    def _stride(self) -> int:
        return _frame_stride(
            resolve_pipeline(self.recipe.model.pipeline, hash_cache=model_hashes(self.recipe.folders.metadata))
        )

    def decode(self, data: bytes, sample: dict[str, Any], show: Show | None = None) -> "torch.Tensor":
        """(3, F, H, W) uint8, RGB, 0 to 255."""
        return video.to_pixels(data, **sample, show=show).transpose(0, 1)

    def encode(
        self, encode: "Callable[[torch.Tensor], torch.Tensor]", batch: "torch.Tensor"
    ) -> "dict[str, torch.Tensor]":
        """`latents`; for image-to-video also the first frame's, (B, C, 1, h, w), and its pixels, (B, 3, H, W)."""
        encoded = {"latents": encode(batch)}
        if self.rules.frames.is_i2v:
            encoded |= {"first_frame_latents": encode(batch[:, :, :1]), "first_frame_pixels": batch[:, :, 0]}
        return encoded

    def thumbnail(self, data: bytes) -> "Image.Image | None":
        """The first, middle and last of the frames that are taken, on one sheet."""
        return video.sheet(video.thumbnails(data, num_frames=self.rules.frames.most))

    def check(self, buckets: pa.Table, pipeline: Pipeline) -> None:
        check_sizes(pc.unique(buckets["bucket"]).to_pylist(), _reads(pipeline).spatial_multiple)
        stride = _reads(pipeline).temporal_stride
        if len(wrong := [one for one in pc.unique(buckets["num_frames"]).to_pylist() if (one - 1) % stride]):
            raise ModelError(
                f"{pipeline.name}: its VAE takes 1 + k x {stride} frames, and videos were cut to {wrong[0]}: "
                "materialize buckets again"
            )

    def examples(self, pipeline: Pipeline) -> str:
        shown, sizes = example_sizes(self.rules.geometry)
        reads = _reads(pipeline)
        check_sizes(sizes, reads.spatial_multiple)
        given = np.array(sorted({self.rules.frames.fewest, self.rules.frames.most}))
        taken = frames.lengths(given, self.rules.frames, reads.temporal_stride)
        cut = ", ".join(f"{few:,} of videos with {many:,}" for few, many in zip(taken, given, strict=True))
        return f"target sizes of {shown}: {', '.join(sizes)}; frames: {cut}"

    def volume(self, buckets: pa.Table) -> np.ndarray:
        width, height = schema.halves(buckets["target_size"])
        volume: np.ndarray = width.astype(np.int64) * height * buckets["num_frames"].to_numpy()
        return volume

    @property
    def usual_volume(self) -> int:
        return self.rules.geometry.edge_px**2 * self.rules.frames.most

    def elements_per_volume(self, config: dict[str, Any]) -> float:
        stride = autoencoders.frame_stride(config) or 1
        return autoencoders.channels(config) / (autoencoders.cell_px(config) ** 2 * stride)


def _frame_stride(pipeline: Pipeline) -> int:
    """The VAE's stride in time, without loading anything where its configuration gives it."""
    vae = vae_component(pipeline)
    known = autoencoders.frame_stride(vae.repository.read_json(f"{vae.folder}/config.json".lstrip("/")))
    return known or _reads(pipeline).temporal_stride


def _reads(pipeline: Pipeline) -> Any:
    """What the pipeline's VAE reads (`models.VaeInput`).

    Raises:
        ModelError: it makes no videos.
    """
    reads = remembered_input(pipeline)
    if not reads.keeps_frames:
        raise ModelError(
            f"{pipeline.name} ({pipeline.class_name}) makes no videos: choose a pipeline that does, or another "
            "dataset_type"
        )
    return reads

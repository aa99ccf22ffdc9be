"""Images as a medium: resized, cropped, one tensor each. See `kinds.medium.Medium`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import ImageSettings
from hf_assets.errors import ModelError
from hf_assets.kinds.showing import Show
from hf_assets.media import image
from hf_assets.models import autoencoders
from hf_assets.models.inputs import spatial_multiple
from hf_assets.models.pipeline import Pipeline
from hf_assets.stages import composites, geometry
from hf_assets.stages.geometry_rules import GeometryRules

if TYPE_CHECKING:
    import torch
    from PIL import Image

# A landscape, a portrait and a square image.
EXAMPLE_SIZES = ((1600, 900), (900, 1600), (1000, 1000))


class ImageMedium:
    """Images of one column.

    Where a recipe takes a cell of each image (a composite image), the cell's size is the `original_size`, and the
    cell is one more column, which decides the latent too. The ledger keeps the whole image's size.
    """

    assigned_by = geometry.VERSION
    reads_model = False
    reads_columns = False
    extension = "jpg"
    facts = pa.schema([pa.field("width", pa.int32()), pa.field("height", pa.int32()), schema.DECODING])
    keyed: tuple[str, ...] = ("resized_size", "target_size", "crop_top_left")
    training = pa.schema([])

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.settings, ImageSettings)
        self.recipe, self.rules = recipe, recipe.settings
        self.is_fast = self.rules.decode == "fast"
        self.plain = f"image {image.PLAIN_VERSION}{f' fast {image.FAST_VERSION}' if self.is_fast else ''}"
        cell = [schema.CELL] if self.rules.composite is not None else []
        self.media = pa.schema([*schema.MEDIA, *cell])
        self.buckets = pa.schema([*schema.BUCKETS, *cell])
        self.keyed = (*ImageMedium.keyed, *(field.name for field in cell))
        self.decoded = ("original_size", *self.keyed)

    @property
    def probed_by(self) -> str:
        return f"image {image.VERSION}"

    @property
    def settings(self) -> tuple[str | BaseModel, ...]:
        versions = (str(image.VERSION), *((str(composites.VERSION),) if self.rules.composite else ()))
        return *versions, self.recipe.media_column, self.rules

    def probe(self, data: bytes) -> dict[str, Any]:
        facts = image.probe(data)
        return {"width": facts.width, "height": facts.height, "decoding": facts.decoding}

    def describe(self, facts: pa.Table) -> pa.Table:
        size = schema.pairs(facts["width"], facts["height"])
        if self.rules.composite is None:
            return pa.table([facts["row"], facts["media_hash"], size, facts["decoding"]], schema=self.media)
        cells = composites.cells(pa.chunked_array([size]), self.rules.composite).astype(np.int32)
        size, cell = (
            pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind)
            for values, kind in ((cells[:, 2:], schema.SIZE), (cells, schema.CELL.type))
        )
        return pa.table([facts["row"], facts["media_hash"], size, facts["decoding"], cell], schema=self.media)

    def assign(self, media: pa.Table) -> pa.Table:
        if self.rules.composite is None:
            return geometry.assign(media, self.rules.geometry)
        # An image with fewer pixels than cells has none for this one.
        edges = np.stack(schema.halves(media["original_size"]))
        is_there = pa.array(edges.min(axis=0) >= 1)
        assigned = geometry.assign(media.filter(is_there), self.rules.geometry)
        empty = media.filter(pc.invert(is_there))
        empty = empty.append_column("dropped_for", pa.repeat("too_small", len(empty)))
        return pa.concat_tables([assigned, empty], promote_options="default").sort_by("row")

    def with_column_facts(self, buckets: pa.Table, raw_dataset: pa.Table) -> pa.Table:
        return buckets

    def decode(self, data: bytes, sample: dict[str, Any], show: Show | None = None) -> "torch.Tensor":
        """(3, H, W) uint8, RGB, 0 to 255."""
        return image.to_pixels(data, **sample, is_fast=self.is_fast, show=show)

    def encode(
        self, encode: "Callable[[torch.Tensor], torch.Tensor]", batch: "torch.Tensor"
    ) -> "dict[str, torch.Tensor]":
        return {"latents": encode(batch)}

    def thumbnail(self, data: bytes) -> "Image.Image | None":
        picture = image.decode_small(data, None if self.rules.composite is None else self._cell_of)
        return picture if all(picture.size) else None

    def _cell_of(self, whole: tuple[int, int]) -> list[int]:
        """Of a composite of this size, the part that is encoded."""
        assert self.rules.composite is not None, "other images are encoded whole"
        size = pa.FixedSizeListArray.from_arrays(pa.array(whole, pa.int32()), type=schema.SIZE)
        cell: list[int] = composites.cells(pa.chunked_array([size]), self.rules.composite)[0].tolist()
        return cell

    def check(self, buckets: pa.Table, pipeline: Pipeline) -> None:
        check_sizes(pc.unique(buckets["bucket"]).to_pylist(), spatial_multiple(pipeline))

    def examples(self, pipeline: Pipeline) -> str:
        shown, sizes = example_sizes(self.rules.geometry)
        check_sizes(sizes, spatial_multiple(pipeline))
        return f"target sizes of {shown}: {', '.join(sizes)}"

    def volume(self, buckets: pa.Table) -> np.ndarray:
        width, height = schema.halves(buckets["target_size"])
        return width.astype(np.int64) * height.astype(np.int64)

    @property
    def usual_volume(self) -> int:
        return self.rules.geometry.edge_px**2

    def elements_per_volume(self, config: dict[str, Any]) -> float:
        return autoencoders.channels(config) / autoencoders.cell_px(config) ** 2


def example_sizes(rules: GeometryRules) -> tuple[str, list[str]]:
    """Target sizes that are known before any media are, and of what they are."""
    if not rules.draws_aspect:
        return "16:9, 9:16 and 1:1", [geometry.geometry_of(*size, rules).bucket for size in EXAMPLE_SIZES]
    aspects = [bucket.aspect for bucket in rules.crop_aspect_buckets or ()]
    sizes = [geometry.geometry_of(*EXAMPLE_SIZES[-1], rules, aspect).bucket for aspect in aspects]
    return f"1:1 in the aspects {', '.join(f'{aspect:g}' for aspect in aspects)}, of which one is drawn", sizes


def check_sizes(buckets: Iterable[str], multiple: int) -> None:
    """Refuse target sizes that the model can't take.

    Raises:
        ModelError: a size ("1152x896") is no multiple of `multiple` px.
    """
    for bucket in buckets:
        size, _, _ = bucket.partition("@")
        if any(int(edge) % multiple for edge in size.split("x")):
            raise ModelError(
                f"target size {size} is no multiple of {multiple} px, as this model needs: "
                "change resolution or aspect_bucket_alignment"
            )

"""What the stages need to know about a kind of media; everything else about them is the same for all kinds.

One row of `MEDIA` per kind. A medium is made for one recipe, and loads nothing heavy before it looks at bytes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from hf_assets.config.recipe import Recipe
from hf_assets.kinds.audio import AudioMedium
from hf_assets.kinds.image import ImageMedium
from hf_assets.kinds.showing import Show
from hf_assets.kinds.video import VideoMedium
from hf_assets.models.pipeline import Pipeline

if TYPE_CHECKING:
    import torch
    from PIL import Image


class Medium(Protocol):
    """One dataset's kind of media: from bytes to facts, from facts to buckets, from bytes to what the encoder reads.

    Attributes:
        plain: version of the values that plain samples decode to, and what else than `latents` is stored. It is part of
            each latent's key, and hardly ever changes: what the decoder does beyond the plain case, with its versions,
            is a fact of the sample (`schema.DECODING`).
        assigned_by: version of the code that assigns shapes and parts.
        reads_model: whether `assign` asks what the model's VAE reads, so that it has to be the run's pinned one.
        reads_columns: whether `with_column_facts` reads the dataset's own columns.
        extension: of the name under which trainers know a row: row 12 is `12.jpg`.
        facts: what `probe` finds, as the ledger keeps it. What part of the media a recipe takes is not part of it, so
            that another part costs no look at the bytes.
        media: `row`, `media_hash`, and what the facts mean for this recipe.
        buckets: `media`, what `assign` adds to it but `dropped_for`, in the table's order; has `bucket`.
        keyed: the columns of `buckets` that, beside media hash, decoding and encoder, decide a latent.
        decoded: the columns of `buckets` that `decode` reads.
        training: columns of `buckets` that the training set has beside `schema.TRAINING_SET`.
    """

    plain: str
    assigned_by: int
    reads_model: bool
    reads_columns: bool
    extension: str
    facts: pa.Schema
    media: pa.Schema
    buckets: pa.Schema
    keyed: tuple[str, ...]
    decoded: tuple[str, ...]
    training: pa.Schema

    @property
    def probed_by(self) -> str:
        """The way in which `probe` looks: what the ledger knows from another way is probed again."""
        ...

    @property
    def settings(self) -> tuple[str | BaseModel, ...]:
        """What the table of buckets depends on besides its rows and `assigned_by`."""
        ...

    def probe(self, data: bytes) -> dict[str, Any]:
        """A row of `facts`.

        Raises:
            MediaError: these bytes can't be used, and why.
        """
        ...

    def describe(self, facts: pa.Table) -> pa.Table:
        """Rows of `media`, from rows with `row`, `media_hash` and `facts`."""
        ...

    def assign(self, media: pa.Table) -> pa.Table:
        """Give each row its shape and its part of the media (`buckets`), or the reason why it is `dropped_for`.

        Raises:
            ModelError: what the encoder needs can't be found out.
        """
        ...

    def with_column_facts(self, buckets: pa.Table, raw_dataset: pa.Table) -> pa.Table:
        """The buckets with what columns of the dataset say in place of the media; nothing that decides a latent."""
        ...

    def decode(self, data: bytes, sample: dict[str, Any], show: Show | None = None) -> "torch.Tensor":
        """One sample as the encoder reads it, without the batch axis.

        Args:
            sample: a row of `decoded`.
            show: is given a picture of the medium, which costs little here.

        Raises:
            MediaError: these bytes can't be used, and why.
        """
        ...

    def encode(
        self, encode: "Callable[[torch.Tensor], torch.Tensor]", batch: "torch.Tensor"
    ) -> "dict[str, torch.Tensor]":
        """The tensors to store for each sample of a batch, by name; the first is `latents`.

        Args:
            encode: the VAE's `encode` or `encode_float32`.
            batch: samples of one shape, stacked.
        """
        ...

    def thumbnail(self, data: bytes) -> "Image.Image | None":
        """A picture by which a person knows the medium, of any size; None where there is none.

        Raises:
            MediaError: these bytes can't be used, and why.
        """
        ...

    def check(self, buckets: pa.Table, pipeline: Pipeline) -> None:
        """Refuse shapes that the encoder can't take.

        Raises:
            ModelError: which, and what to change.
        """
        ...

    def examples(self, pipeline: Pipeline) -> str:
        """Shapes that this recipe gives, for people; checked against the encoder.

        Raises:
            ModelError: the encoder can't take one.
        """
        ...

    def volume(self, buckets: pa.Table) -> np.ndarray:
        """What each row's latent grows with: pixels, over all frames, or samples of audio. (N,) int64"""
        ...

    @property
    def usual_volume(self) -> int:
        """A row's volume where none is known."""
        ...

    def elements_per_volume(self, config: dict[str, Any]) -> float:
        """Numbers in a latent per unit of volume, by an autoencoder's configuration."""
        ...


# By `Recipe.kind`.
MEDIA: dict[str, Callable[[Recipe], Medium]] = {"image": ImageMedium, "video": VideoMedium, "audio": AudioMedium}


def medium_of(recipe: Recipe) -> Medium:
    """The medium of a recipe."""
    return MEDIA[recipe.kind](recipe)

"""A training set as a torch dataset: tensors beside their captions and geometry."""

import random
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

from hf_assets import files, schema
from hf_assets.blobs import Location
from hf_assets.blobs.location import parse
from hf_assets.errors import StoreError
from hf_assets.folder import table as table_path
from hf_assets.store import layout, memo
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.training import opened
from hf_assets.training.collating import Samples
from hf_assets.training.facts import Column
from hf_assets.training.opened import Opened

NO_EMPTY_CAPTION = (
    "the empty caption has no embed, which takes the place of captions that are left out: materialize text_embeds and "
    "training_set again, or set caption_dropout_probability to 0"
)

# What a sample has of its row of the table, beside what only its kind of media has.
FACTS = ("file", "source_path", "row", "original_size", "target_size", "crop_top_left")


class TrainingSet(Dataset[dict[str, Any]]):
    """The samples of one dataset.

    `len(ts)` samples; `ts[i]` is a dict with `latents` (no batch axis), one entry per tensor of the text side under
    the name that the pipeline gives it (no batch axis either), `caption`, `file`, `source_path` (the row's own file,
    None where its bytes lie in a table), `row`, `original_size` and `target_size` ([width, height]) and `crop_top_left`
    ([top, left]); of videos and audio also which part was taken, and of audio its `lyrics`. A sample with several
    captions gives one of them, drawn by `epoch` and its media.

    It stays as it was opened while runs or garbage collection go on beside it, and can be used by the workers of a
    `DataLoader`.

    Attributes:
        table: the samples (`schema.TRAINING_SET`).
        shapes: those that latents have.
        shape_codes: for each sample, which of `shapes`.
        latents, embeds: the tensors of each sample, and of each caption of all samples, one after the other.
        first_embed: for each sample, which of `embeds` is that of its first caption.
    """

    def __init__(self, opened: Opened) -> None:
        self._take(opened)
        # shared, so that workers that outlive an epoch see the next one
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def _take(self, opened: Opened) -> None:
        self._opened = opened
        self.table = table = opened.table
        self.shapes, self.shape_codes = opened.shapes, opened.shape_codes
        more = [name for name in table.column_names if name not in schema.TRAINING_SET.names]
        known = (name for name in FACTS if name in table.column_names)  # earlier tables lack some
        self._facts = {name: Column(table[name]) for name in (*known, *more)}
        self._captions, self._media_hashes = Column(table["captions"]), Column(table["media_hash"])
        self.latents = TensorReader(opened.stores.latents, opened.latents)
        self.embeds = TensorReader(opened.stores.embeds, opened.embeds)
        self._keys = Column(table["embed_keys"])
        self.first_embed = opened.first_embed

    @classmethod
    def open(cls, folder: str | Location) -> Self:
        """Open the training set in a dataset's metadata folder, `cache_dir/huggingface_metadata/{id}`.

        What was found out is kept beside the table, in files that the next to open it maps into memory.

        Raises:
            StoreError: there is none, or tensors that it names are missing or damaged.
        """
        root = parse(folder, Path()) if isinstance(folder, str) else folder
        path = table_path(root, "training_set")
        try:
            stores = layout.from_metadata(pq.read_schema(files.parquet(path)), root.absolute())
        except (OSError, KeyError, TypeError, pa.ArrowException):
            raise _refusal(root) from None
        found = opened.load(root, stores) or opened.make(root, path, stores)
        if found is None:
            raise _refusal(root)
        return cls(found)

    @property
    def epoch(self) -> int:
        """Set it at each epoch's start to draw captions anew; the same epoch draws the same captions."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch.fill_(value)

    def __repr__(self) -> str:
        shapes = ", ".join("x".join(map(str, shape)) for shape in list(self.shapes)[:4])
        more = f" and {len(self.shapes) - 4} more" if len(self.shapes) > 4 else ""
        return f"TrainingSet({len(self):,} samples, latents {shapes}{more})"

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def buckets(self) -> dict[tuple[int, ...], list[int]]:
        """Shape of the latents -> indices of the samples that have it."""
        return {shape: np.flatnonzero(self.shape_codes == code).tolist() for code, shape in enumerate(self.shapes)}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.read(index, self.epoch)

    def read(self, index: int, draw: int, caption_dropout: float = 0.0) -> dict[str, Any]:
        """`self[index]` as it is when `epoch` is `draw`; see `read_batch`."""
        return self.read_batch([index], draw, caption_dropout=caption_dropout)[0]

    def __getitems__(self, indices: Sequence[int]) -> Samples:
        """The samples of a batch, which `collate` takes as they lie: what a `DataLoader` asks for."""
        return self.read_batch(indices, self.epoch)

    def read_batch(self, indices: Sequence[int], draw: int, *, caption_dropout: float = 0.0, **facts: Any) -> Samples:
        """These samples as they are when `epoch` is `draw`, each with some facts more.

        Args:
            caption_dropout: probability with which a sample has the empty caption, drawn by `draw` and the sample.
        """
        length = len(self)
        for index in indices:
            if not -length <= index < length:
                raise IndexError(f"sample {index} of {length:,}")
        positions = [int(index) % length for index in indices]
        if not self.has_text:
            return self._without_text(positions, facts)
        captions = [self._captions[position] for position in positions]
        which = [self._drawn(position, len(own), draw) for position, own in zip(positions, captions, strict=True)]
        texts = [own[drawn] for own, drawn in zip(captions, which, strict=True)]
        embed_at = [int(self.first_embed[at]) + drawn for at, drawn in zip(positions, which, strict=True)]
        for number, position in enumerate(positions if caption_dropout else ()):
            if self._is_left_out(position, draw, caption_dropout):
                texts[number], embed_at[number] = schema.EMPTY_CAPTION, self._empty_at(position)
        latents = self.latents.read(positions)
        embeds = self.embeds.read(embed_at)
        samples = (
            {
                **latents.samples[number],
                **embeds.samples[number],
                "caption": texts[number],
                **{name: column[position] for name, column in self._facts.items()},
                **facts,
            }
            for number, position in enumerate(positions)
        )
        return Samples(samples, {**latents.wholes, **embeds.wholes})

    def _without_text(self, positions: list[int], facts: dict[str, Any]) -> Samples:
        latents = self.latents.read(positions)
        samples = (
            {
                **latents.samples[number],
                "caption": schema.EMPTY_CAPTION,
                **{name: column[position] for name, column in self._facts.items()},
                **facts,
            }
            for number, position in enumerate(positions)
        )
        return Samples(samples, latents.wholes)

    def _drawn(self, position: int, num_captions: int, draw: int) -> int:
        """Which of a sample's captions it has in a draw."""
        if num_captions == 1:
            return 0
        return random.Random(f"{self._media_hashes[position]}:{draw}").randrange(num_captions)

    @property
    def has_empty_caption(self) -> bool:
        """Whether the empty caption has an embed for every sample."""
        return self._opened.has_empty

    def empty_caption(self, index: int = 0) -> dict[str, torch.Tensor]:
        """The embed of the empty caption, as classifier-free guidance needs it: the tensors of the text side.

        Args:
            index: of a sample: where texts are encoded with the duration of a clip, as it is with that one's.

        Raises:
            StoreError: there is none.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self):,}")
        return self.embeds[self._empty_at(index % len(self))]

    @property
    def has_text(self) -> bool:
        """Whether there are embeds: not where `model.text` is false."""
        return len(self.embeds) > 0

    @property
    def content(self) -> str:
        """Hash of its samples and their order."""
        return self._opened.content

    def _empty_at(self, position: int) -> int:
        """Which of `embeds` is the empty caption's of a sample."""
        found = int(self._opened.empty[position])
        if found < 0:
            raise StoreError(NO_EMPTY_CAPTION)
        return self._opened.num_embeds + found

    def _is_left_out(self, position: int, draw: int, probability: float) -> bool:
        """Whether the empty caption takes the place of a sample's own in this draw."""
        seed = f"dropout:{self._media_hashes[position]}:{self._keys[position][0]}:{draw}"
        return random.Random(seed).random() < probability

    def __getstate__(self) -> dict[str, Any]:
        """A worker is given the path of the files: it maps them itself."""
        return {"opened": (self._opened.path, self._opened.stores), "epoch": self._epoch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._take(opened.read(*state["opened"]))
        self._epoch = state["epoch"]


def _refusal(root: Location) -> StoreError:
    memo.forget(root, "training_set")
    path = table_path(root, "training_set")
    return StoreError(f"{path} is missing or damaged: materialize the training_set of this dataset")

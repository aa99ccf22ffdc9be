"""How a worker makes latents: media are read, decoded, stacked by shape, and encoded by the VAE.

Shape letters: B batch; what follows it depends on the medium.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.encode import encoders
from hf_assets.encode.batches import in_halves
from hf_assets.encode.line import Again, Batch, Decoded, Failed, Job
from hf_assets.encode.media_files import Media, by_file, media_of
from hf_assets.encode.transfers import Buffers, Coming, Transfers
from hf_assets.encode.unit import KEY
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Unit
from hf_assets.errors import DatasetError, MediaError, ModelError
from hf_assets.kinds.medium import Medium, medium_of
from hf_assets.kinds.showing import Show
from hf_assets.models import vae as vae_side
from hf_assets.previews import pictures
from hf_assets.previews.decoded import DecodedSamples
from hf_assets.previews.pictures import Pictures
from hf_assets.sources.source import Source
from hf_assets.sources.spec import Snapshot
from hf_assets.store.tensors import Sample, TensorStore

if TYPE_CHECKING:
    import torch

    from hf_assets.models.vae import Vae

# Decoded bytes per unit of `Medium.volume`: three colours, or a number for each of two ears.
BYTES_PER_VOLUME = {"image": 3, "video": 3, "audio": 8}
# Rows of jobs that are Python objects at a time.
ROWS_AT_A_TIME = 1024


def jobs_of(
    missing: pa.Table, raw_dataset: pa.Table, medium: Medium, pictured: pictures.Chosen, root: Location
) -> pa.Table:
    """What a worker needs to know about the samples to encode.

    Args:
        missing: `latent_key` and the medium's `buckets`, in the split's order.
        raw_dataset: says where they lie.
        pictured: the rows that are to have a picture.
        root: metadata folder of the dataset.

    Returns:
        `key`, `row`, `media_hash`, where the media lie (`schema.LOCATION`), the medium's `decoded`, `volume`, and
        whether they are `pictured` (`pictures.wanted`).
    """
    is_wanted = pc.is_in(raw_dataset["row"], value_set=missing["row"].combine_chunks())
    place = raw_dataset.select(["row", *schema.LOCATION.names]).filter(is_wanted)
    assert place["row"].equals(missing["row"]), "both are in the split's order"
    jobs = missing.select(["latent_key", "row", "media_hash", *medium.decoded]).rename_columns(
        [KEY, "row", "media_hash", *medium.decoded]
    )
    for name in schema.LOCATION.names:
        jobs = jobs.append_column(name, place[name])
    jobs = jobs.append_column("pictured", pictures.wanted(jobs, pictured, root))
    return jobs.append_column("volume", pa.array(medium.volume(missing)))


@dataclass(frozen=True)
class LatentStage:
    """See `line.Stage`.

    Attributes:
        shown: keys of the latents of which people see what they decode to.
        open_vae: loads the VAE.
        pictures: takes small pictures of what is decoded.
    """

    recipe: Recipe
    encoder: encoders.Encoder
    source: Source
    snapshot: Snapshot
    shown: frozenset[str] = frozenset()
    open_vae: "Callable[..., Vae]" = vae_side.load_vae
    buffers: Buffers = field(default_factory=Buffers, compare=False)
    pictures: Pictures | None = field(default=None, compare=False)
    by_shape = True

    @functools.cached_property
    def medium(self) -> Medium:
        return medium_of(self.recipe)

    @property
    def store(self) -> TensorStore:
        return TensorStore(self.recipe.folders.latents)

    @property
    def header(self) -> Mapping[str, str]:
        return self.encoder.header.metadata

    @property
    def tried_by(self) -> str:
        return self.encoder.tried_by

    def batch_size(self, compute: Compute) -> int:
        return compute.batch_size

    def jobs(self, units: list[Unit]) -> Iterator[Job]:
        """The samples with their media, in the split's order. A file that lies in several units is opened once."""
        located = pa.concat_tables([unit.jobs.select(["row", *schema.LOCATION.names]) for unit in units])
        parts = by_file(located, self.snapshot)
        media = media_of(parts, self.source, self.snapshot, self.recipe.media_column)
        size = BYTES_PER_VOLUME[self.recipe.kind]
        for unit in units:
            names = [KEY, "media_hash", "volume", "pictured", *self.medium.decoded]
            for rows in unit.jobs.select(names).to_batches(max_chunksize=ROWS_AT_A_TIME):
                for fact in rows.to_pylist():
                    one = next(media)
                    key, media_hash, volume, pictured = (fact.pop(name) for name in names[:4])
                    held = len(one.data or b"")
                    content = (one, media_hash, pictured, fact)
                    is_shown = self.pictures is not None and pictured != pictures.NONE
                    yield Job(unit.number, key, content, size * volume, held, one.num_bytes, is_portable=not is_shown)

    def decode(self, job: Job) -> Decoded | MediaError:
        media: Media
        media, media_hash, pictured, facts = job.content
        if media.data is None or fingerprint.of_bytes(media.data) != media_hash:
            raise DatasetError(
                f"the media at {media.address} changed since it was probed: materialize raw_dataset and buckets again"
            )
        try:
            sample = self.medium.decode(media.data, facts, self._show(media_hash, pictured, facts)).contiguous()
        except MediaError as error:
            return error
        return Decoded(job.key, sample, (*sample.shape, sample.dtype), job.num_bytes)

    def _show(self, media_hash: str, pictured: int, facts: dict[str, Any]) -> Show | None:
        """What takes a picture of a sample, if it is to have one."""
        if self.pictures is None or pictured == pictures.NONE:
            return None
        add, key = self.pictures.add, pictures.key_of(media_hash, facts.get(schema.CELL.name))
        return lambda picture, sound=None: add(key, picture, sound if pictured == pictures.HEARD else None)

    def assemble(self, samples: list[Decoded], compute: Compute) -> "torch.Tensor":
        return self.buffers.stack([one.content for one in samples], pinned=compute.device.startswith("cuda"))

    @contextmanager
    def _open_model(self, compute: Compute) -> "Iterator[LatentModel]":
        import torch

        dtype: torch.dtype = getattr(torch, self.recipe.model.dtype)
        pipeline, settings = self.encoder.pipeline, self.recipe.model.latents
        with self.open_vae(pipeline, compute.device, dtype, settings) as vae:
            if compute.channels_last or compute.compile or compute.cuda_graphs:
                vae.accelerate(
                    channels_last=compute.channels_last, compiled=compute.compile, recorded=compute.cuda_graphs
                )
            encoders.confirm(self.encoder, self.recipe)
            yield LatentModel(self, vae, compute)

    def load(self, compute: Compute, number: int) -> "AbstractContextManager[LatentModel]":
        return self._open_model(compute)


class LatentModel:
    """See `line.Model`."""

    def __init__(self, stage: LatentStage, vae: "Vae", compute: Compute) -> None:
        self.vae = vae
        self.medium = stage.medium
        self.buffers = stage.buffers
        self.transfers = Transfers(compute.device)
        self.samples_to_decode = DecodedSamples(stage.recipe.folders.metadata, stage.shown)
        self.pictures = stage.pictures
        self.amounts: Mapping[str, float] = {}

    def prepare(self, batch: Batch) -> None:
        """A batch is what the device is given."""

    def encode(self, batch: Batch) -> Coming:
        import torch

        media = self.transfers.to_device(batch.content)
        seeds = [_seed(key) for key in batch.keys]

        def part(some: slice) -> dict[str, torch.Tensor]:
            return self._tensors(media[some], seeds[some], in_float32=batch.is_second_try)

        try:
            parts = in_halves(part, len(seeds))
        except torch.OutOfMemoryError:
            raise ModelError(
                f"one sample of {tuple(media.shape[1:])} is more than the device's memory holds beside the VAE: "
                "set vae_tiling to true, or lower resolution (of videos also num_frames)"
            ) from None
        whole = {name: torch.cat([one[name] for one in parts]) for name in parts[0]} if parts[1:] else parts[0]
        memory = media.untyped_storage().data_ptr()  # it is used again, while a part of it may be a result
        own = {
            name: tensor.clone() if tensor.untyped_storage().data_ptr() == memory else tensor
            for name, tensor in whole.items()
        }
        return self.transfers.to_memory(own)

    def collect(self, batch: Batch, encoded: Coming) -> Iterator[Sample | Failed | Again]:
        """A sample whose latent isn't finite is tried once more, alone and in float32."""
        encoded.wait()
        for index, (key, is_finite) in enumerate(zip(batch.keys, encoded.is_finite.tolist(), strict=True)):
            if is_finite:
                tensors = {name: tensor[index] for name, tensor in encoded.tensors.items()}
                self.samples_to_decode.offer(key, batch.content[index], tensors["latents"])
                yield Sample(key, tensors)
            elif batch.is_second_try:
                yield Failed(key, "non_finite", "the VAE gives infinite or undefined values, in float32 too")
            else:
                alone = batch.content[index : index + 1].clone()
                yield Again(Batch([key], alone, alone.nbytes, is_second_try=True))
        self.buffers.give_back(batch.content)

    def finish(self, say: Callable[[str], None]) -> None:
        self.samples_to_decode.decode(self.vae, say)
        if self.pictures is not None:
            self.pictures.flush()

    def _tensors(
        self, batch: "torch.Tensor", seeds: list[int], *, in_float32: bool = False
    ) -> "dict[str, torch.Tensor]":
        """What is stored of a batch. Whatever else than the batch itself the medium encodes, such as a first frame, is
        a condition, for which pipelines take the mean.
        """
        besides: dict[str, torch.Tensor] = {}

        def encode(media: "torch.Tensor") -> "torch.Tensor":
            if media is not batch:
                return self.vae.encode(media, in_float32=in_float32)
            besides.update(self.vae.encode_each(media, seeds, in_float32=in_float32))
            return besides.pop("latents")

        return {**self.medium.encode(encode, batch), **besides}


def _seed(key: str) -> int:
    """Of a draw from the posterior: it follows from the media's hash and all else that the key is made of."""
    return int(key[:15], 16)

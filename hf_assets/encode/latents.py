"""Encode the media whose latents the store lacks.

Shape letters: B batch; what follows it depends on the medium.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import decoders, encoders
from hf_assets.encode.batches import Waiting, in_halves, num_ahead
from hf_assets.encode.compute import Compute, HoldDevice
from hf_assets.encode.media_files import Media, by_file, media_of
from hf_assets.encode.outcome import Outcome
from hf_assets.encode.progress import Progress
from hf_assets.encode.quarantine import failed_rows
from hf_assets.encode.shard_writer import ShardWriter
from hf_assets.engines.ahead import map_ahead
from hf_assets.errors import DatasetError, MediaError, ModelError
from hf_assets.kinds.medium import medium_of
from hf_assets.models import families
from hf_assets.models import vae as vae_side
from hf_assets.previews.decoded import DecodedSamples
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.stages import keys
from hf_assets.store import generations
from hf_assets.store.tensors import Sample, TensorStore

if TYPE_CHECKING:
    import torch

    from hf_assets.models.vae import Vae

STAGE = "vae_latents"
# Bump when a change to this module changes a latent.
VERSION = 1


# Decoded values per unit of `Medium.volume`: three colours.
VALUES_PER_VOLUME = 3


class Job(NamedTuple):
    """One latent to compute."""

    key: str
    media: Media
    media_hash: str
    sample: dict[str, Any]  # the medium's `decoded`


def version(recipe: Recipe) -> str:
    """Of everything here that changes a latent, or which samples have one: this module, the decoder, the VAE side."""
    return f"{key_version(recipe)}.{medium_of(recipe).probed_by}"


def key_version(recipe: Recipe) -> str:
    """Of everything here that changes all latents: it is part of each one's key.

    The decoder's own version isn't: what a decoder does beyond the plain case is a part of the keys of the samples to
    which it does it.
    """
    return f"{VERSION}.{medium_of(recipe).plain}.{vae_side.VERSION}"


def vae_of(recipe: Recipe) -> encoders.Encoder:
    """The VAE, pinned (`encoders.vae_of`)."""
    return encoders.vae_of(recipe, key_version(recipe), medium_of(recipe).probed_by)


def work(recipe: Recipe, buckets: pa.Table) -> encoders.Work:
    """Which latents these rows (the medium's `buckets`) need, and what the store holds.

    Raises:
        ModelError: the pipeline can't be found, or has no VAE.
    """
    encoder = vae_of(recipe)
    keyed = buckets.append_column("latent_key", latent_keys(recipe, buckets, encoder))
    return encoders.look_up(TensorStore(recipe.folders.latents), encoder, "latent_key", keyed)


def latent_keys(recipe: Recipe, buckets: pa.Table, encoder: encoders.Encoder) -> pa.ChunkedArray:
    """The key of each row's latent."""
    return keys.latent_keys(buckets, medium_of(recipe).keyed, encoder.fingerprint, (schema.DECODING.name,))


def encode(
    recipe: Recipe,
    buckets: pa.Table,
    raw_dataset: pa.Table,
    source: Source,
    hold_device: HoldDevice,
    say: Callable[[str], None],
) -> tuple[Outcome, dict[str, Any]]:
    """Give every bucketed row its latent: those that the store holds are reused, each other one is computed once.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the VAE can't be loaded, or can't encode one of the shapes.
        DatasetError: media changed since they were probed, or were probed by another version of the decoder.
    """
    with TensorStore(recipe.folders.latents).in_use(recipe.folders.metadata):
        todo = work(recipe, buckets)
        samples_to_decode = DecodedSamples(recipe.folders.metadata, todo.keyed["latent_key"])
        run = _Run(recipe, raw_dataset, source, say, samples_to_decode)
        encoder = todo.encoder
        if num_missing := len(todo.missing):
            decoders.confirm(buckets, recipe)
            say(f"{num_missing:,} latents to encode with the VAE of {encoder.pipeline.name}")
            if note := families.unlisted(encoder.pipeline.class_name):
                say(note)
            with hold_device(say) as compute:  # while this run waited, another may have encoded some of them
                jobs = todo.look_up_again().missing
                if len(jobs):
                    run.encode(jobs, encoder, todo.store, compute)
            todo = todo.look_up_again()
        stored = todo.stored
        generations.claim(recipe.folders.metadata, STAGE, stored["latent_key"])
    table = pa.table([stored[name] for name in ("row", "latent_key", "shape", "shard")], schema=schema.VAE_LATENTS)
    previous = recipe.folders.metadata / f"{STAGE}.parquet"
    outcome = Outcome(
        encoders.with_record(table, encoder, previous, run.speed.get("samples_per_second")),
        identity=("row", "latent_key", "latent_shape"),
        computed=run.computed,
        reused=len(pc.unique(table["latent_key"])) - run.computed,
        quarantined=failed_rows(todo.keyed, "latent_key", todo.failures, STAGE, raw_dataset),
        bytes_read=run.bytes_read,
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "pipeline_class": encoder.pipeline.class_name,
        "model_revision": encoder.pipeline.sha or "local folder",
        "bytes_stored": todo.stored_bytes,
        **run.speed,
    }


class _Run:
    """The encoding of what is missing, with its counts."""

    def __init__(
        self,
        recipe: Recipe,
        raw_dataset: pa.Table,
        source: Source,
        say: Callable[[str], None],
        samples_to_decode: DecodedSamples,
    ) -> None:
        self.recipe = recipe
        self.medium = medium_of(recipe)
        self.raw_dataset = raw_dataset
        self.source = source
        self.say = say
        self.computed = 0
        self.bytes_read = 0
        self.speed: dict[str, Any] = {}
        self.samples_to_decode = samples_to_decode

    def encode(self, jobs: pa.Table, encoder: encoders.Encoder, store: TensorStore, compute: Compute) -> None:
        import torch

        dtype: torch.dtype = getattr(torch, self.recipe.model.dtype)
        with (
            _keep_threads(),
            vae_side.load_vae(encoder.pipeline, compute.device, dtype, self.recipe.model.latents) as vae,
            ShardWriter(store, encoder.header, compute.unit_samples, tried_by=encoder.tried_by) as shards,
            Progress("encoding latents", len(jobs), self.say) as progress,
        ):
            encoders.confirm(encoder, self.recipe)
            self.medium.check(jobs, encoder.pipeline)
            waiting = Waiting(compute.batch_size)
            largest = VALUES_PER_VOLUME * int(self.medium.volume(jobs).max())
            ahead = num_ahead(compute.batch_size + 2 * compute.decode_threads, compute.decode_threads, largest)
            for job, one in map_ahead(self._decode, self._jobs(jobs), threads=compute.decode_threads, ahead=ahead):
                self.bytes_read += job.media.num_bytes
                if isinstance(one, MediaError):
                    shards.fail(job.key, one.reason, str(one))
                    progress.add(1)
                    continue
                for batch in waiting.add(job.key, one):
                    self._encode_batch(batch, vae, shards)
                    progress.add(len(batch))
            for batch in waiting.rest():
                self._encode_batch(batch, vae, shards)
                progress.add(len(batch))
            shards.flush()
            self.computed = shards.computed
            self.speed = progress.facts
            self.samples_to_decode.decode(vae, self.say)

    def _jobs(self, jobs: pa.Table) -> Iterator[Job]:
        """The jobs with their media, in the split's order."""
        snapshot = snapshot_of(self.raw_dataset)
        is_wanted = pc.is_in(self.raw_dataset["row"], value_set=jobs["row"].combine_chunks())
        place = self.raw_dataset.select(["row", *schema.LOCATION.names]).filter(is_wanted)
        names = ["latent_key", "media_hash", *self.medium.decoded]
        facts = (row for batch in jobs.select(names).to_batches(max_chunksize=1024) for row in batch.to_pylist())
        for media, fact in zip(
            media_of(by_file(place, snapshot), self.source, snapshot, self.recipe.media_column), facts, strict=True
        ):
            yield Job(fact.pop("latent_key"), media, fact.pop("media_hash"), fact)

    def _decode(self, job: Job) -> "tuple[Job, torch.Tensor | MediaError]":
        """A sample as the encoder reads it, or why not."""
        _compute_on_one_core()
        data = job.media.data
        if data is None or fingerprint.of_bytes(data) != job.media_hash:
            raise DatasetError(
                f"the media at {job.media.address} changed since it was probed: "
                "materialize raw_dataset and buckets again"
            )
        try:
            return job, self.medium.decode(data, job.sample)
        except MediaError as error:
            return job, error

    def _encode_batch(self, batch: "list[tuple[str, torch.Tensor]]", vae: "Vae", shards: ShardWriter) -> None:
        """Encode samples of one shape; one whose latent isn't finite is tried once more, alone and in float32."""
        import torch

        stacked = torch.stack([one for _, one in batch])
        seeds = [_seed(key) for key, _ in batch]

        def encode(numbers: torch.Tensor) -> dict[str, torch.Tensor]:
            some = slice(int(numbers[0]), int(numbers[-1]) + 1)
            return self._tensors(vae, stacked[some], seeds[some])

        try:
            encoded = in_halves(encode, torch.arange(len(batch)))
        except torch.OutOfMemoryError:
            raise ModelError(
                f"one sample of {tuple(stacked.shape[1:])} is more than the device's memory holds beside the VAE: "
                "set vae_tiling to true, or lower resolution (of videos also num_frames)"
            ) from None
        for (key, alone), seed, made in zip(batch, seeds, encoded, strict=True):
            tensors = made
            if not _is_finite(tensors):
                again = self._tensors(vae, alone[None], [seed], in_float32=True)
                tensors = {name: tensor[0].cpu() for name, tensor in again.items()}
            if _is_finite(tensors):
                shards.add(Sample(key, tensors))
                self.samples_to_decode.offer(key, alone, tensors["latents"])
            else:
                shards.fail(key, "non_finite", "the VAE gives infinite or undefined values, in float32 too")

    def _tensors(
        self, vae: "Vae", batch: "torch.Tensor", seeds: list[int], *, in_float32: bool = False
    ) -> "dict[str, torch.Tensor]":
        """What is stored of a batch. Whatever else than the batch itself the medium encodes, such as a first frame, is
        a condition, for which pipelines take the mean.
        """
        besides: dict[str, torch.Tensor] = {}

        def encode(media: "torch.Tensor") -> "torch.Tensor":
            if media is not batch:
                return vae.encode(media, in_float32=in_float32)
            besides.update(vae.encode_each(media, seeds, in_float32=in_float32))
            return besides.pop("latents")

        return {**self.medium.encode(encode, batch), **besides}


_THREAD = threading.local()


def _compute_on_one_core() -> None:
    """Let torch start no others for this thread. As many decode as there are cores: where each of their resizes took
    all cores, they would wait for each other (a frame of 640 x 360: 1.8 ms in one, 25 ms in two on a busy machine).
    """
    import torch

    if not hasattr(_THREAD, "is_settled"):
        torch.set_num_threads(1)
        _THREAD.is_settled = True


@contextmanager
def _keep_threads() -> Iterator[None]:
    """This thread's number is settled before those that decode settle theirs, and is that of all threads to come."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seed(key: str) -> int:
    """Of a draw from the posterior: it follows from the media's hash and all else that the key is made of."""
    return int(key[:15], 16)


def _is_finite(tensors: "dict[str, torch.Tensor]") -> bool:
    import torch

    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())

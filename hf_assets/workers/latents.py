"""Encode the media whose latents the store lacks.

Shape letters: B batch, C latent channels, H W pixels, h w latent cells (H and W over the VAE's spatial stride).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.engines.local import map_ahead
from hf_assets.errors import DatasetError, MediaError, ModelError
from hf_assets.media import image
from hf_assets.models import vae as vae_side
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import Source
from hf_assets.stages import keys
from hf_assets.store import generations
from hf_assets.store.index import failures
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets.workers import encoders
from hf_assets.workers.batches import in_halves
from hf_assets.workers.compute import Compute, Turn
from hf_assets.workers.outcome import Outcome
from hf_assets.workers.progress import Progress
from hf_assets.workers.quarantine import quarantined
from hf_assets.workers.reading import Media, by_file, media_of
from hf_assets.workers.shards import ShardWriter

if TYPE_CHECKING:
    import torch

    from hf_assets.models.vae import Vae

STAGE = "vae_latents"
# Of everything here that changes a latent: this module, the decoder, the VAE side. Bump the first for a change to
# this module.
VERSION = f"1.{image.VERSION}.{vae_side.VERSION}"


class Job(NamedTuple):
    """One latent to compute. Sizes are [width, height], the crop is [top, left]."""

    key: str
    media: Media
    media_hash: str
    original_size: list[int]
    resized_size: list[int]
    target_size: list[int]
    crop_top_left: list[int]


def work(recipe: Recipe, buckets: pa.Table) -> encoders.Work:
    """Which latents these rows (`schema.BUCKETS`) need, and what the store holds.

    Raises:
        ModelError: the pipeline can't be found, or has no VAE.
    """
    encoder = encoders.vae_of(recipe, VERSION)
    keyed = buckets.append_column("latent_key", keys.latent_keys(buckets, encoder.fingerprint))
    return encoders.held_against(TensorStore(recipe.folders.latents), encoder, "latent_key", keyed)


def encode(
    recipe: Recipe,
    buckets: pa.Table,
    raw_dataset: pa.Table,
    source: Source,
    turn: Turn,
    say: Callable[[str], None],
) -> tuple[Outcome, dict[str, Any]]:
    """Give every bucketed row its latent: those that the store holds are reused, each other one is computed once.

    Returns:
        the outcome, and what is worth knowing about the encoder and its speed.

    Raises:
        ModelError: the VAE can't be loaded, or a target size is no multiple of what it can encode.
        DatasetError: media changed since they were probed.
    """
    run = _Run(recipe, raw_dataset, source, say)
    with TensorStore(recipe.folders.latents).in_use(recipe.folders.metadata):
        todo = work(recipe, buckets)
        encoder = todo.encoder
        if num_missing := len(todo.missing):
            say(f"{num_missing:,} latents to encode with the VAE of {encoder.pipeline.name}")
            with turn(say) as compute:  # while this run waited, another may have encoded some of them
                jobs = todo.looked_at_again().missing
                if len(jobs):
                    run.encode(jobs, encoder, todo.store, compute)
            todo = todo.looked_at_again()
        stored = todo.stored
        generations.claim(recipe.folders.metadata, STAGE, stored["latent_key"])
    table = pa.table([stored[name] for name in ("row", "latent_key", "shape", "shard")], schema=schema.VAE_LATENTS)
    previous = recipe.folders.metadata / f"{STAGE}.parquet"
    outcome = Outcome(
        encoders.with_record(table, encoder, previous, run.speed.get("samples_per_second")),
        identity=("row", "latent_key", "latent_shape"),
        computed=run.computed,
        reused=len(pc.unique(table["latent_key"])) - run.computed,
        quarantined=quarantined(todo.keyed, "latent_key", failures(todo.index), STAGE, raw_dataset),
        bytes_read=run.bytes_read,
    )
    return outcome, {
        "pipeline": encoder.pipeline.name,
        "model_revision": encoder.pipeline.sha or "local folder",
        **run.speed,
    }


class _Run:
    """The encoding of what is missing, with its counts."""

    def __init__(self, recipe: Recipe, raw_dataset: pa.Table, source: Source, say: Callable[[str], None]) -> None:
        self.recipe = recipe
        self.raw_dataset = raw_dataset
        self.source = source
        self.say = say
        self.computed = 0
        self.bytes_read = 0
        self.speed: dict[str, Any] = {}

    def encode(self, jobs: pa.Table, encoder: encoders.Encoder, store: TensorStore, compute: Compute) -> None:
        import torch

        dtype: torch.dtype = getattr(torch, self.recipe.model.dtype)
        with (
            vae_side.load_vae(encoder.pipeline, compute.device, dtype) as vae,
            ShardWriter(store, encoder.header, compute.unit_samples) as shards,
        ):
            encoders.confirm(encoder, self.recipe)
            check_sizes(pc.unique(jobs["bucket"]).to_pylist(), vae.spatial_multiple)
            progress = Progress("encoding latents", len(jobs), self.say)
            waiting: dict[tuple[int, ...], list[tuple[str, torch.Tensor]]] = {}
            ahead = compute.batch_size + 2 * compute.decode_threads
            for job, pixels in map_ahead(_pixels, self._jobs(jobs), threads=compute.decode_threads, ahead=ahead):
                self.bytes_read += len(job.media.data or b"")
                if isinstance(pixels, MediaError):
                    shards.fail(job.key, pixels.reason, str(pixels))
                    progress.add(1)
                    continue
                batch = waiting.setdefault(tuple(pixels.shape), [])
                batch.append((job.key, pixels))
                if len(batch) == compute.batch_size:
                    _encode_batch(waiting.pop(tuple(pixels.shape)), vae, shards)
                    progress.add(compute.batch_size)
            for batch in waiting.values():
                _encode_batch(batch, vae, shards)
                progress.add(len(batch))
            shards.flush()
            self.computed = shards.computed
            self.speed = {"samples_per_second": progress.per_second}

    def _jobs(self, jobs: pa.Table) -> Iterator[Job]:
        """The jobs with their media, in the split's order."""
        snapshot = snapshot_of(self.raw_dataset)
        is_wanted = pc.is_in(self.raw_dataset["row"], value_set=jobs["row"].combine_chunks())
        place = self.raw_dataset.select(["row", *schema.LOCATION.names]).filter(is_wanted)
        names = ["latent_key", "media_hash", "original_size", "resized_size", "target_size", "crop_top_left"]
        facts = (row for batch in jobs.select(names).to_batches(max_chunksize=1024) for row in batch.to_pylist())
        for media, fact in zip(
            media_of(by_file(place, snapshot), self.source, snapshot, self.recipe.image_column), facts, strict=True
        ):
            yield Job(fact.pop("latent_key"), media, **fact)


def _pixels(job: Job) -> "tuple[Job, torch.Tensor | MediaError]":
    """(3, H, W) uint8, or why not."""
    data = job.media.data
    if data is None or fingerprint.of_bytes(data) != job.media_hash:
        raise DatasetError(
            f"the media at {job.media.address} changed since it was probed: materialize raw_dataset and buckets again"
        )
    try:
        return job, image.to_pixels(
            data,
            original_size=job.original_size,
            resized_size=job.resized_size,
            crop_top_left=job.crop_top_left,
            target_size=job.target_size,
        )
    except MediaError as error:
        return job, error


def _encode_batch(batch: "list[tuple[str, torch.Tensor]]", vae: "Vae", shards: ShardWriter) -> None:
    """Encode samples of one shape; one whose latent isn't finite is tried once more, alone and in float32."""
    import torch

    pixels = torch.stack([one for _, one in batch])
    for (key, alone), encoded in zip(batch, in_halves(vae.encode, pixels), strict=True):
        latents = encoded
        if not torch.isfinite(encoded).all():
            latents = vae.encode_each(alone[None], [0], in_float32=True)["latents"][0].cpu()
        if torch.isfinite(latents).all():
            shards.add(Sample(key, {"latents": latents}))
        else:
            shards.fail(key, "non_finite", "the VAE gives infinite or undefined values, in float32 too")


def check_sizes(buckets: Iterable[str], multiple: int) -> None:
    """Refuse target sizes that the model can't take.

    Raises:
        ModelError: a size ("1152x896") is no multiple of `multiple` px.
    """
    for bucket in buckets:
        if any(int(edge) % multiple for edge in bucket.split("x")):
            raise ModelError(
                f"target size {bucket} is no multiple of {multiple} px, as this model needs: "
                "change resolution or aspect_bucket_alignment"
            )

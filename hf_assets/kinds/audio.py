"""Audio as a medium: a part of each clip, as the VAE reads it. See `kinds.medium.Medium`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import AudioSettings
from hf_assets.errors import ModelError
from hf_assets.folder import model_hashes
from hf_assets.kinds.showing import Show
from hf_assets.media import audio, sonogram
from hf_assets.models import autoencoders
from hf_assets.models.components import vae_component
from hf_assets.models.pipeline import Pipeline, resolve_pipeline
from hf_assets.stages import audio as parts
from hf_assets.stages.audio import AudioInput

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Thumbnails show the first ten minutes, at a rate that is enough for them.
SHOWN_RATE_HZ, SHOWN_SECONDS = 16_000, 600
# As Stable Audio and ACE-Step have it, nearly: where no configuration was read.
USUAL_RATE_HZ = 44_100


class AudioMedium:
    """Audio of one column.

    Which part of a clip is taken depends on the VAE's configuration: on its sample rate and the samples of a step. Only
    small JSON files are read for it.
    """

    plain = f"audio {audio.PLAIN_VERSION}"
    assigned_by = parts.VERSION
    reads_model = True
    reads_columns = False
    extension = "wav"
    facts = pa.schema([field for field in schema.AUDIO_MEDIA if field.name not in ("row", "media_hash")])
    media = schema.AUDIO_MEDIA
    buckets = schema.AUDIO_BUCKETS
    keyed: tuple[str, ...] = ("sample_rate_hz", "num_channels", "mixed_to", "first_sample", "num_samples")
    decoded = keyed
    training = pa.schema(
        [
            schema.AUDIO_BUCKETS.field(name)
            for name in (
                *("original_sample_rate_hz", "original_num_samples"),
                *("sample_rate_hz", "num_channels", "first_sample", "num_samples"),
            )
        ]
    )

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.settings, AudioSettings)
        self.recipe, self.rules = recipe, recipe.settings.part

    @property
    def probed_by(self) -> str:
        return f"audio {audio.VERSION}"

    @property
    def settings(self) -> tuple[str | BaseModel, ...]:
        return str(audio.VERSION), self.recipe.media_column, self.recipe.settings, self.recipe.model.pipeline

    def probe(self, data: bytes) -> dict[str, Any]:
        facts = audio.probe(data)
        return {
            "original_sample_rate_hz": facts.sample_rate,
            "original_num_channels": facts.channels,
            "original_num_samples": facts.num_samples,
            "decoding": facts.decoding,
        }

    def describe(self, facts: pa.Table) -> pa.Table:
        return facts.select(schema.AUDIO_MEDIA.names).cast(schema.AUDIO_MEDIA)

    def assign(self, media: pa.Table) -> pa.Table:
        return parts.assign(
            media,
            self.rules,
            self._reads(
                resolve_pipeline(self.recipe.model.pipeline, hash_cache=model_hashes(self.recipe.folders.metadata))
            ),
        )

    def with_column_facts(self, buckets: pa.Table, raw_dataset: pa.Table) -> pa.Table:
        return buckets

    def decode(self, data: bytes, sample: dict[str, Any], show: Show | None = None) -> "torch.Tensor":
        """(C, S) float32, -1 to 1."""
        import torch

        taken = audio.waveform(
            data,
            sample_rate=sample["sample_rate_hz"],
            channels=sample["mixed_to"],
            first_sample=sample["first_sample"],
            num_samples=sample["num_samples"],
        )
        if show is not None:
            rate_hz = sample["sample_rate_hz"]
            mono = taken.mean(axis=0)
            step = max(rate_hz // SHOWN_RATE_HZ, 1)
            pictured = mono[: len(mono) // step * step].reshape(-1, step).mean(axis=1)[: SHOWN_RATE_HZ * SHOWN_SECONDS]
            show(np.asarray(sonogram.picture(pictured, rate_hz // step)), (mono, rate_hz))
        return torch.from_numpy(taken).expand(sample["num_channels"], -1)

    def encode(
        self, encode: "Callable[[torch.Tensor], torch.Tensor]", batch: "torch.Tensor"
    ) -> "dict[str, torch.Tensor]":
        return {"latents": encode(batch)}

    def thumbnail(self, data: bytes) -> "Image.Image | None":
        facts = audio.probe(data)
        available = audio.num_resampled(facts.num_samples, facts.sample_rate, SHOWN_RATE_HZ)
        num_samples = min(available, SHOWN_RATE_HZ * SHOWN_SECONDS)
        if not num_samples:
            return None
        samples = audio.waveform(data, sample_rate=SHOWN_RATE_HZ, channels=1, first_sample=0, num_samples=num_samples)
        return sonogram.picture(samples[0], SHOWN_RATE_HZ)

    def check(self, buckets: pa.Table, pipeline: Pipeline) -> None:
        from hf_assets.models.inputs import remembered_input

        reads = remembered_input(pipeline)
        assert reads.hop_samples is not None, "`assign` refuses a VAE that reads no audio"
        distinct = buckets.group_by(list(self.keyed[:2])).aggregate([]).to_pylist()
        made_for = {(one["sample_rate_hz"], one["num_channels"]) for one in distinct}
        steps = np.unique(buckets["num_samples"].to_numpy() % reads.hop_samples)
        if made_for != {(reads.sample_rate_hz, reads.num_channels)} or steps.any():
            raise ModelError(
                f"{pipeline.name}: its VAE reads {reads.num_channels} channels at {reads.sample_rate_hz:,} Hz in steps "
                f"of {reads.hop_samples:,} samples, which is not what the clips were cut to: materialize buckets again"
            )

    def examples(self, pipeline: Pipeline) -> str:
        reads = self._reads(pipeline)
        interval = round(self.rules.duration_interval * reads.sample_rate_hz)
        steps = interval // reads.hop_samples
        return (
            f"clips are encoded with {reads.num_channels} channels at {reads.sample_rate_hz:,} Hz; "
            f"{self.rules.duration_interval:g} s are {steps:,} steps of {reads.hop_samples:,} samples"
        )

    def volume(self, buckets: pa.Table) -> np.ndarray:
        num_samples: np.ndarray = buckets["num_samples"].to_numpy().astype(np.int64)
        return num_samples

    @property
    def usual_volume(self) -> int:
        return round(self.rules.duration_interval * USUAL_RATE_HZ)

    def elements_per_volume(self, config: dict[str, Any]) -> float:
        reads = autoencoders.audio_config(config)
        return autoencoders.channels(config) / (reads.hop_samples if reads else autoencoders.USUAL_HOP_SAMPLES)

    def _reads(self, pipeline: Pipeline) -> AudioInput:
        """What the VAE reads, from its configuration; where that is written in no known way, measured.

        Raises:
            ModelError: there is no VAE, it reads no audio, or fewer channels than the config asks for.
        """
        vae = vae_component(pipeline)
        known = autoencoders.audio_config(vae.repository.read_json(f"{vae.folder}/config.json".lstrip("/")))
        reads = AudioInput(*known) if known else _measure(pipeline)
        if reads is None:
            raise ModelError(
                f"{pipeline.name}: {vae.class_name} reads no audio: choose a pipeline that makes audio, or another "
                "dataset_type"
            )
        if self.rules.channels is not None and self.rules.channels > reads.num_channels:
            raise ModelError(
                f"audio.channels is {self.rules.channels}, but {vae.class_name} of {pipeline.name} reads "
                f"{reads.num_channels}: leave audio.channels out"
            )
        return reads


def _measure(pipeline: Pipeline) -> AudioInput | None:
    from hf_assets.models.inputs import remembered_input

    reads = remembered_input(pipeline)
    if reads.sample_rate_hz is None or reads.hop_samples is None:
        return None
    return AudioInput(reads.sample_rate_hz, reads.num_channels, reads.hop_samples)

"""FastVideo's Parquet for training videos from text: one row a sample, tensors as bytes with their shapes.

    {generation}/train-00000-of-00002.parquet

Its trainer normalises latents by itself, so they are written as the VAE gives them; and it reads numbers with NumPy,
which has no bfloat16, so they are float32. Text ends where its padding begins; the reader pads it again.

Shape letters: C latent channels, f h w latent cells, L tokens, D width.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets.config.recipe import Recipe
from hf_assets.errors import ModelError
from hf_assets.export import sharding
from hf_assets.export.job import Job
from hf_assets.export.place import Generation, Place
from hf_assets.export.raw_latents import undo_scaling
from hf_assets.export.sharding import Sample, ShardFormat
from hf_assets.export.tensor_columns import column_of, row_groups
from hf_assets.export.writing import Written

if TYPE_CHECKING:
    import torch

# Bump when a change to this module changes what a reader finds in a shard.
VERSION = 1
BESIDE: tuple[str, ...] = ()
LATENT, TEXT = "vae_latent", "text_embedding"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        *(
            (f"{LATENT}_bytes", pa.binary()),
            (f"{LATENT}_shape", pa.list_(pa.int64())),
            (f"{LATENT}_dtype", pa.string()),
        ),
        *((f"{TEXT}_bytes", pa.binary()), (f"{TEXT}_shape", pa.list_(pa.int64())), (f"{TEXT}_dtype", pa.string())),
        *(("file_name", pa.string()), ("caption", pa.string()), ("media_type", pa.string())),
        *(("width", pa.int64()), ("height", pa.int64()), ("num_frames", pa.int64())),
        *(("duration_sec", pa.float64()), ("fps", pa.float64())),
    ]
)


def make(job: Job) -> tuple[Generation, Written]:
    """Write what the pool lacks, and say what the dataset's folder is to hold.

    Raises:
        ModelError: the model makes no videos, or has other text than prompt embeds.
    """
    view, pipeline = job.view, job.view.pipeline()
    stored = view.training[0]
    if stored["latents"].ndim != 4 or "prompt_embeds" not in stored or "pooled_prompt_embeds" in stored:
        raise ModelError(
            f"FastVideo's rows hold latents with a frame axis and one text embedding, and {pipeline.name} is a "
            f"{pipeline.class_name}: choose another format"
        )
    raw, _ = undo_scaling(pipeline)
    raw(stored["latents"])  # before anything is written: it may say that it can't
    facts = ("media_hash", "target_size", *(("num_frames", "fps") if view.recipe.kind == "video" else ()))
    write = functools.partial(_write, raw, view.recipe.kind)
    return sharding.make(
        job,
        ShardFormat(
            ["fastvideo", VERSION],
            facts,
            ".parquet",
            write,
            lambda number, count: f"train-{number:05d}-of-{count:05d}.parquet",
        ),
    )


def finish(place: Place, recipe: Recipe, version: str) -> list[Path]:
    """Nothing lies beside the datasets' folders."""
    return []


def reads(recipe: Recipe) -> Any:
    """Nothing but the training set."""
    return None


def _write(raw: "Callable[[torch.Tensor], torch.Tensor]", kind: str, path: Path, samples: Iterator[Sample]) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="none", use_dictionary=False, write_statistics=False) as writer:
        for group in row_groups(_as_read(raw, sample) for sample in samples):
            writer.write_table(_table(group, kind))


def _as_read(raw: "Callable[[torch.Tensor], torch.Tensor]", sample: Sample) -> Sample:
    """With the tensors that are written, in float32."""
    latents, text = raw(sample.tensors["latents"]), without_padding(sample.tensors)
    return sample._replace(tensors={LATENT: latents.float(), TEXT: text.float()})


def _table(samples: Sequence[Sample], kind: str) -> pa.Table:
    rows = [_facts(sample, kind) for sample in samples]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name in (LATENT, TEXT):
        tensors = [sample.tensors[name] for sample in samples]
        columns[f"{name}_bytes"] = column_of(tensors, pa.binary())
        columns[f"{name}_shape"] = [list(tensor.shape) for tensor in tensors]
        columns[f"{name}_dtype"] = ["float32"] * len(tensors)
    return pa.table({field.name: columns[field.name] for field in SCHEMA}, schema=SCHEMA)


def _facts(sample: Sample, kind: str) -> dict[str, Any]:
    width, height = sample.facts["target_size"]
    num_frames, rate = sample.facts.get("num_frames", 1), sample.facts.get("fps")
    return {
        "id": sample.identity,
        "file_name": sample.facts["media_hash"],
        "caption": sample.caption,
        "media_type": kind,
        "width": width,
        "height": height,
        "num_frames": num_frames,
        "duration_sec": num_frames / rate if rate else 0.0,
        "fps": rate or 0.0,
    }


def without_padding(tensors: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
    """(L, D) up to the last position that the mask says, or else that isn't zeros; at least one."""
    embeds, mask = tensors["prompt_embeds"], tensors.get("prompt_attention_mask")
    holds = ((embeds != 0).any(dim=1) if mask is None else mask).nonzero()
    return embeds[: int(holds[-1]) + 1] if len(holds) else embeds[:1]

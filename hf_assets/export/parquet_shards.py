"""A dataset of Parquet files, one row a sample: `datasets.load_dataset` reads it, and `training.exported_set` does.

    {generation}/README.md                          the card: how it was made
    {generation}/data/train-00000-of-00002.parquet

A tensor is three columns: `latents`, its numbers one after the other as bytes, `latents_shape` and `latents_dtype`.
Lists of numbers would be typed further, but Parquet writes them at a tenth of the speed, and has no bfloat16.

With the names `mlperf` it is what MLPerf's Flux.1 reader and Primus read, a folder for `datasets.load_from_disk`:

    {generation}/data-00000-of-00002.arrow, dataset_info.json, state.json

Shape letters: L tokens, D width, C latent channels, h w latent cells.
"""

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import fingerprint
from hf_assets.config.recipe import Recipe
from hf_assets.errors import ModelError
from hf_assets.export import dataset_card, sharding
from hf_assets.export.job import Job
from hf_assets.export.place import Generation, Place, Write, write_bytes
from hf_assets.export.raw_latents import undo_scaling
from hf_assets.export.sharding import Sample, ShardFormat
from hf_assets.export.tensor_columns import column_of, row_groups
from hf_assets.export.view import PLACED, View
from hf_assets.export.writing import Written

if TYPE_CHECKING:
    import torch

# Bump when a change to this module changes what a reader finds in a shard.
VERSION = 1
BESIDE: tuple[str, ...] = ()
SHAPE, DTYPE = "_shape", "_dtype"
# What a repository of such a dataset holds.
OWN = (r"README\.md", r"data/train-\d{5}-of-\d{5}\.parquet")


def make(job: Job) -> tuple[Generation, Written]:
    """Write what the pool lacks, and say what the dataset's folder is to hold.

    Raises:
        ModelError: other names ask for what the model doesn't make.
    """
    return sharding.make(job, _mlperf(job) if job.rules.names == "mlperf" else _own(job))


def finish(place: Place, recipe: Recipe, version: str) -> list[Path]:
    """Nothing lies beside the datasets' folders."""
    return []


def reads(recipe: Recipe) -> Any:
    """Nothing but the training set."""
    return None


def _own(job: Job) -> ShardFormat:
    facts = tuple(name for name in job.view.table.column_names if name not in PLACED)
    schema = pa.schema([("id", pa.string()), ("caption", pa.string()), *(_plain(job.view, name) for name in facts)])
    return ShardFormat(
        ["parquet", VERSION],
        facts,
        ".parquet",
        functools.partial(_write, schema),
        lambda number, count: f"data/train-{number:05d}-of-{count:05d}.parquet",
        lambda counts: {"README.md": write_bytes(dataset_card.card(job.view, sum(counts)).encode())},
    )


def _plain(view: View, name: str) -> pa.Field:
    """A column of the training set, with sizes as lists of any length: fixed ones have another type in `datasets`."""
    kind = view.table.schema.field(name).type
    if pa.types.is_fixed_size_list(kind):
        kind = pa.list_(kind.value_type)
    return pa.field(name, pa.string() if pa.types.is_large_string(kind) else kind)


def _write(schema: pa.Schema, path: Path, samples: Iterator[Sample]) -> None:
    """A shard, a row group at a time."""
    first = next(samples)
    made = schema
    for name in first.tensors:
        made = made.append(pa.field(name, pa.large_binary()))
        made = made.append(pa.field(name + SHAPE, pa.list_(pa.int32()))).append(pa.field(name + DTYPE, pa.string()))
    # As it is: random bits can't be compressed, and what is said of them is too little for the time that it takes.
    with pq.ParquetWriter(
        path,
        made,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=True,
    ) as writer:
        for group in row_groups(itertools.chain([first], samples)):
            writer.write_table(_table(group, made))


def _table(samples: Sequence[Sample], schema: pa.Schema) -> pa.Table:
    columns: dict[str, Any] = {"id": [one.identity for one in samples], "caption": [one.caption for one in samples]}
    columns |= {name: [one.facts[name] for one in samples] for name in samples[0].facts}
    for name in samples[0].tensors:
        tensors = [one.tensors[name] for one in samples]
        columns[name] = column_of(tensors, pa.large_binary())
        columns[name + SHAPE] = [list(tensor.shape) for tensor in tensors]
        columns[name + DTYPE] = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors]
    arrays = [
        values if isinstance(values := columns[field.name], pa.Array) else pa.array(values, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


# --- MLPerf's names

MLPERF = ("t5_encodings", "clip_encodings", "mean", "logvar")


def _mlperf(job: Job) -> ShardFormat:
    """Flux, with moments: its text, and the posterior of its VAE as the VAE gives it.

    Raises:
        ModelError: the pipeline isn't Flux, or the store has no moments.
    """
    pipeline, recipe = job.view.pipeline(), job.view.recipe
    if pipeline.class_name != "FluxPipeline":
        raise ModelError(f"the names mlperf are those of Flux, and {pipeline.name} is a {pipeline.class_name}")
    if recipe.model.latents.kind != "moments":
        raise ModelError(
            f'the names mlperf need mean and deviation: set latents to "moments" in the model, not '
            f'"{recipe.model.latents.kind}", and materialize {recipe.id} again'
        )
    mean, deviation = undo_scaling(pipeline)

    def columns(sample: Sample) -> "dict[str, torch.Tensor]":
        stored, spread = sample.tensors["latents"], sample.tensors["latents_std"]
        return {
            "t5_encodings": sample.tensors["prompt_embeds"],  # (L, D)
            "clip_encodings": sample.tensors["pooled_prompt_embeds"],  # (D,)
            "mean": mean(stored).to(stored.dtype),  # (C, h, w)
            "logvar": (2 * deviation(spread).log()).to(stored.dtype),
        }

    def write(path: Path, samples: Iterator[Sample]) -> None:
        made = (columns(sample) for sample in samples)
        first = next(made)
        schema = pa.schema([pa.field(name, _nested(first[name])) for name in MLPERF])
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for one in itertools.chain([first], made):
                arrays = [_as_array(one[name]) for name in MLPERF]
                writer.write_batch(pa.record_batch(arrays, schema=schema))

    return ShardFormat(
        ["mlperf", VERSION],
        (),
        ".arrow",
        write,
        lambda number, count: f"data-{number:05d}-of-{count:05d}.arrow",
        lambda counts: _saved_to_disk(counts, job),
    )


def _numbers(tensor: "torch.Tensor") -> "torch.Tensor":
    """bfloat16, which Arrow hasn't, as its bits."""
    import torch

    return tensor.contiguous().view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor.contiguous()


def _nested(tensor: "torch.Tensor") -> pa.DataType:
    kind = pa.from_numpy_dtype(_numbers(tensor).numpy().dtype)
    for _ in tensor.shape:
        kind = pa.list_(kind)
    return kind


def _as_array(tensor: "torch.Tensor") -> pa.Array:
    """One row of lists in lists, as deep as the tensor has axes."""
    import numpy as np

    array = pa.array(_numbers(tensor).flatten().numpy())
    for edge in reversed(tensor.shape):
        offsets = np.arange(0, len(array) + 1, max(edge, 1), dtype=np.int32)
        array = pa.ListArray.from_arrays(pa.array(offsets), array)
    return array


def _saved_to_disk(counts: Sequence[int], job: Job) -> Mapping[str, Write]:
    """What `datasets` wants beside the files of a dataset that was saved to disk."""
    names = [{"filename": f"data-{number:05d}-of-{len(counts):05d}.arrow"} for number in range(len(counts))]
    state: dict[str, Any] = {
        "_data_files": names,
        "_fingerprint": fingerprint.of_value([job.version])[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    stored = job.view.training[0]
    kinds = dict.fromkeys(("mean", "logvar"), stored["latents"])
    kinds |= {"t5_encodings": stored["prompt_embeds"], "clip_encodings": stored["pooled_prompt_embeds"]}
    info = {"features": {name: _feature(kinds[name]) for name in MLPERF}}
    return {
        "state.json": write_bytes(json.dumps(state, indent=2).encode()),
        "dataset_info.json": write_bytes(json.dumps(info, indent=2).encode()),
    }


def _feature(tensor: "torch.Tensor") -> dict[str, Any]:
    feature: dict[str, Any] = {"dtype": str(_numbers(tensor).numpy().dtype), "_type": "Value"}
    for _ in tensor.shape:
        feature = {"feature": feature, "_type": "List"}
    return feature

"""A run's encoding of clips, against the bare encoder on the same clips: what the benchmarks of video and sound share.

The bare encoder gets what is decoded, resized or resampled, and stacked already; a run reads Parquet, decodes, encodes
and writes shards. Both take the same batches. The bare encoder is timed before and after the run, since other work on
the machine changes its speed.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing, latents
from hf_assets.encode.batches import Groups
from hf_assets.engines.compute import Compute
from hf_assets.engines.this_process import ThisProcess
from hf_assets.kinds.medium import medium_of
from hf_assets.models import load_vae
from hf_assets.models.pipeline import resolve_pipeline
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.stages.aligning import Tables


class Timed(NamedTuple):
    """Seconds that each part took, over the same clips.

    Attributes:
        buckets: the clips (the medium's `buckets`).
        shape: of one clip as the encoder reads it.
        before_s, after_s: of the bare encoder.
    """

    buckets: pa.Table
    shape: tuple[int, ...]
    probing_s: float
    decoding_s: float
    before_s: float
    run_s: float
    after_s: float

    def print_rates(self, unit: str, probed: float, encoded: float) -> None:
        """Print amounts per second.

        Args:
            probed, encoded: how much of the unit the clips hold, and how much of it is encoded.
        """
        bare, run = 2 * encoded / (self.before_s + self.after_s), encoded / self.run_s
        print(f"probing            {probed / self.probing_s:10,.0f} {unit} per second")
        print(f"decoding, 1 thread {encoded / self.decoding_s:10,.0f} {unit} per second")
        print(
            f"bare encoder       {bare:10,.0f} {unit} per second "
            f"({self.before_s:.1f} s before, {self.after_s:.1f} s after)"
        )
        print(f"the run            {run:10,.0f} {unit} per second: {run / bare:.2f} of the bare encoder")


def recipe_of(
    folder: Path, model: Path | None, family: str, table: pa.Table, entry: Mapping[str, Any], **settings: Any
) -> Recipe:
    """A dataset of one file, and a pipeline.

    Args:
        model: a pipeline's folder; None: a tiny pipeline of `family`.
        settings: of the model, beside its folder.
    """
    if model is None:
        from hf_assets_tests import tiny_pipelines

        model = tiny_pipelines.build(family, folder / "model")
    data = folder / "data"
    data.mkdir()
    pq.write_table(table, data / "train.parquet")
    whole = {"id": "clips", "type": "huggingface", "dataset_name": str(data), **entry}
    named = {"pretrained_model_name_or_path": str(model), "dtype": "float32", **settings}
    file = folder / "datasets.json"
    file.write_text(json.dumps({"model": named, "datasets": [whole]}))
    (recipe,) = loading.load(file).recipes
    return recipe


def timed(recipe: Recipe, compute: Compute) -> Timed:
    """Probe, decode and encode the clips of a recipe (`recipe_of`)."""
    source = source_of(recipe.source, recipe.folders.metadata / "sources")
    wanted = WantedColumns(recipe.media_column, recipe.required_columns)
    raw = rows.read(source, source.resolve(), wanted, recipe.folders.metadata / "columns", _say_nothing).table
    started = time.perf_counter()
    rows_of = tables_of(raw)
    made = bucketing.assign(recipe, rows_of, rows_of, source, compute.decode_threads, _say_nothing).table
    made.publish()
    buckets = pq.read_table(made.path)
    probing_s = time.perf_counter() - started

    medium = medium_of(recipe)
    media = pq.read_table(Path(recipe.source.dataset_name) / "train.parquet")[recipe.media_column].to_pylist()
    chosen = buckets.select(["row", *medium.decoded]).to_pylist()
    started = time.perf_counter()
    decoded = [medium.decode(media[one.pop("row")]["bytes"], one).contiguous() for one in chosen]
    decoding_s = time.perf_counter() - started

    before_s = _bare_s(recipe, compute, decoded)
    done = latents.encode(
        recipe,
        tables_of(buckets),
        rows_of,
        source,
        lambda say: contextlib.nullcontext(ThisProcess(compute)),
        _say_nothing,
    )
    run_s = len(decoded) / done.facts["samples_per_second"]
    after_s = _bare_s(recipe, compute, decoded)
    return Timed(buckets, tuple(decoded[0].shape), probing_s, decoding_s, before_s, run_s, after_s)


def tables_of(table: pa.Table) -> Tables:
    """One table in the form in which stages read many."""
    return lambda columns=None: iter([table if columns is None else table.select(columns)])


def _bare_s(recipe: Recipe, compute: Compute, decoded: list[torch.Tensor]) -> float:
    """Seconds that encoding takes when everything is there, in the batches of a run."""
    pipeline, dtype = resolve_pipeline(recipe.model.pipeline), getattr(torch, recipe.model.dtype)
    with load_vae(pipeline, torch.device(compute.device), dtype) as vae:
        vae.encode(decoded[0][None]).cpu()
        started = time.perf_counter()
        groups: Groups[torch.Tensor] = Groups(compute.batch_size, compute.ahead_bytes)
        for one in decoded:
            for batch in groups.add(one, one.shape, one.nbytes):
                vae.encode(torch.stack(batch)).cpu()
        for batch in groups.rest():
            vae.encode(torch.stack(batch)).cpu()
        return time.perf_counter() - started


def _say_nothing(line: str) -> None:
    pass

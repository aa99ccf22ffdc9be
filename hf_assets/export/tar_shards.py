"""Tars of samples, as `webdataset` and Megatron-Energon read them.

    {generation}/train-00000.tar    0000000017.latents.pth, 0000000017.prompt_embeds.pth, …, .txt, .json
    {generation}/sizes.json         tar -> samples in it

Samples are called by a number that they keep. Each `.pth` is `torch.save` of one tensor. With the names `primus` they
are AMD Primus' pre-encoded ones: `.latents.pth`, packed as Flux reads them, `.prompt_embeds.pth`,
`.pooled_prompt_embeds.pth`, `.caption.txt`.
"""

import functools
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hf_assets.config.recipe import Recipe
from hf_assets.errors import ModelError
from hf_assets.export import sharding
from hf_assets.export.job import Job
from hf_assets.export.place import Generation, Place, write_bytes
from hf_assets.export.sharding import Sample, ShardFormat
from hf_assets.export.view import PLACED
from hf_assets.export.writing import Written
from hf_assets.models import normalisation

if TYPE_CHECKING:
    import torch

# Bump when a change to this module changes a shard.
VERSION = 1
# The suffix of a file in a tar, and what is in it.
Member = tuple[str, "bytes | torch.Tensor"]


def make(job: Job) -> tuple[Generation, Written]:
    """Write what the pool lacks, and say what the dataset's folder is to hold.

    Raises:
        ModelError: other names ask for what the model doesn't make.
    """
    facts: tuple[str, ...] = tuple(name for name in job.view.table.column_names if name not in PLACED)
    members: Callable[[Sample], Iterator[Member]] = _own
    if job.rules.names == "primus":
        facts, members = (), _primus
        pipeline = job.view.pipeline()
        if pipeline.class_name != "FluxPipeline":
            raise ModelError(f"the names primus are those of Flux, and {pipeline.name} is a {pipeline.class_name}")

    def name(number: int, _: int) -> str:
        return f"train-{number:05d}.tar"

    def sizes(counts: Sequence[int]) -> dict[str, Any]:
        named = {name(number, len(counts)): count for number, count in enumerate(counts)}
        return {"sizes.json": write_bytes(json.dumps(named, indent=2).encode())}

    write = functools.partial(_write, members)
    return sharding.make(job, ShardFormat(["webdataset", VERSION, job.rules.names], facts, ".tar", write, name, sizes))


def finish(place: Place, recipe: Recipe, version: str) -> list[Path]:
    """Nothing lies beside the datasets' folders."""
    return []


def reads(recipe: Recipe) -> Any:
    """Nothing but the training set."""
    return None


def _write(members: Callable[[Sample], Iterator[Member]], path: Path, samples: Iterator[Sample]) -> None:
    with path.open("wb") as file:
        for sample in samples:
            for suffix, content in members(sample):
                _add(file, f"{sample.serial:010d}.{suffix}", content)
        end = file.tell() + 2 * tarfile.BLOCKSIZE
        file.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))


def _add(file: BinaryIO, name: str, content: "bytes | torch.Tensor") -> None:
    """A member; a tensor as `torch.load` reads it with `weights_only=True`, written where it will lie."""
    entry, start = tarfile.TarInfo(name), file.tell()
    if isinstance(content, bytes):
        entry.size = len(content)
        file.write(entry.tobuf(tarfile.USTAR_FORMAT))
        file.write(content)
    else:
        import torch

        file.seek(tarfile.BLOCKSIZE, os.SEEK_CUR)
        torch.save(content.clone(memory_format=torch.contiguous_format), file)  # of a view, all that it is a view of
        entry.size = file.tell() - start - tarfile.BLOCKSIZE
        file.seek(start)
        file.write(entry.tobuf(tarfile.USTAR_FORMAT))
        file.seek(entry.size, os.SEEK_CUR)
    file.write(bytes(-entry.size % tarfile.BLOCKSIZE))


def _own(sample: Sample) -> Iterator[Member]:
    for name, tensor in sample.tensors.items():
        yield f"{name}.pth", tensor
    yield "txt", sample.caption.encode()
    yield "json", json.dumps({"id": sample.identity, **sample.facts}).encode()


def _primus(sample: Sample) -> Iterator[Member]:
    """Latents (16, h, w) become (64, h/2, w/2)."""
    yield "latents.pth", normalisation.patchify(sample.tensors["latents"][None])[0]
    yield "prompt_embeds.pth", sample.tensors["prompt_embeds"]
    yield "pooled_prompt_embeds.pth", sample.tensors["pooled_prompt_embeds"]
    yield "caption.txt", sample.caption.encode()

"""Tars of samples, as `webdataset` and Megatron-Energon read them.

    {generation}/train-00000.tar    0000000017.latents.pth, 0000000017.prompt_embeds.pth, …, .txt, .json
    {generation}/sizes.json         tar -> samples in it

Samples are called by a number that they keep. Each `.pth` is `torch.save` of one tensor. With the names `primus` they
are AMD Primus' pre-encoded ones: `.latents.pth`, packed as Flux reads them, `.prompt_embeds.pth`,
`.pooled_prompt_embeds.pth`, `.caption.txt`.
"""

import functools
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_assets.config.recipe import Recipe
from hf_assets.errors import ModelError
from hf_assets.export import sharding
from hf_assets.export.job import Job
from hf_assets.export.place import Generation, Place, write_bytes
from hf_assets.export.sharding import Sample, ShardFormat
from hf_assets.export.torch_files import TorchFiles
from hf_assets.export.view import PLACED
from hf_assets.export.writing import Written
from hf_assets.models import normalisation

if TYPE_CHECKING:
    import torch

# Bump when a change to this module changes what a reader finds in a shard.
VERSION = 1
BESIDE: tuple[str, ...] = ()
# Of the number that a sample is called by.
DIGITS = 10
# Where the sum of a header's bytes is in it, in octal digits.
CHECKSUM = slice(148, 154)
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

    write = functools.partial(_write, members, TorchFiles())
    return sharding.make(job, ShardFormat(["webdataset", VERSION, job.rules.names], facts, ".tar", write, name, sizes))


def finish(place: Place, recipe: Recipe, version: str) -> list[Path]:
    """Nothing lies beside the datasets' folders."""
    return []


def reads(recipe: Recipe) -> Any:
    """Nothing but the training set."""
    return None


def _write(
    members: Callable[[Sample], Iterator[Member]], files: TorchFiles, path: Path, samples: Iterator[Sample]
) -> None:
    with path.open("wb") as file:
        for sample in samples:
            for suffix, content in members(sample):
                pieces = [content] if isinstance(content, bytes) else files.file_of(content)
                size = sum(map(len, pieces))
                file.writelines([_header(sample.serial, suffix, size), *pieces, bytes(-size % tarfile.BLOCKSIZE)])
        end = file.tell() + 2 * tarfile.BLOCKSIZE
        file.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))


def _header(serial: int, suffix: str, size: int) -> bytes:
    """The block before a member."""
    digits = b"%0*d" % (DIGITS, serial)
    first = _first_header(suffix, size)
    checksum = int(first[CHECKSUM], 8) + sum(digits) - DIGITS * ord("0")
    return digits + first[DIGITS : CHECKSUM.start] + b"%06o" % checksum + first[CHECKSUM.stop :]


@functools.lru_cache(maxsize=4096)
def _first_header(suffix: str, size: int) -> bytes:
    """That of the sample whose number is 0: `tarfile` takes longer for one than the disk for a small member."""
    entry = tarfile.TarInfo(f"{0:0{DIGITS}}.{suffix}")
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)


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

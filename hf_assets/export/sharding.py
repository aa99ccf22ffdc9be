"""Shards of samples: new samples go to new shards, and a shard stays as long as all its samples are wanted.

A sample is a row of the training set with one of its captions; its identity is the hash of all that is written of it,
and no row's number is. So a row that is inserted in front costs that row. Where a sample vanished, or came to be
another one, its shard's other samples are written again, into a new shard (`copied`): nothing else could take one out.
So are shards that are small, when there are many.
"""

import itertools
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint
from hf_assets.encode.progress import Progress
from hf_assets.export.job import Job
from hf_assets.export.place import Generation, Write
from hf_assets.export.view import View
from hf_assets.export.writing import Written

if TYPE_CHECKING:
    import torch

SHARD_BYTES = 128 << 20
SHARD_SAMPLES = 1024
# Shards that are written at a time.
WRITERS = 4
# Samples that are read at a time for each, and their bytes.
READ_SAMPLES, READ_BYTES = 64, 8 << 20
# Shards of less than a quarter of a full one are joined, once there are more than this.
SMALL_SHARDS = 8
# Of each sample: its identity, its running number, and the shard that holds it, in order.
SAMPLES = pa.schema([("identity", pa.string()), ("serial", pa.int64()), ("object", pa.string())])

# Among the facts of a generation: the number of the next sample that has none.
NEXT = "next_serial"


class Sample(NamedTuple):
    """What is written of a sample.

    Attributes:
        serial: a number that it keeps, and no other sample of the dataset had since the first export.
        facts: columns of the training set.
        tensors: by name, without a batch axis.
    """

    identity: str
    serial: int
    caption: str
    facts: dict[str, Any]
    tensors: "dict[str, torch.Tensor]"


class ShardFormat(NamedTuple):
    """How shards of one format look.

    Attributes:
        identity: JSON of all that decides a sample's bytes, besides the sample.
        facts: columns of the training set that are written of each sample.
        write: writes a shard of samples.
        name: of a shard by its number, counted from 0, and the number of all.
        small: files beside the shards, of which it gets the numbers of samples.
    """

    identity: Any
    facts: tuple[str, ...]
    suffix: str
    write: Callable[[Path, Iterator[Sample]], None]
    name: Callable[[int, int], str]
    small: Callable[[Sequence[int]], Mapping[str, Write]] = lambda _: {}


class _Lines(NamedTuple):
    """The samples that are wanted, in order: each a row of the training set, and which of all captions.

    Attributes:
        num_bytes: about as large as it is.
    """

    identities: list[str]
    rows: np.ndarray
    captions: np.ndarray
    num_bytes: np.ndarray


class _Shard(NamedTuple):
    name: str
    lines: list[int]
    serials: list[int]


def make(job: Job, format: ShardFormat) -> tuple[Generation, Written]:
    """Write the shards that the pool lacks, and say what the dataset's folder is to hold."""
    lines = _lines(job.view, format)
    noted = job.place.samples(job.view.recipe.id, job.known)
    known = SAMPLES.empty_table() if noted is None else noted
    kept, rest, serials = _keep(job, lines, known)
    first_serial = _first_serial(job, known)
    shards = _fill(lines, rest, serials, first_serial, format)
    missing = set(job.place.lacking([one.name for one in shards], job.known))
    source = _Source(job.view, format, lines)
    num_bytes = 0

    def write(shard: _Shard) -> int:
        return job.place.write(shard.name, lambda path: format.write(path, source.samples(shard)))

    todo = [shard for shard in shards if shard.name in missing]
    num_written = sum(len(shard.lines) for shard in todo)
    with (
        ThreadPoolExecutor(min(WRITERS, os.cpu_count() or 1)) as pool,
        Progress(f"exporting {job.view.recipe.id}", num_written, job.say) as progress,
    ):
        for shard, size in zip(todo, pool.map(write, todo), strict=True):
            num_bytes += size
            progress.add(len(shard.lines))
    named = [*kept, *shards]
    numbers = [serial for shard in named for serial in shard.serials]
    samples_table = pa.table(
        {
            "identity": [lines.identities[line] for shard in named for line in shard.lines],
            "serial": numbers,
            "object": [shard.name for shard in named for _ in shard.lines],
        },
        schema=SAMPLES,
    )
    num_copied = sum(line in serials for shard in todo for line in shard.lines)
    names = [format.name(number, len(named)) for number in range(len(named))]
    made = Generation(
        job.version,
        pa.table({"name": pa.array(names, pa.string()), "object": pa.array([one.name for one in named], pa.string())}),
        format.small([len(one.lines) for one in named]),
        {"samples": len(job.view.table), NEXT: max([first_serial, *(number + 1 for number in numbers)])},
        samples_table,
    )
    num_reused = len(lines.identities) - num_written
    return made, Written(num_written - num_copied, num_reused, num_copied, num_bytes)


def _lines(view: View, format: ShardFormat) -> _Lines:
    identities, rows, captions = [], [], []
    number = 0
    for row in view.rows("captions", "latent_key", "embed_keys", *format.facts):
        facts = {name: row[name] for name in format.facts}
        for caption, key in zip(row["captions"], row["embed_keys"], strict=True):
            identities.append(fingerprint.of_value([format.identity, row["latent_key"], key, caption, facts]))
            rows.append(row["index"])
            captions.append(number)
            number += 1
    latent, embed = view.training.latents[0], view.training.embeds[0]
    cells = np.array([np.prod(shape) for shape in view.training.shapes], np.int64)[view.training.shape_codes]
    each = sum(one.nbytes for one in latent.values()) / max(latent["latents"].numel(), 1)
    num_bytes = cells[np.array(rows, np.int64)] * each + sum(one.nbytes for one in embed.values())
    return _Lines(identities, np.array(rows, np.int64), np.array(captions, np.int64), num_bytes)


def _keep(job: Job, lines: _Lines, known: pa.Table) -> tuple[list[_Shard], list[int], dict[int, int]]:
    """The shards that stay, with their lines; the other lines; and the numbers that some of these had already."""
    at: dict[str, list[int]] = defaultdict(list)
    for line in range(len(lines.identities) - 1, -1, -1):
        at[lines.identities[line]].append(line)
    found: dict[str, tuple[list[str], list[int]]] = {}
    for one in known.to_pylist():
        identities, numbers = found.setdefault(one["object"], ([], []))
        identities.append(one["identity"])
        numbers.append(one["serial"])
    whole = set(found) - set(job.place.lacking(found, job.known))
    full = max((len(numbers) for _, numbers in found.values()), default=0)
    small = {name for name, (_, numbers) in found.items() if len(numbers) < full / 4}
    if len(small) > SMALL_SHARDS:
        whole -= small
    kept = []
    for name in [name for name in found if name in whole]:
        identities, numbers = found[name]
        if all(len(at[identity]) >= count for identity, count in Counter(identities).items()):
            kept.append(_Shard(name, [at[identity].pop() for identity in identities], numbers))
            del found[name]
    serials = {
        at[identity].pop(): serial
        for identities, numbers in found.values()
        for identity, serial in zip(identities, numbers, strict=True)
        if at[identity]
    }
    rest = sorted([*serials, *(line for left in at.values() for line in left)])
    return kept, rest, serials


def _first_serial(job: Job, known: pa.Table) -> int:
    """A number that no sample of the dataset had yet, those included that are there no more."""
    last: int | None = pc.max(known["serial"]).as_py()
    noted: list[int] = [one.facts.get(NEXT, 0) for one in job.place.manifests(job.view.recipe.id)]
    return max([0 if last is None else last + 1, *noted])


def _fill(
    lines: _Lines, rest: list[int], serials: Mapping[int, int], first_serial: int, format: ShardFormat
) -> list[_Shard]:
    """Shards of these lines, in order; lines that have no number get one from `first_serial` on."""
    fresh = itertools.count(first_serial)
    groups: list[list[int]] = []
    num_bytes = 0.0
    for line in rest:
        if not groups or len(groups[-1]) >= SHARD_SAMPLES or num_bytes + lines.num_bytes[line] > SHARD_BYTES:
            groups.append([])
            num_bytes = 0.0
        groups[-1].append(line)
        num_bytes += lines.num_bytes[line]
    shards = []
    for group in groups:
        numbers = [serials[line] if line in serials else next(fresh) for line in group]
        name = fingerprint.of_value([format.identity, [lines.identities[line] for line in group], numbers])
        shards.append(_Shard(f"{name}{format.suffix}", group, numbers))
    return shards


class _Source:
    """Reads the samples of shards, for several threads at a time."""

    def __init__(self, view: View, format: ShardFormat, lines: _Lines) -> None:
        self.training, self.lines = view.training, lines
        self.captions = pc.list_flatten(view.table["captions"])
        self.facts = view.table.select(format.facts)
        self.lock = threading.Lock()  # a reader of tensors is one thread's at a time

    def samples(self, shard: _Shard) -> Iterator[Sample]:
        """Those of a shard, of which few are in memory at a time."""
        largest = max(self.lines.num_bytes[line] for line in shard.lines)
        count = max(1, min(READ_SAMPLES, int(READ_BYTES // max(largest, 1))))
        for start in range(0, len(shard.lines), count):
            some, serials = shard.lines[start : start + count], shard.serials[start : start + count]
            rows, captions = self.lines.rows[some].tolist(), self.lines.captions[some].tolist()
            with self.lock:
                latents, embeds = self.training.latents.read(rows), self.training.embeds.read(captions)
            facts = self.facts.take(rows).to_pylist() if self.facts.column_names else [{}] * len(rows)
            texts = self.captions.take(captions).to_pylist()
            for number, line in enumerate(some):
                yield Sample(
                    self.lines.identities[line],
                    serials[number],
                    texts[number],
                    facts[number],
                    {**latents.samples[number], **embeds.samples[number]},
                )

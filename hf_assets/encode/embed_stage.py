"""How a worker makes embeds: captions of like length are encoded together, and what comes of it is packed."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import encoders
from hf_assets.encode.batches import in_halves
from hf_assets.encode.line import Batch, Decoded, Failed, Job
from hf_assets.encode.transfers import Transfers
from hf_assets.encode.unit import KEY
from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Report, Unit
from hf_assets.errors import MediaError, ModelError
from hf_assets.models import text as text_side
from hf_assets.previews import token_counts
from hf_assets.stages.captions import COMPANIONS, MAX_CHARACTERS
from hf_assets.store import packing
from hf_assets.store.tensors import Sample, TensorStore

if TYPE_CHECKING:
    import torch

    from hf_assets.models.text import Outputs, TextEncoder

# What is lost by the type in which embeds are stored: the sums of squares of the losses, and of the values.
ERROR, NORM = "error", "norm"


def jobs_of(missing: pa.Table) -> pa.Table:
    """What a worker needs to know about the captions to encode: `key`, `caption`, and what belongs to it."""
    texts = ["caption", *(name for name in COMPANIONS if name in missing.column_names)]
    return missing.select(["embed_key", *texts]).rename_columns([KEY, *texts])


def relative_error(report: Report) -> float | None:
    """The root of the sum of squares of what is lost, over that of the values; None where types don't differ."""
    norm = report.amounts.get(NORM, 0.0)
    return math.sqrt(report.amounts[ERROR] / norm) if norm else None


@dataclass(frozen=True)
class EmbedStage:
    """See `line.Stage`.

    Attributes:
        counted: captions whose tokens are counted (`token_counts.chosen`).
        open_text: loads the text encoders.
    """

    recipe: Recipe
    encoder: encoders.Encoder
    counted: pa.Table
    open_text: "Callable[..., TextEncoder]" = text_side.load_text
    by_shape = False

    @property
    def store(self) -> TensorStore:
        return TensorStore(self.recipe.folders.embeds)

    @property
    def header(self) -> Mapping[str, str]:
        return self.encoder.header.metadata

    @property
    def tried_by(self) -> str:
        return self.encoder.tried_by

    def batch_size(self, compute: Compute) -> int:
        return compute.text_batch_size

    def jobs(self, units: list[Unit]) -> Iterator[Job]:
        """The captions, those of a unit by their length, so that a batch is padded as little as can be."""
        for unit in units:
            length = pc.utf8_length(unit.jobs["caption"]).to_numpy()
            order = pa.array(np.argsort(-length, kind="stable"))  # what needs most memory comes first
            for rows in unit.jobs.take(order).to_batches():
                for caption in rows.to_pylist():
                    yield Job(unit.number, caption.pop(KEY), caption)

    def decode(self, job: Job) -> Decoded | MediaError:
        length = max(len(text) for text in job.content.values() if isinstance(text, str))
        if length > MAX_CHARACTERS:
            message = f"a text of {length:,d} characters is no caption: {MAX_CHARACTERS:,d} are read at most"
            return MediaError("too_long", message)
        return Decoded(job.key, job.content, None, 0)

    def assemble(self, samples: list[Decoded], compute: Compute) -> list[dict[str, Any]]:
        return [one.content for one in samples]

    @contextmanager
    def _open_model(self, compute: Compute, number: int) -> "Iterator[EmbedModel]":
        import torch

        model = self.recipe.model
        with self.open_text(
            self.encoder.pipeline,
            compute.device,
            getattr(torch, model.dtype),
            quantization=model.text_quantization,
            offload=compute.text_offload,
        ) as text:
            encoders.confirm(self.encoder, self.recipe)
            yield EmbedModel(self, text, compute.device, counts_tokens=number == 0)

    def load(self, compute: Compute, number: int) -> "AbstractContextManager[EmbedModel]":
        return self._open_model(compute, number)


class Computed(NamedTuple):
    """A batch's outputs, on their way from the device.

    Attributes:
        problems: of each caption; None where it is among the outputs.
        event: see `Transfers.copied`.
    """

    problems: list[MediaError | None]
    outputs: "list[Outputs]"
    event: Any


class EmbedModel:
    """See `line.Model`."""

    def __init__(
        self, stage: EmbedStage, text: "TextEncoder", device: str = "cpu", *, counts_tokens: bool = False
    ) -> None:
        import torch

        self.stage = stage
        self.text = text
        self.transfers = Transfers(device)
        text.begin_tokenizing()
        self.counts_tokens = counts_tokens
        name = stage.recipe.model.embeds_dtype
        self.dtype: torch.dtype | None = getattr(torch, name) if name else None
        self._sums = {ERROR: 0.0, NORM: 0.0}
        self._lock = threading.Lock()

    @property
    def amounts(self) -> Mapping[str, float]:
        return self._sums if self.dtype else {}

    def prepare(self, batch: Batch) -> None:
        """Tokenize the captions. A batch of which some can't be encoded is tokenized again, without them."""
        self.text.tokenize([one["caption"] for one in batch.content], together=len(batch.content[0]) == 1)

    def encode(self, batch: Batch) -> "Computed":
        import torch

        problems = [self.text.problem(one["caption"]) for one in batch.content]
        texts = [one for one, problem in zip(batch.content, problems, strict=True) if problem is None]
        try:
            parts = in_halves(lambda some: self._compute(texts[some]), len(texts)) if texts else []
        except torch.OutOfMemoryError as error:
            raise ModelError(
                "the text encoders don't fit into the device's memory: set text_offload of the gpu resource "
                "(HF_ASSETS_TEXT_OFFLOAD=1), or model.text_quantization"
            ) from error
        return Computed(problems, *self._coming([one for part in parts for one in part]))

    def collect(self, batch: Batch, encoded: "Computed") -> Iterator[Sample | Failed]:
        """Take the outputs of a batch apart, and pack them, while the next is computed."""
        if encoded.event is not None:
            encoded.event.synchronize()
        each = (one for outputs in encoded.outputs for one in self.text.take_apart(outputs))
        for key, given, problem in zip(batch.keys, batch.content, encoded.problems, strict=True):
            if problem is not None:
                yield Failed(key, problem.reason, str(problem))
            elif not _are_finite(tensors := next(each)):
                yield Failed(key, "non_finite", "the text encoders give infinite or undefined values")
            elif not _are_finite(stored := self._pack(tensors)):
                yield Failed(key, "overflow", f"values beyond what {self.dtype} holds: choose another embeds_dtype")
            else:
                yield Sample(key, stored, fingerprint.second_of_text(given["caption"]))

    def finish(self, say: Callable[[str], None]) -> None:
        if self.counts_tokens:
            token_counts.count(self.stage.recipe.folders.metadata, self.stage.counted, self.text)

    def _compute(self, texts: list[dict[str, Any]]) -> "list[Outputs]":
        lyrics, durations_s = schema.LYRICS.name, schema.DURATION.name
        return self.text.compute(
            [one["caption"] for one in texts],
            lyrics=[one[lyrics] or "" for one in texts] if lyrics in texts[0] else None,
            durations_s=[one[durations_s] for one in texts] if durations_s in texts[0] else None,
        )

    def _coming(self, outputs: "list[Outputs]") -> "tuple[list[Outputs], Any]":
        """The same on its way to main memory, and the event after which it is there (`Transfers.copied`)."""
        copies, event = self.transfers.copied([tensor for one in outputs for tensor in one.tensors])
        left = iter(copies)
        return [one.map(lambda tensor: next(left)) for one in outputs], event

    def _pack(self, embeds: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
        result = packing.pack(embeds, masks=self.text.ignored, dtype=self.dtype)
        if math.isfinite(result.error):  # else the sample fails
            with self._lock:
                self._sums[ERROR] += result.error
                self._sums[NORM] += result.norm
        return result.tensors


def _are_finite(tensors: "dict[str, torch.Tensor]") -> bool:
    """Whether all can be computed with; float8, which has a scale of its own, can't overflow."""
    import torch

    return all(bool(torch.isfinite(one).all()) for one in tensors.values() if one.element_size() > 1)

"""What passes through a worker's assembly line, and what a stage must be able to do with it."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from hf_assets.engines.compute import Compute
from hf_assets.engines.unit import Unit
from hf_assets.errors import MediaError
from hf_assets.store.tensors import Sample, TensorStore


class Job(NamedTuple):
    """One sample to encode.

    Attributes:
        unit: number of the unit that it belongs to.
        key: of its result.
        content: what `Stage.decode` reads.
        num_bytes: that it takes in memory once it is decoded.
        held_bytes: that it takes before.
        bytes_read: of the dataset, for it.
        is_portable: another process may decode it: that leaves nothing behind here.
    """

    unit: int
    key: str
    content: Any
    num_bytes: int = 0
    held_bytes: int = 0
    bytes_read: int = 0
    is_portable: bool = False


class Decoded(NamedTuple):
    """A sample as the encoder reads it.

    Attributes:
        shape: samples of one shape are encoded together.
        num_bytes: that it takes in memory, as its job said.
    """

    key: str
    content: Any
    shape: Hashable
    num_bytes: int


class Batch(NamedTuple):
    """Samples that are encoded together.

    Attributes:
        content: as the stage assembled it.
        is_second_try: its results were no good the first time.
    """

    keys: list[str]
    content: Any
    num_bytes: int
    is_second_try: bool = False


class Failed(NamedTuple):
    """A sample that can't be computed, and why."""

    key: str
    reason: str
    message: str


class Again(NamedTuple):
    """A sample that is to be encoded in another way."""

    batch: Batch


class Model(Protocol):
    """What a stage loads to encode with."""

    def prepare(self, batch: Batch) -> None:
        """Do for a batch what can be done while others are encoded. In a thread of its own; not for each batch."""
        ...

    def encode(self, batch: Batch) -> Any:
        """Give a batch to the device. In the thread that loaded the model.

        Raises:
            ModelError: one sample alone is more than the device has room for.
        """
        ...

    def collect(self, batch: Batch, encoded: Any) -> Iterator[Sample | Failed | Again]:
        """Wait for what `encode` gave, and take it apart. In a thread of its own."""
        ...

    def finish(self, say: Callable[[str], None]) -> None:
        """Whatever is done with the model once all is stored."""
        ...

    @property
    def amounts(self) -> Mapping[str, float]:
        """What the stage sums up over its samples."""
        ...


class Stage(Protocol):
    """What a worker does for one stage of one dataset. It can be pickled.

    Attributes:
        header: of the shards.
        by_shape: whether a shard holds samples of one shape only.
        tried_by: see `TensorStore.fail`.
    """

    @property
    def store(self) -> TensorStore: ...

    @property
    def header(self) -> Mapping[str, str]: ...

    @property
    def by_shape(self) -> bool: ...

    @property
    def tried_by(self) -> str: ...

    def batch_size(self, compute: Compute) -> int: ...

    def jobs(self, units: list[Unit]) -> Iterator[Job]:
        """The samples of some units, each with what `decode` reads of it. In a thread of its own.

        Raises:
            DatasetError: the dataset can't be read.
        """
        ...

    def decode(self, job: Job) -> Decoded | MediaError:
        """A sample as the encoder reads it, or why there is none. In one of several threads."""
        ...

    def assemble(self, samples: list[Decoded], compute: Compute) -> Any:
        """The content of a batch. In a thread of its own."""
        ...

    def load(self, compute: Compute, number: int) -> AbstractContextManager[Model]:
        """Load the model, and give its memory back in the end.

        Args:
            number: of the worker.

        Raises:
            ModelError: it can't be loaded.
        """
        ...

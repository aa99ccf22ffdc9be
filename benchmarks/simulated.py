"""A device that waits instead of computing, without the interpreter's lock, as a GPU does: so a few cores are enough to
see what the rest of a run costs.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import torch

from hf_assets.config.recipe import Recipe
from hf_assets.encode import latents
from hf_assets.encode.latent_stage import LatentStage
from hf_assets.store.tensors import TensorStore

CELL_PX, CHANNELS = 8, 4


@dataclass(frozen=True)
class Simulated:
    """Opens a VAE that takes the same time for each image. It can be sent to other processes.

    Attributes:
        images_per_second: of one device.
    """

    images_per_second: float

    def __call__(self, *_: Any) -> "Device":
        return Device(self.images_per_second)


@dataclass
class Device:
    """See `models.vae.Vae`.

    Attributes:
        spans: when each batch of this process began and ended, and how many images it had.
    """

    images_per_second: float
    spans: ClassVar[list[tuple[float, float, int]]] = []
    batches: bool = field(default=True)

    def __enter__(self) -> Self:
        self.spans.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def encode_each(
        self, media: torch.Tensor, seeds: Sequence[int], *, in_float32: bool = False
    ) -> dict[str, torch.Tensor]:
        begun = time.perf_counter()
        number, _, height, width = media.shape
        time.sleep(number / self.images_per_second)
        self.spans.append((begun, time.perf_counter(), number))
        return {"latents": torch.ones(number, CHANNELS, height // CELL_PX, width // CELL_PX)}

    def decode(self, encoded: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*encoded.shape[:1], 3, *(CELL_PX * edge for edge in encoded.shape[2:]), dtype=torch.uint8)


class OnDevice:
    """For the block, latents are encoded by simulated devices."""

    def __init__(self, images_per_second: float) -> None:
        self.images_per_second = images_per_second

    def __enter__(self) -> Self:
        def stage(*arguments: Any, **named: Any) -> LatentStage:
            return LatentStage(*arguments, **named, open_vae=Simulated(self.images_per_second))  # type: ignore[arg-type]

        self.real, latents.LatentStage = latents.LatentStage, stage  # type: ignore[assignment, misc]
        return self

    def __exit__(self, *_: object) -> None:
        latents.LatentStage = self.real  # type: ignore[misc]


def forget(recipe: Recipe) -> None:
    """Remove all latents."""
    import shutil

    folder = TensorStore(recipe.folders.latents).folder
    assert isinstance(folder, Path)
    shutil.rmtree(folder, ignore_errors=True)

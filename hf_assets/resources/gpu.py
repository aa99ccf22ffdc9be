"""Where and how fast encoders run. Nothing here is part of a key: changing it costs nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import dagster as dg
from pydantic import Field

from hf_assets.engines import device_lock
from hf_assets.engines.compute import UNIT_SAMPLES, Compute
from hf_assets.engines.this_process import ThisProcess
from hf_assets.engines.unit import Engine
from hf_assets.errors import ConfigError, ModelError

# The pool of the assets that use the device. The lock of the device doesn't depend on it (see `hold_device`): a
# deployment with a daemon may limit it, so that runs wait in the queue and not in a process.
POOL = "gpu"

Device = Literal["auto", "cuda", "cpu"]


class GpuResource(dg.ConfigurableResource[Any]):
    """Device, batch sizes and threads. Set them in the run config, or by the environment variables that fields name."""

    device: Device = Field(
        default_factory=lambda: _device("HF_ASSETS_DEVICE", "auto"),
        description="`auto` takes the GPU where there is one. Environment: HF_ASSETS_DEVICE.",
        validate_default=True,
    )
    batch_size: int = Field(
        default_factory=lambda: _number("HF_ASSETS_BATCH_SIZE", 0, at_least=0),
        ge=0,
        description=(
            "Images per forward of the VAE; 0: 8 on a GPU, 2 on a CPU. Halved by itself when memory doesn't suffice. "
            "Environment: HF_ASSETS_BATCH_SIZE."
        ),
        validate_default=True,
    )
    text_batch_size: int = Field(
        default_factory=lambda: _number("HF_ASSETS_TEXT_BATCH_SIZE", 16, at_least=1),
        ge=1,
        description=(
            "Captions per forward of the text encoders, where the family allows more than one. "
            "Environment: HF_ASSETS_TEXT_BATCH_SIZE."
        ),
        validate_default=True,
    )
    text_offload: bool = Field(
        default_factory=lambda: _flag("HF_ASSETS_TEXT_OFFLOAD"),
        description=(
            "Keep text encoders in main memory and bring each layer's weights to the GPU while it computes: slow, for "
            "encoders that the GPU has no room for. Environment: HF_ASSETS_TEXT_OFFLOAD (`1` or `0`)."
        ),
        validate_default=True,
    )
    decode_threads: int = Field(
        default_factory=lambda: _number("HF_ASSETS_DECODE_THREADS", 0, at_least=0),
        ge=0,
        description=(
            "Threads that decode media ahead of the encoder; 0: one per core, at most 16. "
            "Environment: HF_ASSETS_DECODE_THREADS."
        ),
        validate_default=True,
    )
    unit_samples: int = Field(
        default=UNIT_SAMPLES,
        ge=1,
        description="Encoded samples that wait in memory before they are written: what a crash can cost.",
    )

    @property
    def threads(self) -> int:
        """Threads that decode media."""
        return self.decode_threads or min(os.cpu_count() or 1, 16)

    @contextmanager
    def hold_device(self, say: Callable[[str], None]) -> Iterator[Engine]:
        """What encodes on the device, which is kept for the block: processes of this machine take turns.

        Raises:
            ModelError: the device is `cuda` and there is none.
        """
        compute = self.compute()
        with device_lock.hold(compute.device, say):
            yield ThisProcess(compute)

    def compute(self) -> Compute:
        """The settings with `auto` and 0 resolved for this machine.

        Raises:
            ModelError: the device is `cuda` and there is none.
        """
        import torch

        has_cuda = torch.cuda.is_available()
        if self.device == "cuda" and not has_cuda:
            raise ModelError(
                'the gpu resource says device "cuda", but torch finds no GPU here: '
                'set device to "cpu" or "auto", or install a CUDA build of torch'
            )
        device = "cuda" if self.device != "cpu" and has_cuda else "cpu"
        return Compute(
            device=device,
            batch_size=self.batch_size or (8 if device == "cuda" else 2),
            text_batch_size=self.text_batch_size,
            text_offload=self.text_offload,
            decode_threads=self.threads,
            unit_samples=self.unit_samples,
        )


def _device(variable: str, default: str) -> str:
    value = os.environ.get(variable, default)
    if value not in get_args(Device):
        raise ConfigError(f'{variable} is "{value}"; use "auto", "cuda" or "cpu", or unset it')
    return value


def _flag(variable: str) -> bool:
    value = os.environ.get(variable) or "0"
    if value not in ("0", "1"):
        raise ConfigError(f'{variable} is "{value}"; write 1 or 0, or unset it')
    return value == "1"


def _number(variable: str, default: int, at_least: int) -> int:
    value = os.environ.get(variable, str(default))
    if not value.strip().isdecimal() or int(value) < at_least:
        raise ConfigError(f'{variable} is "{value}"; write a whole number, {at_least} or more, or unset it')
    return int(value)

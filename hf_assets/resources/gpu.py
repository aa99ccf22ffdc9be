"""Where and how fast encoders run. Nothing here is part of a key: changing it costs nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import dagster as dg
from pydantic import Field

from hf_assets.engines import device_lock, ray_cluster
from hf_assets.engines.compute import AHEAD_BYTES, UNIT_SAMPLES, Compute, ComputeSettings, Device, default_threads
from hf_assets.engines.this_process import ThisProcess
from hf_assets.engines.unit import Engine
from hf_assets.errors import ConfigError

# The pool of the assets that use the device. The lock of the device doesn't depend on it (see `hold_device`): a
# deployment with a daemon may limit it, so that runs wait in the queue and not in a process.
POOL = "gpu"


class RayChoice(dg.Config):
    """Ray actors: how many, and what each of them takes."""

    workers: int = Field(
        default=0, ge=0, description="Actors; 0: one per GPU, and without GPUs as many as the CPUs have room for."
    )
    gpus: float = Field(
        default=1.0, ge=0, description="GPUs of each actor: less than 1 lets several share one; 0: none, CPUs only."
    )
    cpus: float = Field(
        default=0.0,
        ge=0,
        description="CPU cores of each; 0: its part of them beside a GPU, else four.",
    )
    decoders: int = Field(
        default=0,
        ge=0,
        description="Further actors, of CPUs only, that decode images, clips and audio for GPUs beside few cores.",
    )
    decoder_cpus: int = Field(default=4, ge=1, description="CPU cores of each of them.")


class EngineChoice(dg.Config):
    """Which engine runs the units of work: `ray`, or else what HF_ASSETS_ENGINE names, or else this process."""

    ray: RayChoice | None = None


def _switch(variable: str, description: str) -> Any:
    """A field that is off unless the environment turns it on."""
    return Field(
        default_factory=lambda: _flag(variable),
        description=f"{description} Environment: {variable} (`1` or `0`).",
        validate_default=True,
    )


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
    text_offload: bool = _switch(
        "HF_ASSETS_TEXT_OFFLOAD",
        "Keep text encoders in main memory and bring each layer's weights to the GPU while it computes: slow, for "
        "encoders that the GPU has no room for.",
    )
    channels_last: bool = _switch(
        "HF_ASSETS_CHANNELS_LAST",
        "Keep the VAE's convolutions with channels last: whether that is faster depends on the GPU.",
    )
    compile: bool = _switch(
        "HF_ASSETS_COMPILE",
        "Compile the VAE's encoder with torch.compile, once for each shape, which takes up to minutes.",
    )
    cuda_graphs: bool = _switch(
        "HF_ASSETS_CUDA_GRAPHS",
        "Record what the VAE computes for shapes that come often, and replay it: for GPUs that wait for the next "
        "kernel. Each recorded shape holds memory of the GPU.",
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

    ahead_mb: int = Field(
        default_factory=lambda: _number("HF_ASSETS_AHEAD_MB", AHEAD_BYTES >> 20, at_least=1),
        ge=1,
        description=(
            "Memory for decoded samples that wait for the encoder, in MiB: of many shapes, or of large videos. "
            "Environment: HF_ASSETS_AHEAD_MB."
        ),
        validate_default=True,
    )
    decode_mb: int = Field(
        default_factory=lambda: _number("HF_ASSETS_DECODE_MB", 0, at_least=0),
        ge=0,
        description=(
            "Memory that all threads that decode media take together while they do, in MiB; 0: a quarter of the "
            "memory. An image that needs more is decoded alone. Environment: HF_ASSETS_DECODE_MB."
        ),
        validate_default=True,
    )
    engine: EngineChoice = Field(
        default_factory=lambda: EngineChoice(ray=_ray("HF_ASSETS_ENGINE")),
        description=(
            "What encodes: this process, on one device; or, with `ray: {}`, Ray actors, one for each GPU of this "
            "machine or of the cluster that RAY_ADDRESS names. Where it names none, the environment does: "
            "HF_ASSETS_ENGINE (`process` or `ray`)."
        ),
    )

    @property
    def threads(self) -> int:
        """Threads that decode media."""
        return self.decode_threads or default_threads()

    @property
    def settings(self) -> ComputeSettings:
        """What is set, not yet resolved for a machine."""
        return ComputeSettings(
            device=self.device,
            batch_size=self.batch_size,
            text_batch_size=self.text_batch_size,
            text_offload=self.text_offload,
            channels_last=self.channels_last,
            compile=self.compile,
            cuda_graphs=self.cuda_graphs,
            decode_threads=self.decode_threads,
            unit_samples=self.unit_samples,
            ahead_bytes=self.ahead_mb << 20,
            decode_bytes=self.decode_mb << 20,
        )

    @contextmanager
    def hold_device(self, say: Callable[[str], None]) -> Iterator[Engine]:
        """What encodes, with its devices, which are kept for the block: processes of one machine take turns.

        Raises:
            ModelError: the device is `cuda` and there is none; or Ray isn't there.
        """
        # Dagster takes no default of a nested field from a factory, so an asset's resource has none of `engine`.
        if (ray := self.engine.ray or _ray("HF_ASSETS_ENGINE")) is not None:
            options = ray_cluster.RayOptions(**ray.model_dump())
            with ray_cluster.workers(options, self.settings, say) as engine:
                yield engine
            return
        compute = self.compute()
        if (others := _unused_gpus(compute)) > 0:
            say(
                f"encoding on one of {others + 1} GPUs: set HF_ASSETS_ENGINE=ray to use all of them "
                '(pip install "hf_assets[ray]")'
            )
        with device_lock.hold(compute.device, say):
            yield ThisProcess(compute)

    def compute(self) -> Compute:
        """The settings with `auto` and 0 resolved for this machine.

        Raises:
            ModelError: the device is `cuda` and there is none.
        """
        return self.settings.resolve()


def _unused_gpus(compute: Compute) -> int:
    import torch

    return torch.cuda.device_count() - 1 if compute.device.startswith("cuda") else 0


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


def _ray(variable: str) -> RayChoice | None:
    value = os.environ.get(variable) or "process"
    if value not in ("process", "ray"):
        raise ConfigError(f'{variable} is "{value}"; use "process" or "ray", or unset it')
    return RayChoice() if value == "ray" else None

"""How fast, never what: the settings that no key depends on."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hf_assets.errors import ModelError

# Samples whose results wait in memory before they are written: what a crash can cost. Slow encoders write earlier.
UNIT_SAMPLES = 256
UNIT_BYTES = 512 << 20
UNIT_SECONDS = 30.0
# Decoded samples that wait for the encoder take so many bytes of memory.
AHEAD_BYTES = 2 << 30


@dataclass(frozen=True)
class Compute:
    """Device, batch sizes, threads and memory of one worker.

    Attributes:
        device: as torch names it: `cpu`, `cuda`, `cuda:1`.
        text_offload: text encoders stay in main memory, and each layer's weights come to the device to compute.
        channels_last, compile, cuda_graphs: see `models.acceleration`.
        unit_samples: at most so many encoded samples wait to be written.
        decode_bytes: what all threads that decode take together while they do; 0: a quarter of the memory.
        ahead_bytes: decoded samples that wait for the encoder take at most so much memory, and one sample more.
        decode_elsewhere: decodes a job (`Work.decode`) in another process; None: each worker decodes by itself.
    """

    device: str = "cpu"
    batch_size: int = 4
    text_batch_size: int = 16
    text_offload: bool = False
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False
    decode_threads: int = 2
    unit_samples: int = UNIT_SAMPLES
    ahead_bytes: int = AHEAD_BYTES
    decode_bytes: int = 0
    decode_elsewhere: Callable[[Any], Any] | None = None


Device = Literal["auto", "cuda", "cpu"]


@dataclass(frozen=True)
class ComputeSettings:
    """`Compute` as people set it, for whatever machine it will be resolved on; see the fields of the `gpu` resource.

    Attributes:
        batch_size, decode_threads: 0 leaves them to the machine.
    """

    device: Device = "auto"
    batch_size: int = 0
    text_batch_size: int = 16
    text_offload: bool = False
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False
    decode_threads: int = 0
    unit_samples: int = UNIT_SAMPLES
    ahead_bytes: int = AHEAD_BYTES
    decode_bytes: int = 0

    def resolve(self, cores: float | None = None) -> Compute:
        """For this machine.

        Args:
            cores: that a worker has for itself; None: all.

        Raises:
            ModelError: the device is `cuda` and there is none, or something is set that a CPU doesn't have.
        """
        import torch

        has_cuda = torch.cuda.is_available()
        if self.device == "cuda" and not has_cuda:
            raise ModelError(
                'the gpu resource says device "cuda", but torch finds no GPU here: '
                'set device to "cpu" or "auto", or install a CUDA build of torch'
            )
        device = "cuda" if self.device != "cpu" and has_cuda else "cpu"
        if self.cuda_graphs and device == "cpu":
            raise ModelError(
                "cuda_graphs of the gpu resource needs a GPU, and this run encodes on the CPU: unset it "
                "(HF_ASSETS_CUDA_GRAPHS)"
            )
        return Compute(
            device=device,
            batch_size=self.batch_size or (8 if device == "cuda" else 2),
            text_batch_size=self.text_batch_size,
            text_offload=self.text_offload,
            channels_last=self.channels_last,
            compile=self.compile,
            cuda_graphs=self.cuda_graphs,
            decode_threads=self.decode_threads or default_threads(cores),
            unit_samples=self.unit_samples,
            ahead_bytes=self.ahead_bytes,
            decode_bytes=self.decode_bytes,
        )


def default_threads(cores: float | None = None) -> int:
    """Threads that decode media: one per core."""
    return max(1, min(int(cores or os.cpu_count() or 1), 16))

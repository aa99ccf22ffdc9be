"""How fast, never what: the settings that no key depends on."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

# Samples whose results wait in memory before they are written: what a crash can cost. Slow encoders write earlier.
UNIT_SAMPLES = 256
UNIT_BYTES = 512 << 20
UNIT_SECONDS = 30.0


@dataclass(frozen=True)
class Compute:
    """Device, batch sizes and threads.

    Attributes:
        device: as torch names it: `cpu`, `cuda`, `cuda:1`.
        text_offload: text encoders stay in main memory, and each layer's weights come to the device to compute.
        unit_samples: at most so many encoded samples wait to be written.
    """

    device: str = "cpu"
    batch_size: int = 4
    text_batch_size: int = 16
    text_offload: bool = False
    decode_threads: int = 2
    unit_samples: int = UNIT_SAMPLES


# Waits until the device is free, says so where that takes time, and keeps it for the block.
HoldDevice = Callable[[Callable[[str], None]], AbstractContextManager[Compute]]

"""How fast, never what: the settings that no key depends on."""

from dataclasses import dataclass

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
        unit_samples: at most so many encoded samples wait to be written.
        ahead_bytes: decoded samples that wait for the encoder take at most so much memory, and one sample more.
    """

    device: str = "cpu"
    batch_size: int = 4
    text_batch_size: int = 16
    text_offload: bool = False
    decode_threads: int = 2
    unit_samples: int = UNIT_SAMPLES
    ahead_bytes: int = AHEAD_BYTES

"""Audio that a dataset keeps as arrays of samples, as the WAV file that holds exactly these samples.

So it is media like any other: its hash is one of the samples and their rate, whatever file and row group they lie in.
"""

import struct

import numpy as np
import pyarrow as pa

# Type of the samples -> its code in a WAV file, 1 for integers and 3 for floats; and numpy's name.
FORMATS: dict[pa.DataType, tuple[int, str]] = {
    pa.float16(): (3, "<f4"),
    pa.float32(): (3, "<f4"),
    pa.float64(): (3, "<f8"),
    pa.int16(): (1, "<i2"),
    pa.int32(): (1, "<i4"),
}
MAX_CHANNELS = 64
# A header's sizes have 32 bits.
MAX_BYTES = 2**32 - 64

NO_CHANNELS = b"arrays of channels that are not equally long"
TOO_LARGE = b"an array of more than 4 GiB"


def sample_type(kind: pa.DataType) -> pa.DataType | None:
    """The type of the samples of a column of arrays, (S,) or (C, S); None if it isn't one."""
    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    return kind if 1 <= depth <= 2 and (pa.types.is_floating(kind) or pa.types.is_integer(kind)) else None


def wav(array: pa.Scalar, rate_hz: float | None) -> bytes | None:
    """The file; None for a row without an array. What is no audio becomes bytes that no decoder takes.

    Args:
        array: (S,), (C, S), or (S, C) with more than `MAX_CHANNELS` samples, of a type of `FORMATS`.
    """
    if not array.is_valid:
        return None
    values = array.values
    kind = sample_type(array.type)
    assert kind in FORMATS, f"{kind}: `parquet` refuses such columns"
    code, name = FORMATS[kind]
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        rows = [values]
    else:
        rows = [row.values for row in values if row.is_valid]
        if not rows or len({len(row) for row in rows}) > 1:
            return NO_CHANNELS
    if any(row.null_count for row in rows):  # a sample that isn't there is no number
        code, name = 3, "<f8"
        rows = [row.cast(pa.float64()) for row in rows]
    samples = np.stack([row.to_numpy(zero_copy_only=False) for row in rows])
    if len(samples) > MAX_CHANNELS:
        samples = samples.T
    data = np.ascontiguousarray(samples.T).astype(name).tobytes()
    if len(data) > MAX_BYTES:
        return TOO_LARGE
    return _header(code, len(samples), int(rate_hz or 0), np.dtype(name).itemsize, len(data)) + data


def _header(code: int, num_channels: int, rate_hz: int, sample_bytes: int, num_bytes: int) -> bytes:
    frame = num_channels * sample_bytes
    rate_hz = rate_hz if 0 <= rate_hz * frame < 2**32 else 0
    fmt = struct.pack("<HHIIHH", code, num_channels, rate_hz, rate_hz * frame, frame, 8 * sample_bytes)
    parts = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", num_bytes)
    return b"RIFF" + struct.pack("<I", len(parts) + num_bytes) + parts

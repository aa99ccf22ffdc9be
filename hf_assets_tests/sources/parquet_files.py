"""Small Parquet files whose bytes can be counted."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def noise(num_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no codec makes smaller."""
    return np.random.default_rng(seed).bytes(num_bytes)


def images(media: list[bytes | None]) -> pa.Array:
    return pa.array([None if data is None else {"bytes": data, "path": None} for data in media], IMAGE)


def parquet(columns: dict[str, Any], row_group_size: int = 4, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, row_group_size=row_group_size, **options)
    return stream.getvalue()


def rows(captions: list[str], image_bytes: int = 8) -> bytes:
    """A file of images and captions; different for different captions."""
    return parquet({"image": images([noise(image_bytes, hash_of(text)) for text in captions]), "caption": captions})


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[-4:], "big")

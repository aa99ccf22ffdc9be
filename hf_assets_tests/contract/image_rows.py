"""Rows of datasets: small images that can be distinguished, and their captions."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def image_bytes(seed: int, width: int = 64, height: int = 64, format: str = "PNG") -> bytes:
    """A smooth random image: equal for equal arguments, different for others."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(stream, format)
    return stream.getvalue()


@dataclass(frozen=True)
class Row:
    """One row of a dataset: an image, a caption, and other columns."""

    image: bytes | None
    caption: str | None
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The caption as it is encoded."""
        assert self.caption is not None
        return self.caption.strip()

    def but(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def with_columns(self, **columns: Any) -> Self:
        return replace(self, columns={**self.columns, **columns})


def parquet(rows: list[Row], row_group_size: int = 3) -> bytes:
    """The rows as a file that `datasets` reads: images are structs of bytes and path."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.Table.from_pylist(
        [{"image": {"bytes": row.image, "path": None}, "caption": row.caption, **row.columns} for row in rows],
        schema=pa.schema([("image", kind), ("caption", pa.string()), *_other_fields(rows)]),
    )
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=row_group_size)
    return stream.getvalue()


def files_of(*parts: list[Row], split: str = "train") -> dict[str, bytes | Path | None]:
    """A split's files in the Hub's usual layout, one per part."""
    return {f"data/{split}-{i:05d}-of-{len(parts):05d}.parquet": parquet(part) for i, part in enumerate(parts)}


def _other_fields(rows: list[Row]) -> list[pa.Field]:
    names = dict.fromkeys(name for row in rows for name in row.columns)
    return [pa.field(name, pa.array([row.columns.get(name) for row in rows]).type) for name in names]

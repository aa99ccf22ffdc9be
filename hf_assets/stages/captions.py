"""Take each row's captions from its columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hf_assets import schema
from hf_assets.errors import DatasetError

# Bump when a change to this module changes a caption.
VERSION = 2


class CaptionRules(BaseModel):
    """Where captions come from."""

    model_config = ConfigDict(frozen=True)

    caption_column: str = "caption"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these rules read."""
        return (self.caption_column,)


def extract(filtered: pa.Table, rules: CaptionRules) -> tuple[pa.Table, int]:
    """The rows that have a caption, stripped of white space at both ends; and how many rows have none.

    Returns:
        A table of `schema.CAPTIONS`, and the number of rows dropped because their caption is null, empty or not UTF-8.

    Raises:
        DatasetError: the column holds something that is no text.
    """
    texts = schema.column(filtered, rules.caption_column)
    if pa.types.is_null(texts.type):
        texts = texts.cast(schema.CAPTION)
    if not (
        pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type) or pa.types.is_string_view(texts.type)
    ):
        raise DatasetError(f'caption_column "{rules.caption_column}" holds {texts.type}, not text: name a text column')
    stripped = pc.utf8_trim_whitespace(_readable(texts.cast(schema.CAPTION)))
    has_caption = pc.fill_null(pc.not_equal(stripped, ""), False)
    captions = stripped.filter(has_caption)
    table = pa.table(
        [filtered["row"].filter(has_caption), as_single_item_lists(captions)],
        schema=schema.CAPTIONS,
    )
    return table, len(filtered) - len(table)


def as_single_item_lists(values: pa.ChunkedArray) -> pa.ListArray:
    """Each value as a list of one."""
    flat = values.combine_chunks()
    return pa.ListArray.from_arrays(pa.array(np.arange(len(flat) + 1, dtype=np.int32)), flat)


def distinct(captions: pa.Table) -> pa.ChunkedArray:
    """Every caption once, in order of first appearance."""
    return pc.unique(pc.list_flatten(captions["captions"]).cast(schema.CAPTION))


def _readable(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null in place of bytes that are no UTF-8, which a text column of a Parquet file can hold."""
    return pa.chunked_array([_readable_chunk(chunk) for chunk in texts.chunks], schema.CAPTION)


def _readable_chunk(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:  # rare enough to look at each row
        return pa.array([_decoded(data) for data in texts.cast(pa.large_binary()).to_pylist()], schema.CAPTION)
    return texts


def _decoded(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None

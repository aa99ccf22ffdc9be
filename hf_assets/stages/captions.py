"""Take each row's captions from its columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hf_assets import schema
from hf_assets.errors import DatasetError

# Bump when a change to this module changes a caption.
VERSION = 1


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
        A table of `schema.CAPTIONS`, and the number of rows dropped because their caption is null or empty.

    Raises:
        DatasetError: the column holds something that is no text.
    """
    texts = schema.column(filtered, rules.caption_column)
    if pa.types.is_null(texts.type):
        texts = texts.cast(pa.string())
    if not (
        pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type) or pa.types.is_string_view(texts.type)
    ):
        raise DatasetError(f'caption_column "{rules.caption_column}" holds {texts.type}, not text: name a text column')
    stripped = pc.utf8_trim_whitespace(texts.cast(pa.string()))
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
    return pc.unique(pc.list_flatten(captions["captions"]))

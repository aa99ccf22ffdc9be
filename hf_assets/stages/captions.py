"""Take each row's captions from its columns.

A column gives a row as many captions as it holds texts: one for a text column, several for lists. All are kept, and all
are encoded; a reader draws one for each epoch.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.stages import rewriting
from hf_assets.stages.rewriting import Replacement, ShuffleRules

# Bump when a change to this module changes a caption.
VERSION = 3

# What a description that is a struct is made of, where it has these fields.
DESCRIPTION_FIELDS = ("main_subject", "description", "text")


class CaptionRules(BaseModel):
    """Where captions come from. Columns are dotted paths.

    Attributes:
        columns_of_captions: each of a row's captions in any of these is one of the row's captions.
        fallback_column: for rows that have none there.
        description_column: for rows that have none there either: text, or a struct with `DESCRIPTION_FIELDS`.
        instance_prompt: put in front of each caption, or, with `only_instance_prompt`, in place of all.
        replacements: made in each caption, in this order.
        shuffle: more captions, of the same parts in another order.
    """

    model_config = ConfigDict(frozen=True)

    columns_of_captions: tuple[str, ...] = ("caption",)
    fallback_column: str | None = None
    description_column: str | None = None
    instance_prompt: str | None = None
    only_instance_prompt: bool = False
    replacements: tuple[Replacement, ...] = ()
    shuffle: ShuffleRules | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these rules read."""
        if self.only_instance_prompt:
            return ()
        named = (*self.columns_of_captions, self.fallback_column, self.description_column)
        return tuple(dict.fromkeys(column for column in named if column))


class _Texts(NamedTuple):
    """Texts, and the position in the table of the row that each belongs to; in the order of rows.

    Attributes:
        at: (N,) int64.
        values: of `schema.CAPTION`, stripped, without nulls and empty ones.
    """

    at: npt.NDArray[np.int64]
    values: pa.ChunkedArray

    def but_not_of(self, covered: npt.NDArray[np.bool_]) -> "_Texts":
        left = ~covered[self.at]
        return _Texts(self.at[left], self.values.filter(pa.array(left)))

    def then(self, others: "_Texts") -> "_Texts":
        """Both; of each row, the others come after."""
        if not len(others.at):
            return self
        at = np.concatenate([self.at, others.at])
        order = np.argsort(at, kind="stable")
        values = pa.chunked_array([*self.values.chunks, *others.values.chunks], schema.CAPTION)
        return _Texts(at[order], values.take(pa.array(order)))


def extract(filtered: pa.Table, rules: CaptionRules) -> tuple[pa.Table, pa.Table]:
    """The rows that have captions, stripped of white space at both ends; and the rows that have none.

    Returns:
        A table of `schema.CAPTIONS`; and `row` and `dropped_for` (`no_caption`) of the rows whose captions are null,
        empty, or not UTF-8.

    Raises:
        DatasetError: a column holds something that is no text.
    """
    if rules.only_instance_prompt:
        assert rules.instance_prompt, "the config demands a prompt"
        texts = _Texts(np.arange(len(filtered)), pa.chunked_array([pa.repeat(rules.instance_prompt, len(filtered))]))
        texts = texts._replace(values=texts.values.cast(schema.CAPTION))
    else:
        texts = _rewritten(_found(filtered, rules), rules)
    counts = np.bincount(texts.at, minlength=len(filtered))
    has_captions = counts > 0
    offsets = np.concatenate([[0], np.cumsum(counts[has_captions])]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), texts.values.combine_chunks())
    table = pa.table([filtered["row"].filter(pa.array(has_captions)), lists], schema=schema.CAPTIONS)
    without = filtered["row"].filter(pa.array(~has_captions))
    return table, pa.table({"row": without, "dropped_for": pa.repeat("no_caption", len(without))})


def distinct(captions: pa.Table) -> pa.ChunkedArray:
    """Every caption once, in order of first appearance."""
    return pc.unique(pc.list_flatten(captions["captions"]).cast(schema.CAPTION))


def _found(filtered: pa.Table, rules: CaptionRules) -> _Texts:
    """What the columns hold: the first of captions, fallback and description that has anything for a row."""
    first, *others = rules.columns_of_captions
    column: str | None
    texts = _texts(filtered, "caption_column", first)
    for column in others:
        texts = texts.then(_texts(filtered, "caption_column", column))
    for key, column, read in (
        ("fallback_caption_column", rules.fallback_column, _texts),
        ("description_column", rules.description_column, _descriptions),
    ):
        if column is not None:
            covered = np.zeros(len(filtered), bool)
            covered[texts.at] = True
            if not covered.all():
                texts = texts.then(read(filtered, key, column).but_not_of(covered))
    return texts


def _rewritten(texts: _Texts, rules: CaptionRules) -> _Texts:
    if rules.replacements:
        texts = _cleaned(texts.at, rewriting.replaced(texts.values, rules.replacements))
    if rules.shuffle is not None:
        source, values = rewriting.shuffled(texts.values, rules.shuffle)
        texts = _Texts(texts.at[source], values)
    if rules.instance_prompt is not None:
        prompt = pa.scalar(rules.instance_prompt, schema.CAPTION)
        joined = pc.binary_join_element_wise(prompt, texts.values, pa.scalar(" ", schema.CAPTION))
        texts = texts._replace(values=joined)
    return texts


def _texts(filtered: pa.Table, key: str, column: str) -> _Texts:
    """The texts of a column, of lists (of lists) each of their texts."""
    return _flattened(schema.column(filtered, column), key, column)


def _descriptions(filtered: pa.Table, key: str, column: str) -> _Texts:
    """As `_texts`; a struct gives one text, of its fields' texts with a space between."""
    values = schema.column(filtered, column)
    if not pa.types.is_struct(values.type):
        return _flattened(values, key, column)
    named = [name for name in DESCRIPTION_FIELDS if values.type.get_field_index(name) >= 0]
    if not named:
        fields = ", ".join(field.name for field in values.type)
        raise DatasetError(
            f'{key} "{column}" holds a struct of {fields}: name one of its fields, such as '
            f'"{column}.{values.type.field(0).name}"'
        )
    null = pa.scalar(None, schema.CAPTION)
    joined = pa.chunked_array([pa.nulls(len(filtered), schema.CAPTION)])
    for name in named:
        field = pc.struct_field(values, name)
        _must_be_text(field.type, key, f"{column}.{name}")
        part = pc.utf8_trim_whitespace(_readable(field.cast(schema.CAPTION)))
        part = pc.if_else(pc.equal(part, ""), null, part)
        both = pc.binary_join_element_wise(joined, part, pa.scalar(" ", schema.CAPTION))
        joined = pc.coalesce(both, joined, part)
    return _cleaned(np.arange(len(filtered)), joined)


def _flattened(values: pa.ChunkedArray, key: str, column: str) -> _Texts:
    at = np.arange(len(values))
    while schema.is_list(values.type):
        at = at[pc.list_parent_indices(values).to_numpy()]
        values = pc.list_flatten(values)
    if pa.types.is_null(values.type):
        values = values.cast(schema.CAPTION)
    _must_be_text(values.type, key, column)
    return _cleaned(at, _readable(values.cast(schema.CAPTION)))


def _cleaned(at: npt.NDArray[np.int64], values: pa.ChunkedArray) -> _Texts:
    """Stripped, and without what is then empty."""
    stripped = pc.utf8_trim_whitespace(values)
    is_text = pc.fill_null(pc.not_equal(stripped, ""), False)
    return _Texts(at[is_text.to_numpy()], stripped.filter(is_text))


def _must_be_text(kind: pa.DataType, key: str, column: str) -> None:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_null,
    )
    if not any(test(kind) for test in tests):
        raise DatasetError(f'{key} "{column}" holds {kind}, not text: name a text column')


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

"""Take each row's captions from its columns.

A column gives a row as many captions as it holds texts: one for a text column, several for lists. All are kept, and all
are encoded; a reader draws one for each epoch.

Audio has a prompt that several columns make together, and lyrics, which are kept apart from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from hf_assets import json_text, schema
from hf_assets.errors import DatasetError
from hf_assets.stages import rewriting
from hf_assets.stages.rewriting import Replacement, ShuffleRules

# Bump when a change to this module changes a caption.
VERSION = 6

# Longer texts aren't encoded: no text encoder reads a tenth of it, and a tokenizer takes some hundred bytes for each
# character.
MAX_CHARACTERS = 100_000

# What a description that is a struct is made of, where it has these fields.
DESCRIPTION_FIELDS = ("main_subject", "description", "text")

# What of a row, beside its caption, text encoders may read.
COMPANIONS = (schema.LYRICS.name, schema.DURATION.name)

# Where the columns of a prompt are named.
FIELDS_KEY = "audio_caption_fields"
# Of audio that has no lyrics, this column may be missing.
USUAL_LYRICS = "lyrics"


class CaptionRules(BaseModel):
    """Where captions come from. Columns are dotted paths.

    Attributes:
        columns_of_captions: each of a row's captions in any of these is one of the row's captions.
        fallback_column: for rows that have none there.
        joined_columns: for rows that have none there either: the texts of all of these, joined to one.
        joined_if_there: the same, of columns of which some may be missing.
        description_column: for rows that still have none: text, or a struct with `DESCRIPTION_FIELDS`.
        lyrics_columns: the first of these that is there holds lyrics. Empty: there are no lyrics. All but the first,
            and a first one of the usual name, may be missing.
        instance_prompt: put in front of each caption, or, with `only_instance_prompt`, in place of all.
        replacements: made in each caption, in this order.
        shuffle: more captions, of the same parts in another order.
        are_read: whether there are captions at all; where not, each row passes without any.
    """

    model_config = ConfigDict(frozen=True)

    columns_of_captions: tuple[str, ...] = ("caption",)
    fallback_column: str | None = None
    joined_columns: tuple[str, ...] = ()
    joined_if_there: tuple[str, ...] = ()
    description_column: str | None = None
    lyrics_columns: tuple[str, ...] = ()
    instance_prompt: str | None = None
    only_instance_prompt: bool = False
    replacements: tuple[Replacement, ...] = ()
    shuffle: ShuffleRules | None = None
    are_read: bool = True

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Tables made before there was such a setting are up to date."""
        made: dict[str, Any] = dump(self)
        return {key: value for key, value in made.items() if key != "are_read" or not value}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these rules read."""
        if self.only_instance_prompt or not self.are_read:
            return ()
        named = (*self.columns_of_captions, self.fallback_column, *self.joined_columns, self.description_column)
        return tuple(dict.fromkeys(column for column in named if column))

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """The columns that these rules read where the dataset has them."""
        return (*(() if self.only_instance_prompt else self.joined_if_there), *self.lyrics_columns)


NO_CAPTIONS = CaptionRules(columns_of_captions=(), are_read=False)


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
        A table of `schema.CAPTIONS`, with `schema.LYRICS` where the rules name lyrics; and `row`, `schema.SOURCE_PATH`
        where it is there, and `dropped_for` (`no_caption`) of the rows whose captions are null, empty, or not UTF-8.

    Raises:
        DatasetError: a column holds something that is no text.
    """
    if not rules.are_read:
        none = pa.array([[]] * len(filtered), schema.CAPTIONS.field("captions").type)
        table = pa.table([filtered["row"], none], schema=schema.CAPTIONS)
        return table, pa.table({"row": filtered["row"].slice(0, 0), "dropped_for": pa.nulls(0, pa.string())})
    if rules.only_instance_prompt:
        assert rules.instance_prompt, "the config demands a prompt"
        texts = _Texts(np.arange(len(filtered)), pa.chunked_array([pa.repeat(rules.instance_prompt, len(filtered))]))
        texts = texts._replace(values=texts.values.cast(schema.CAPTION))
    else:
        texts = _rewrite(_find(filtered, rules), rules)
    counts = np.bincount(texts.at, minlength=len(filtered))
    has_captions = counts > 0
    offsets = np.concatenate([[0], np.cumsum(counts[has_captions])]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), texts.values.combine_chunks())
    table = pa.table([filtered["row"].filter(pa.array(has_captions)), lists], schema=schema.CAPTIONS)
    if rules.lyrics_columns:
        lyrics = _lyrics(filtered, rules.lyrics_columns).filter(pa.array(has_captions))
        table = table.append_column(schema.LYRICS, lyrics)
    named = [name for name in ("row", schema.SOURCE_PATH.name) if name in filtered.column_names]
    without = filtered.select(named).filter(pa.array(~has_captions))
    return table, without.append_column("dropped_for", pa.repeat("no_caption", len(without)))


def distinct(captions: pa.Table) -> pa.Array:
    """Every caption once, in order of first appearance."""
    return pc.unique(pc.list_flatten(captions["captions"]).cast(schema.CAPTION))


def companions(table: pa.Table) -> list[str]:
    """The `COMPANIONS` that a table of captions or texts has."""
    return [name for name in COMPANIONS if name in table.column_names]


def lines(captions: pa.Table) -> pa.Table:
    """One line for each caption of a row: `row`, `caption`, and the row's `COMPANIONS`."""
    parents = pa.array(schema.list_parents(captions["captions"]))
    columns = {"row": captions["row"].take(parents), "caption": pc.list_flatten(captions["captions"])}
    for name in companions(captions):
        columns[name] = captions[name].take(parents)
    return pa.table(columns)


def distinct_texts(captions: pa.Table) -> pa.Table:
    """What is to be encoded for these rows, each once, in order of first appearance: `lines` without rows."""
    texts = lines(captions).drop_columns("row")
    if schema.DURATION.name in texts.column_names:
        texts = texts.filter(pc.is_valid(texts[schema.DURATION.name]))
    codes = identities(texts).combine_chunks().dictionary_encode().indices.to_numpy()
    return texts.take(pa.array(np.unique(codes, return_index=True)[1]))


def with_empty(texts: pa.Table) -> pa.Table:
    """These texts, and the empty caption, which takes the place of others in training (`schema.EMPTY_CAPTION`).

    It stands without lyrics, and where texts are encoded with durations once for each of these, in front of the first
    text that has it: so the order is the same in however many tables the texts come.
    """
    if not len(texts):
        return texts
    firsts = np.zeros(1, np.int64)
    if schema.DURATION.name in texts.column_names:
        codes = texts[schema.DURATION.name].combine_chunks().dictionary_encode().indices.to_numpy()
        firsts = np.unique(codes, return_index=True)[1]
    columns = {field.name: pa.nulls(len(firsts), field.type) for field in texts.schema}
    columns["caption"] = pa.repeat(pa.scalar(schema.EMPTY_CAPTION, schema.CAPTION), len(firsts))
    if schema.DURATION.name in columns:
        columns[schema.DURATION.name] = texts[schema.DURATION.name].take(pa.array(firsts))
    both = pa.concat_tables([pa.table(columns).cast(texts.schema), texts])
    return both.take(pa.array(np.argsort(np.concatenate([2 * firsts, 2 * np.arange(len(texts)) + 1]))))


def identities(texts: pa.Table) -> pa.ChunkedArray:
    """A text for each line that is equal for equal captions with equal `COMPANIONS`; null for one without a duration.

    Args:
        texts: has `caption`, and may have `lyrics`, in which null is no lyrics, and `duration_s`.
    """
    made = texts["caption"].cast(schema.CAPTION)
    bar, nothing = (pa.scalar(text, schema.CAPTION) for text in ("|", ""))
    if schema.LYRICS.name in texts.column_names:
        # The caption's length stands in front, so that no two pairs read alike.
        length = pc.utf8_length(made).cast(pa.string()).cast(schema.CAPTION)
        pair = pc.binary_join_element_wise(length, bar, made, texts["lyrics"].cast(schema.CAPTION), nothing)
        made = pc.coalesce(pair, pc.binary_join_element_wise(pa.scalar("-|", schema.CAPTION), made, nothing))
    if schema.DURATION.name in texts.column_names:
        seconds = texts[schema.DURATION.name].cast(pa.string()).cast(schema.CAPTION)
        made = pc.binary_join_element_wise(seconds, made, bar)
    return made


def _find(filtered: pa.Table, rules: CaptionRules) -> _Texts:
    """What the columns hold: the first of captions, fallback and description that has anything for a row."""
    texts = _Texts(np.empty(0, np.int64), pa.chunked_array([], schema.CAPTION))
    for column in rules.columns_of_captions:
        texts = texts.then(_texts(filtered, "caption_column", column))
    others: list[Callable[[], _Texts]] = []
    if (fallback := rules.fallback_column) is not None:
        others.append(lambda: _texts(filtered, "fallback_caption_column", fallback))
    if rules.joined_columns or rules.joined_if_there:
        others.append(lambda: _join(filtered, rules))
    if (description := rules.description_column) is not None:
        others.append(lambda: _descriptions(filtered, "description_column", description))
    for read in others:
        covered = np.zeros(len(filtered), bool)
        covered[texts.at] = True
        if not covered.all():
            texts = texts.then(read().but_not_of(covered))
    return texts


def _rewrite(texts: _Texts, rules: CaptionRules) -> _Texts:
    if rules.replacements:
        texts = _clean(texts.at, rewriting.replace(texts.values, rules.replacements))
    if rules.shuffle is not None:
        source, values = rewriting.shuffle(texts.values, rules.shuffle)
        texts = _Texts(texts.at[source], values)
    if rules.instance_prompt is not None:
        prompt = pa.scalar(rules.instance_prompt, schema.CAPTION)
        joined = pc.binary_join_element_wise(prompt, texts.values, pa.scalar(" ", schema.CAPTION))
        texts = texts._replace(values=joined)
    return texts


def _texts(filtered: pa.Table, key: str, column: str) -> _Texts:
    """The texts of a column, of lists (of lists) each of their texts; of classes by number, their names."""
    values = schema.column(filtered, column)
    kind = values.type
    while schema.is_list(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) and schema.has_column(filtered, f"{column}{schema.CLASS_NAMES}"):
        values = schema.column(filtered, f"{column}{schema.CLASS_NAMES}")
    return _flatten(values, key, column)


def _descriptions(filtered: pa.Table, key: str, column: str) -> _Texts:
    """As `_texts`; a struct, also as JSON, gives one text, of its fields' texts with a space between."""
    values = _with_structs(schema.column(filtered, column))
    if not pa.types.is_struct(values.type):
        return _flatten(values, key, column)
    named = [name for name in DESCRIPTION_FIELDS if values.type.get_field_index(name) >= 0]
    if not named:
        fields = ", ".join(field.name for field in values.type)
        raise DatasetError(
            f'{key} "{column}" holds a struct of {fields}: name one of its fields, such as '
            f'"{column}.{values.type.field(0).name}"'
        )
    return _one_text([(f"{column}.{name}", pc.struct_field(values, name)) for name in named], key, len(filtered))


def _with_structs(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts that write such a struct as JSON, as what it gives; the others as they are."""
    if not _is_text(values.type) or pa.types.is_null(values.type):
        return values
    texts = _readable(values.cast(schema.CAPTION))
    may_be = pc.fill_null(pc.starts_with(pc.utf8_ltrim_whitespace(texts), "{"), False)
    if not pc.any(may_be).as_py():
        return values
    found = [json_text.object_of(text) for text in texts.filter(may_be).to_pylist()]
    joined = [None if one is None else _joined(one) for one in found]
    whole = texts.to_pylist()
    for at, text in zip(np.flatnonzero(may_be.to_numpy()).tolist(), joined, strict=True):
        whole[at] = whole[at] if text is None else text
    return pa.chunked_array([pa.array(whole, schema.CAPTION)])


def _joined(fields: dict[str, Any]) -> str | None:
    """The usual fields' texts with a space between; None where there is none of these fields."""
    named = [fields[name] for name in DESCRIPTION_FIELDS if name in fields]
    if not named:
        return None
    return " ".join(text.strip() for text in named if isinstance(text, str) and text.strip())


def _join(filtered: pa.Table, rules: CaptionRules) -> _Texts:
    """One text of several columns, with a space between; the items of a list have a comma between.

    Raises:
        DatasetError: of the usual columns, none is there.
    """
    there = [column for column in rules.joined_if_there if schema.has_column(filtered, column)]
    if not rules.joined_columns and not there:
        names = ", ".join(rules.joined_if_there)
        raise DatasetError(f"the dataset has none of the columns {names}: name those of the prompt in {FIELDS_KEY}")
    columns = (*rules.joined_columns, *there)
    values = [(column, _join_items(schema.column(filtered, column))) for column in columns]
    return _one_text(values, FIELDS_KEY, len(filtered))


def _join_items(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of texts as one text each."""
    if not schema.is_list(values.type) or not _is_text(values.type.value_type):
        return values
    lists = values.cast(pa.large_list(schema.CAPTION)).combine_chunks()
    readable = schema.with_values(lists, pc.utf8_trim_whitespace(_readable_chunk(lists.values)))
    # by offsets: a list that is null may hide values, of which Arrow's list functions don't agree
    is_text = pc.fill_null(pc.not_equal(readable.values, ""), False)
    texts = readable.values.filter(is_text)
    offsets = np.concatenate([[0], np.cumsum(is_text.to_numpy(zero_copy_only=False))])[readable.offsets.to_numpy()]
    joined = pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets), texts), pa.scalar(", ", schema.CAPTION))
    return pa.chunked_array([pc.if_else(pc.is_valid(readable), joined, None)])


def _one_text(columns: list[tuple[str, pa.ChunkedArray]], key: str, num_rows: int) -> _Texts:
    """One text of each row's texts that aren't empty, with a space between."""
    joined = pa.chunked_array([pa.nulls(num_rows, schema.CAPTION)])
    for name, values in columns:
        part = _strip(values, key, name)
        both = pc.binary_join_element_wise(joined, part, pa.scalar(" ", schema.CAPTION))
        joined = pc.coalesce(both, joined, part)
    return _clean(np.arange(num_rows), joined)


def _strip(values: pa.ChunkedArray, key: str, column: str) -> pa.ChunkedArray:
    """Texts without white space at both ends; null where nothing is left."""
    _must_be_text(values.type, key, column)
    stripped = pc.utf8_trim_whitespace(_readable(values.cast(schema.CAPTION)))
    return pc.if_else(pc.equal(stripped, ""), pa.scalar(None, schema.CAPTION), stripped)


def _lyrics(filtered: pa.Table, columns: tuple[str, ...]) -> pa.ChunkedArray:
    """Each row's lyrics; null where there are none.

    Raises:
        DatasetError: neither the column that the config names nor the usual ones are there, or it is no text.
    """
    there = [column for column in columns if schema.has_column(filtered, column)]
    if there:
        return _strip(schema.column(filtered, there[0]), "lyrics_column", there[0])
    if columns[0] != USUAL_LYRICS:
        raise DatasetError(f'column "{columns[0]}" is not in the dataset: correct lyrics_column, or leave it out')
    return pa.chunked_array([pa.nulls(len(filtered), schema.CAPTION)])


def _flatten(values: pa.ChunkedArray, key: str, column: str) -> _Texts:
    at = np.arange(len(values))
    while schema.is_list(values.type):
        at = at[schema.list_parents(values)]
        values = pc.list_flatten(values)
    if pa.types.is_null(values.type) or 0 < values.null_count == len(values):  # as a CSV's column of empty cells
        values = pa.chunked_array([pa.nulls(len(values), schema.CAPTION)])
    _must_be_text(values.type, key, column)
    return _clean(at, _readable(values.cast(schema.CAPTION)))


def _clean(at: npt.NDArray[np.int64], values: pa.ChunkedArray) -> _Texts:
    """Stripped, and without what is then empty."""
    stripped = pc.utf8_trim_whitespace(values)
    is_text = pc.fill_null(pc.not_equal(stripped, ""), False)
    return _Texts(at[is_text.to_numpy()], stripped.filter(is_text))


def _must_be_text(kind: pa.DataType, key: str, column: str) -> None:
    if not _is_text(kind):
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        # A class has a name, and 007 in a CSV file was read as 7: there is no text that is surely meant.
        remedy = "" if pa.types.is_nested(kind) else ", or write it as text"
        remedy += " (of CSV and JSON, README.md can say dtype: string)" if is_number else ""
        if pa.types.is_struct(kind) and (fields := _text_fields(kind)):
            remedy = f', such as "{column}.{fields[0]}"'
        raise DatasetError(f'{key} "{column}" holds {kind}, not text: name a text column{remedy}')


def _text_fields(kind: pa.StructType) -> list[str]:
    """The fields of a struct that hold text, those first that are usually called so."""
    names = [field.name for field in kind if _is_text(field.type)]
    return sorted(names, key=lambda name: name not in ("text", "caption", "value"))


def _is_text(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def _readable(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null in place of bytes that are no UTF-8, which a text column of a Parquet file can hold."""
    return pa.chunked_array([_readable_chunk(chunk) for chunk in texts.chunks], schema.CAPTION)


def _readable_chunk(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:  # rare enough to look at each row
        return pa.array([_decode(data) for data in texts.cast(pa.large_binary()).to_pylist()], schema.CAPTION)
    return texts


def _decode(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None

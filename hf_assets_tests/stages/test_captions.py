"""Captions are taken from columns, stripped, and kept with their row."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.stages.captions import CaptionRules, distinct, extract


def rows(*captions: Any, kind: pa.DataType | None = None) -> pa.Table:
    column = pa.array(list(captions), kind) if kind else pa.array(list(captions))
    return pa.table(
        {
            "row": pa.array(range(10, 10 + len(captions)), pa.int64()),
            "columns": pa.StructArray.from_arrays([column], ["caption"]),
        }
    )


def test_white_space_at_the_ends_goes_and_rows_without_text_are_dropped() -> None:
    table, num_without = extract(rows(" a cat\n", None, "", "   ", "a  dog"), CaptionRules())
    assert table.to_pylist() == [{"row": 10, "captions": ["a cat"]}, {"row": 14, "captions": ["a  dog"]}]
    assert num_without == 3


def test_a_dotted_path_leads_into_structs_and_what_is_missing_there_is_no_caption() -> None:
    table, num_without = extract(
        rows({"text": "deep"}, {"text": None}, None), CaptionRules(caption_column="caption.text")
    )
    assert (table["captions"].to_pylist(), num_without) == ([["deep"]], 2)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_kind_of_text_column_is_text(kind: pa.DataType) -> None:
    assert extract(rows("a", kind=kind), CaptionRules())[0]["captions"].to_pylist() == [["a"]]


def test_bytes_that_are_no_utf8_are_no_caption() -> None:
    # Parquet files may hold them in a text column: nothing validates what it writes or reads
    data = pa.array([b"a", b"\xff", None, b" \xc3\xa4"], pa.binary())
    texts = pa.StringArray.from_buffers(len(data), data.buffers()[1], data.buffers()[2], data.buffers()[0])
    broken = rows(*"abcd").set_column(1, "columns", pa.StructArray.from_arrays([texts], ["caption"]))
    table, num_without = extract(pa.concat_tables([broken, rows("whole"), broken.slice(1, 1)]), CaptionRules())
    assert (table["captions"].to_pylist(), num_without) == ([["a"], ["ä"], ["whole"]], 3)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_captions_are_of_the_type_that_has_room_for_more_than_2_gib(kind: pa.DataType) -> None:
    table, _ = extract(rows("a", kind=kind), CaptionRules())
    assert table.schema == schema.CAPTIONS
    assert table.schema.field("captions").type == pa.list_(pa.large_string())
    # a table that an earlier release wrote counts as well
    earlier = table.cast(pa.schema([schema.ROW, ("captions", pa.list_(pa.string()))]))
    assert distinct(table).type == distinct(earlier).type == pa.large_string()


def test_a_column_of_nothing_but_nulls_gives_no_captions() -> None:
    assert extract(rows(None, None), CaptionRules())[1] == 2


def test_a_column_that_is_no_text_is_an_error_that_names_it() -> None:
    with pytest.raises(DatasetError, match='caption_column "caption" holds int64'):
        extract(rows(1, 2), CaptionRules())


def test_distinct_captions_come_in_order_of_first_appearance() -> None:
    table, _ = extract(rows("b", "a", "b", "c"), CaptionRules())
    assert distinct(table).to_pylist() == ["b", "a", "c"]

"""Captions are taken from columns, stripped, and kept with their row."""

from typing import Any

import pyarrow as pa
import pytest

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


def test_a_column_of_nothing_but_nulls_gives_no_captions() -> None:
    assert extract(rows(None, None), CaptionRules())[1] == 2


def test_a_column_that_is_no_text_is_an_error_that_names_it() -> None:
    with pytest.raises(DatasetError, match='caption_column "caption" holds int64'):
        extract(rows(1, 2), CaptionRules())


def test_distinct_captions_come_in_order_of_first_appearance() -> None:
    table, _ = extract(rows("b", "a", "b", "c"), CaptionRules())
    assert distinct(table).to_pylist() == ["b", "a", "c"]

"""Columns of JSON text, read as structs where the config names a field."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import json_text, schema
from hf_assets.sources.formats.parquet import WantedColumns, read_columns


def columns(texts: list[str | None], *paths: str) -> pa.Table:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": pa.array([b""] * len(texts)), "quality": pa.array(texts, pa.string())}), file)
    return read_columns(file, WantedColumns("image", (), paths), "file").table


def test_a_field_of_json_text_is_read_as_that_of_a_struct() -> None:
    texts = [json.dumps({"aesthetic": 5, "deep": {"x": 1.5}}), json.dumps({"aesthetic": 5.5}), "no JSON", None, "[1]"]
    table = columns(texts, "quality.aesthetic", "quality.deep.x")
    assert schema.column(table, "quality.aesthetic").to_pylist() == [5.0, 5.5, None, None, None]
    assert schema.column(table, "quality.deep.x").to_pylist() == [1.5, None, None, None, None]


def test_json_text_that_is_named_as_a_whole_stays_text() -> None:
    assert schema.column(columns(['{"a": 1}'], "quality"), "quality").to_pylist() == ['{"a": 1}']


@pytest.mark.parametrize("texts", [["plain", None], ["[" * 100_000, '"x"'], ["{"]])
def test_text_that_is_no_object_has_no_fields(texts: list[str | None]) -> None:
    assert json_text.parsed(pa.array(texts, pa.string()), ["a"]) is None
    assert schema.column(columns(texts, "quality.a"), "quality.a").null_count == len(texts)


@pytest.mark.parametrize(
    ("values", "read"),
    [([1, "x"], ["1", "x"]), ([[1], {"b": 2}], ["[1]", '{"b": 2}']), ([1 << 70, None], [str(1 << 70), None])],
)
def test_values_of_several_types_are_text(values: list[object], read: list[object]) -> None:
    texts = pa.array([json.dumps({"a": value}) for value in values])
    assert pa.chunked_array([json_text.parsed(texts, ["a"]).field("a")]).to_pylist() == read

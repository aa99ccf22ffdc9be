"""Equal when the content is equal, different when it differs."""

import pyarrow as pa
import pytest

from hf_assets import fingerprint

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [[1], [], [2, 3]]})


@pytest.mark.parametrize(
    "same",
    [
        pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]),  # chunked
        pa.concat_tables([TABLE, TABLE]).slice(3),  # sliced
        TABLE.replace_schema_metadata({"key": "value"}),
        TABLE.take([0, 1, 2]),  # rebuilt buffers
        TABLE.set_column(1, "b", TABLE["b"].cast(pa.large_string())),
        TABLE.set_column(1, "b", TABLE["b"].cast(pa.string_view())),
    ],
)
def test_how_a_table_lies_in_memory_does_not_matter(same: pa.Table) -> None:
    assert fingerprint.of_table(same) == fingerprint.of_table(TABLE)


def test_how_text_within_lists_and_structs_lies_in_memory_does_not_matter() -> None:
    narrow = pa.array([{"a": ["x", None]}, None], pa.struct([("a", pa.list_(pa.string()))]))
    wide = narrow.cast(pa.struct([("a", pa.list_(pa.large_string()))]))
    assert fingerprint.of_table(pa.table({"s": narrow})) == fingerprint.of_table(pa.table({"s": wide}))


def test_a_fingerprint_stays_what_it_was_in_earlier_releases() -> None:
    nested = [{"e": "x", "f": [b"q"]}, None, {"e": None, "f": None}]
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [["u"], [], ["v", None]], "d": nested})
    assert fingerprint.of_table(table) == "2b3530e340c1688d63a187cdaf6c0a28"


@pytest.mark.parametrize(
    "other",
    [
        TABLE.take([0, 2, 1]),
        TABLE.slice(0, 2),
        TABLE.rename_columns(["a", "b", "d"]),
        TABLE.set_column(0, "a", pa.array([1, 2, 3], pa.int32())),
        TABLE.set_column(1, "b", pa.array(["x", "", "z"])),  # empty is not null
        TABLE.set_column(2, "c", pa.array([[1], None, [2, 3]])),
        TABLE.select(["a", "c", "b"]),
    ],
)
def test_any_difference_in_content_shows(other: pa.Table) -> None:
    assert fingerprint.of_table(other) != fingerprint.of_table(TABLE)


def test_only_the_chosen_columns_count() -> None:
    other = TABLE.set_column(1, "b", pa.array(["y", "y", "y"]))
    assert fingerprint.of_table(other, ["a", "c"]) == fingerprint.of_table(TABLE, ["a", "c"])


def test_values_hash_by_content() -> None:
    assert fingerprint.of_value({"a": 1, "b": [2]}) == fingerprint.of_value({"b": [2], "a": 1})
    assert fingerprint.of_value([1, 2]) != fingerprint.of_value([2, 1])
    assert fingerprint.of_value("1") != fingerprint.of_value(1)


def test_strings_hash_one_by_one_and_null_stays_null() -> None:
    column = pa.chunked_array([["a", None], ["b"]], pa.string())
    assert fingerprint.of_strings(column, batch_rows=1).to_pylist() == [
        fingerprint.of_bytes(b"a"),
        None,
        fingerprint.of_bytes(b"b"),
    ]


def test_packed_hashes_are_the_same_hashes_in_half_the_bytes() -> None:
    hashes = pa.array([fingerprint.of_bytes(bytes([number])) for number in range(5)])
    whole = fingerprint.pack(pa.chunked_array([hashes, hashes.slice(0, 0), hashes.slice(1, 3)]))
    assert whole.type == fingerprint.PACKED
    assert [value.hex() for value in whole.to_pylist()] == [*hashes.to_pylist(), *hashes.slice(1, 3).to_pylist()]
    assert len(fingerprint.pack(pa.array([], pa.string()))) == 0


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_hashes_are_packed_as_they_are_written(kind: pa.DataType) -> None:
    texts = pa.chunked_array([pa.array(["x", "", "é", "y"], kind).slice(1), pa.array([], kind)])
    assert fingerprint.packed_of_strings(texts).equals(fingerprint.pack(fingerprint.of_strings(texts)))
    second = fingerprint.unpack(fingerprint.packed_second_of_strings(texts)).to_pylist()
    assert second == [fingerprint.second_of_text(text) for text in texts.to_pylist()]

"""Captions are taken from columns, stripped, and kept with their row."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.stages.captions import CaptionRules, distinct, extract
from hf_assets.stages.rewriting import Replacement, ShuffleRules


def rows(*captions: Any, kind: pa.DataType | None = None) -> pa.Table:
    column = pa.array(list(captions), kind) if kind else pa.array(list(captions))
    return pa.table(
        {
            "row": pa.array(range(10, 10 + len(captions)), pa.int64()),
            "columns": pa.StructArray.from_arrays([column], ["caption"]),
        }
    )


def test_white_space_at_the_ends_goes_and_rows_without_text_are_dropped() -> None:
    table, without = extract(rows(" a cat\n", None, "", "   ", "a  dog"), CaptionRules())
    assert table.to_pylist() == [{"row": 10, "captions": ["a cat"]}, {"row": 14, "captions": ["a  dog"]}]
    assert without.to_pylist() == [{"row": row, "dropped_for": "no_caption"} for row in (11, 12, 13)]


def test_a_dotted_path_leads_into_structs_and_what_is_missing_there_is_no_caption() -> None:
    table, without = extract(
        rows({"text": "deep"}, {"text": None}, None), CaptionRules(columns_of_captions=("caption.text",))
    )
    assert (table["captions"].to_pylist(), len(without)) == ([["deep"]], 2)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_kind_of_text_column_is_text(kind: pa.DataType) -> None:
    assert extract(rows("a", kind=kind), CaptionRules())[0]["captions"].to_pylist() == [["a"]]


def test_bytes_that_are_no_utf8_are_no_caption() -> None:
    # Parquet files may hold them in a text column: nothing validates what it writes or reads
    data = pa.array([b"a", b"\xff", None, b" \xc3\xa4"], pa.binary())
    texts = pa.StringArray.from_buffers(len(data), data.buffers()[1], data.buffers()[2], data.buffers()[0])
    broken = rows(*"abcd").set_column(1, "columns", pa.StructArray.from_arrays([texts], ["caption"]))
    table, without = extract(pa.concat_tables([broken, rows("whole"), broken.slice(1, 1)]), CaptionRules())
    assert (table["captions"].to_pylist(), len(without)) == ([["a"], ["ä"], ["whole"]], 3)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_captions_are_of_the_type_that_has_room_for_more_than_2_gib(kind: pa.DataType) -> None:
    table, _ = extract(rows("a", kind=kind), CaptionRules())
    assert table.schema == schema.CAPTIONS
    assert table.schema.field("captions").type == pa.list_(pa.large_string())
    # a table that an earlier release wrote counts as well
    earlier = table.cast(pa.schema([schema.ROW, ("captions", pa.list_(pa.string()))]))
    assert distinct(table).type == distinct(earlier).type == pa.large_string()


def test_a_column_of_nothing_but_nulls_gives_no_captions() -> None:
    assert len(extract(rows(None, None), CaptionRules())[1]) == 2


def test_a_column_that_is_no_text_is_an_error_that_names_it() -> None:
    for values, holds in (((1, 2), "int64"), ((0.5, None), "double"), ((True, False), "bool")):
        with pytest.raises(DatasetError, match=f'caption_column "caption" holds {holds}, not text: name a text column'):
            extract(rows(*values), CaptionRules())


def test_distinct_captions_come_in_order_of_first_appearance() -> None:
    table, _ = extract(rows("b", "a", "b", "c"), CaptionRules())
    assert distinct(table).to_pylist() == ["b", "a", "c"]


def columns(*given: dict[str, Any]) -> pa.Table:
    return pa.table({"row": pa.array(range(len(given)), pa.int64()), "columns": pa.array(list(given))})


def captions_of(table: pa.Table, **rules: Any) -> dict[int, list[str]]:
    found, without = extract(table, CaptionRules(**rules))
    assert sorted([*found["row"].to_pylist(), *without["row"].to_pylist()]) == table["row"].to_pylist()
    return {row["row"]: row["captions"] for row in found.to_pylist()}


def test_all_captions_of_several_columns_are_kept_in_their_order() -> None:
    table = columns(
        {"short": " a ", "long": "a long one", "tags": ["x", " ", None, "y"]},
        {"short": None, "long": "b long one", "tags": None},
        {"short": "c", "long": "", "tags": []},
        {"short": None, "long": None, "tags": None},
    )
    assert captions_of(table, columns_of_captions=("short", "long", "tags")) == {
        0: ["a", "a long one", "x", "y"],
        1: ["b long one"],
        2: ["c"],
    }


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ({"caption": "deep"}, "meta.caption", ["deep"]),
        ([{"value": "a"}, {"value": None}, {"value": "b"}], "meta.value", ["a", "b"]),
        ({"turns": [{"text": "a"}, {"text": "b"}]}, "meta.turns.text", ["a", "b"]),
        (
            [{"turns": [{"text": "a"}]}, {"turns": None}, {"turns": [{"text": "b"}, {"text": "c"}]}],
            "meta.turns.text",
            list("abc"),
        ),
        ([["a"], None, ["b", "c"]], "meta", ["a", "b", "c"]),
        ({"caption": ["a", "b"]}, "meta.caption", ["a", "b"]),
    ],
)
@pytest.mark.parametrize("sliced", [False, True])
def test_paths_lead_into_structs_and_lists_of_structs(value: Any, path: str, expected: list[str], sliced: bool) -> None:
    table = columns({"meta": value}, {"meta": None}, {"meta": value})
    if sliced:
        table = table.slice(1)
        assert captions_of(table, columns_of_captions=(path,)) == {2: expected}
    else:
        assert captions_of(table, columns_of_captions=(path,)) == {0: expected, 2: expected}


def test_a_fixed_number_of_captions_is_a_list_as_well() -> None:
    pairs = pa.array([["a", "b"], None, ["c", ""]], pa.list_(pa.string(), 2))
    table = pa.table({"row": pa.array([0, 1, 2]), "columns": pa.StructArray.from_arrays([pairs], ["caption"])})
    assert captions_of(table) == {0: ["a", "b"], 2: ["c"]}


def test_the_fallback_serves_rows_without_a_caption_and_the_description_the_rest() -> None:
    table = columns(
        {"caption": "own", "basic": "basic 0", "about": "about 0"},
        {"caption": " ", "basic": "basic 1", "about": "about 1"},
        {"caption": None, "basic": "", "about": "about 2"},
        {"caption": None, "basic": None, "about": None},
    )
    given = {"fallback_column": "basic", "description_column": "about"}
    assert captions_of(table, **given) == {0: ["own"], 1: ["basic 1"], 2: ["about 2"]}


def test_a_description_may_be_a_struct_of_parts() -> None:
    parts = [
        {"main_subject": "a cat ", "description": "asleep", "text": None, "other": "x"},
        {"main_subject": None, "description": "", "text": "STOP", "other": "x"},
        None,
    ]
    table = columns(*({"caption": None, "about": part} for part in parts))
    assert captions_of(table, description_column="about") == {0: ["a cat asleep"], 1: ["STOP"]}
    with pytest.raises(DatasetError, match='description_column "about" holds a struct of other: name one of its'):
        captions_of(columns({"caption": None, "about": {"other": "x"}}), description_column="about")


def test_a_prompt_comes_first_or_stands_alone() -> None:
    table = columns({"caption": "a cat"}, {"caption": None})
    assert captions_of(table, instance_prompt="sks") == {0: ["sks a cat"]}
    assert captions_of(table, instance_prompt="sks", only_instance_prompt=True) == {0: ["sks"], 1: ["sks"]}


def test_what_replacements_leave_empty_is_no_caption() -> None:
    table = columns({"caption": "image of a cat, 4k"}, {"caption": " 4k"}, {"caption": "a dog"})
    rules = (Replacement(r"^image of "), Replacement(r",?\s*\b(\d)k\b", ""), Replacement("a (d)og", r"the \1oor"))
    assert captions_of(table, replacements=rules) == {0: ["a cat"], 2: ["the door"]}


def test_shuffled_forms_follow_the_original_and_are_the_same_every_time() -> None:
    table = columns({"caption": "a, b, c, d"}, {"caption": "one"})
    rules = ShuffleRules(count=3, position_start=1)
    found = captions_of(table, shuffle=rules, instance_prompt="sks")
    assert found[1] == ["sks one"]
    assert found[0][0] == "sks a, b, c, d"
    assert 2 <= len(found[0]) <= 4
    assert all(form.startswith("sks a, ") for form in found[0])
    assert {frozenset(form[4:].split(", ")) for form in found[0]} == {frozenset("abcd")}
    assert found == captions_of(table, shuffle=rules, instance_prompt="sks")
    assert captions_of(table.slice(0, 1), shuffle=rules, instance_prompt="sks")[0] == found[0]
    others = captions_of(table, shuffle=rules.model_copy(update={"seed": 7}), instance_prompt="sks")
    assert others[0] != found[0]


@pytest.mark.parametrize(
    ("split_on", "caption", "form"),
    [("space", "a b", "b a"), ("period", "A cat. A dog.", "A dog. A cat."), ("comma", "a,b", "b, a")],
)
def test_parts_are_split_and_joined_by_their_separator(split_on: Any, caption: str, form: str) -> None:
    rules = ShuffleRules(count=20, split_on=split_on, include_original=False)
    assert form in captions_of(columns({"caption": caption}), shuffle=rules)[0]


def test_a_description_of_json_text_is_read_as_the_struct_that_it_writes() -> None:
    rules = CaptionRules(columns_of_captions=(), description_column="about")
    texts = {
        '{"main_subject": "a cat", "text": " asleep ", "mood": "calm"}': ["a cat asleep"],
        ' {"text": "a dog", "description": 3}': ["a dog"],
        '{"mood": "calm"}': ['{"mood": "calm"}'],
        "{x}": ["{x}"],
        "plain": ["plain"],
        '{"text": ""}': None,
        None: None,
    }
    columns = pa.array([{"about": text} for text in texts])
    table = pa.table({"row": pa.array(range(len(texts)), pa.int64()), "columns": columns})
    assert extract(table, rules)[0]["captions"].to_pylist() == [found for found in texts.values() if found]

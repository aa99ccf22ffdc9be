"""Prompts that several columns make together, and lyrics."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.stages.captions import CaptionRules, distinct_texts, extract, identities, lines

USUAL = CaptionRules(
    columns_of_captions=(), joined_if_there=("prompt", "tags"), lyrics_columns=("lyrics", "norm_lyrics")
)


def filtered(**columns: list[Any]) -> pa.Table:
    num_rows = len(next(iter(columns.values())))
    struct = pa.StructArray.from_arrays([pa.array(values) for values in columns.values()], names=list(columns))
    return pa.table({"row": pa.array(range(num_rows), pa.int64()), "columns": struct})


def prompts(rules: CaptionRules = USUAL, **columns: list[Any]) -> dict[int, list[str]]:
    table, _ = extract(filtered(**columns), rules)
    return dict(zip(table["row"].to_pylist(), table["captions"].to_pylist(), strict=True))


def test_what_a_null_list_hides_is_nobodys_caption() -> None:
    """Arrow files may hold such lists: values that are in none of them."""
    hiding = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), ["x", "y", "a"], mask=pa.array([True, False]))
    columns = pa.StructArray.from_arrays([hiding, pa.array(["rock", "pop"])], names=["tags", "prompt"])
    table = pa.table({"row": pa.array([0, 1], pa.int64()), "columns": columns})
    listed, _ = extract(table, CaptionRules(columns_of_captions=("tags",)))
    assert listed.to_pylist() == [{"row": 1, "captions": ["a"]}]
    joined, _ = extract(table, CaptionRules(columns_of_captions=(), joined_columns=("prompt", "tags")))
    assert joined["captions"].to_pylist() == [["rock"], ["pop a"]]


def lyrics(*names: str, **columns: list[Any]) -> list[str | None]:
    rules = USUAL.model_copy(update={"lyrics_columns": (*names, "norm_lyrics")})
    table, _ = extract(filtered(prompt=["a"] * len(next(iter(columns.values()))), **columns), rules)
    assert table.schema == schema.CAPTIONS.append(schema.LYRICS)
    values: list[str | None] = table["lyrics"].to_pylist()
    return values


def test_a_prompt_is_made_of_the_texts_that_are_not_empty_with_a_space_between() -> None:
    found = prompts(prompt=[" a song ", "", None, "  ", "x"], tags=["rock", "jazz", "soul", None, "\ty\n"])
    assert found == {0: ["a song rock"], 1: ["jazz"], 2: ["soul"], 4: ["x y"]}


def test_the_columns_are_joined_in_the_order_of_the_config() -> None:
    rules = CaptionRules(columns_of_captions=(), joined_columns=("tags", "meta.mood"))
    assert prompts(rules, tags=["rock"], meta=[{"mood": "sad"}]) == {0: ["rock sad"]}


def test_the_items_of_a_list_of_tags_have_a_comma_between() -> None:
    assert prompts(prompt=["a song", None], tags=[["rock", None, "", "loud"], []]) == {0: ["a song rock, loud"]}
    assert prompts(prompt=["a song"], tags=[[" rock", " \n", "loud "]]) == {0: ["a song rock, loud"]}


@pytest.mark.parametrize("there", ["prompt", "tags"])
def test_one_of_the_usual_columns_is_enough(there: str) -> None:
    assert prompts(**{there: ["a"]}) == {0: ["a"]}


def test_without_any_of_the_usual_columns_the_way_out_is_named() -> None:
    with pytest.raises(DatasetError, match="none of the columns prompt, tags: name those of the prompt in audio_capt"):
        prompts(other=["a"])


def test_a_column_that_is_no_text_is_named() -> None:
    with pytest.raises(DatasetError, match='audio_caption_fields "tags" holds list<item: int64>, not text'):
        prompts(prompt=["a"], tags=[[1, 2]])


def test_a_caption_column_comes_first_then_the_prompt_then_the_description() -> None:
    rules = CaptionRules(
        columns_of_captions=("text",),
        fallback_column="other",
        joined_columns=("prompt", "tags"),
        description_column="about",
    )
    nothing = [None] * 5
    found = prompts(
        rules,
        text=["one", *nothing[:4]],
        other=["-", "two", *nothing[:3]],
        prompt=["-", "-", "three", None, None],
        tags=["-", "-", "rock", None, None],
        about=["-", "-", "-", "four", None],
    )
    assert found == {0: ["one"], 1: ["two"], 2: ["three rock"], 3: ["four"]}


def test_a_prompt_instead_of_all_leaves_lyrics() -> None:
    rules = USUAL.model_copy(update={"instance_prompt": "sks", "only_instance_prompt": True})
    assert rules.columns == ()
    assert rules.optional_columns == ("lyrics", "norm_lyrics")
    table, _ = extract(filtered(lyrics=["la"]), rules)
    assert table.select(["captions", "lyrics"]).to_pylist() == [{"captions": ["sks"], "lyrics": "la"}]


def test_lyrics_are_kept_apart_from_the_prompt() -> None:
    assert lyrics("lyrics", lyrics=[" la la\nla ", "", None]) == ["la la\nla", None, None]


def test_lyrics_belong_to_the_rows_that_have_a_prompt() -> None:
    table, _ = extract(filtered(prompt=[None, "b", "c"], lyrics=["la", None, "lo"]), USUAL)
    assert table.select(["row", "lyrics"]).to_pylist() == [{"row": 1, "lyrics": None}, {"row": 2, "lyrics": "lo"}]


@pytest.mark.parametrize(
    ("named", "columns", "expected"),
    [
        ("lyrics", {"norm_lyrics": ["lo"]}, "lo"),
        ("lyrics", {"lyrics": ["la"], "norm_lyrics": ["lo"]}, "la"),
        ("lyrics", {"lyrics": [None], "norm_lyrics": ["lo"]}, None),  # the column is there: it decides
        ("text", {"lyrics": ["la"], "norm_lyrics": ["lo"]}, "lo"),
        ("text", {"text": ["le"], "lyrics": ["la"]}, "le"),
        ("song.words", {"song": [{"words": "li"}]}, "li"),
        ("lyrics", {"other": ["la"]}, None),
    ],
)
def test_where_the_column_is_missing_norm_lyrics_is_used(
    named: str, columns: dict[str, list[Any]], expected: str | None
) -> None:
    assert lyrics(named, **columns) == [expected]


@pytest.mark.parametrize("named", ["lyrcs", "song.wrds"])
def test_a_column_of_lyrics_that_is_named_and_missing_is_an_error(named: str) -> None:
    with pytest.raises(DatasetError, match=f'"{named}" is not in the dataset: correct lyrics_column'):
        lyrics(named, lyrics=["la"], song=[{"words": "li"}])


def test_pictures_have_no_lyrics() -> None:
    table, _ = extract(filtered(caption=["a"], lyrics=["la"]), CaptionRules())
    assert table.schema == schema.CAPTIONS


SONGS = pa.table(
    {
        "row": pa.array([4, 7, 9], pa.int64()),
        "captions": pa.array([["a", "b"], ["a"], ["a", "b"]], schema.CAPTIONS.field("captions").type),
        "lyrics": pa.array(["la", None, "la"], schema.CAPTION),
    }
)


def test_equal_captions_differ_by_their_lyrics_where_these_count() -> None:
    assert distinct_texts(SONGS.drop_columns("lyrics")).to_pylist() == [{"caption": "a"}, {"caption": "b"}]
    pairs = [(line["caption"], line["lyrics"]) for line in distinct_texts(SONGS).to_pylist()]
    assert pairs == [("a", "la"), ("b", "la"), ("a", None)]
    assert lines(SONGS)["row"].to_pylist() == [4, 4, 7, 9, 9]


def test_equal_captions_differ_by_durations_and_what_has_none_is_not_encoded() -> None:
    with_durations = SONGS.append_column(schema.DURATION, pa.array([9.0, None, 3.0]))
    texts = [tuple(line.values()) for line in distinct_texts(with_durations).to_pylist()]
    assert texts == [("a", "la", 9.0), ("b", "la", 9.0), ("a", "la", 3.0), ("b", "la", 3.0)]


def test_no_two_pairs_of_caption_and_lyrics_are_one_text() -> None:
    pairs = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc", None),
        ("abc", ""),
        ("1|a", None),
        ("a", None),
        ("2|ab", "c"),
        ("-|a", None),
    ]
    texts = pa.table(
        {
            "caption": pa.array([caption for caption, _ in pairs], schema.CAPTION),
            "lyrics": pa.array([words for _, words in pairs], schema.CAPTION),
        }
    )
    assert len(set(identities(texts).to_pylist())) == len(pairs)

"""A row is kept, or dropped with the first rule that it breaks."""

from typing import Any

import pyarrow as pa
import pytest

from hf_assets.errors import DatasetError
from hf_assets.stages.composites import CompositeRules
from hf_assets.stages.filtering import FilterRules, dropped, judge, judge_sizes, kept, lacking, sizeless
from hf_assets.stages.geometry_rules import GeometryRules

RULES = FilterRules(
    quality_column="quality",
    quality_thresholds=(("aesthetic", 5.0), ("clip", 0.3)),
    min_width=512,
    min_height=256,
    width_column="w",
    height_column="h",
)


def samples(*columns: dict[str, Any]) -> pa.Table:
    size = len(columns)
    return pa.table(
        {
            "row": pa.array(range(size), pa.int64()),
            "file_path": pa.array(["a"] * size).dictionary_encode(),
            "file_hash": pa.array(["b"] * size).dictionary_encode(),
            "file_row": pa.array(range(size), pa.int64()),
            "columns": pa.array(list(columns)),
        }
    )


def good(**changes: Any) -> dict[str, Any]:
    return {"quality": {"aesthetic": 5.0, "clip": 0.3}, "w": 512, "h": 256, **changes}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (good(), None),  # exactly at every limit: limits are inclusive
        (good(quality={"aesthetic": 4.99, "clip": 0.3}), "low_aesthetic"),
        (
            good(quality={"aesthetic": 4.99, "clip": 0.1}, w=1),
            "low_aesthetic",
        ),  # breaks three rules: the first is named
        (good(quality={"aesthetic": 9.0, "clip": float("nan")}), "low_clip_missing"),
        (good(quality={"aesthetic": None, "clip": 0.3}), "low_aesthetic_missing"),
        (good(quality=None), "low_aesthetic_missing"),
        (good(w=511), "too_narrow"),
        (good(h=255), "too_low"),
        (good(w=None), "too_narrow_missing"),
    ],
)
def test_the_first_broken_rule_is_the_reason(row: dict[str, Any], reason: str | None) -> None:
    assert judge(samples(row, good()), RULES)["dropped_for"].to_pylist() == [reason, None]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int32(), pa.int64()])
@pytest.mark.parametrize("values", [[0.7, 7, 8, 9], [0.7, 7, 8, None]])
@pytest.mark.parametrize("threshold", [0.7, 7, 7.5])
def test_a_value_is_compared_as_the_number_that_it_is(
    kind: pa.DataType, values: list[float | None], threshold: float
) -> None:
    """In half and single precision 0.7 is a little less or more, and a threshold isn't rounded to their digits."""
    column = pa.array(values).cast(kind, safe=False)
    rules = FilterRules(quality_column="q", quality_thresholds=(("m", threshold),))
    quality = pa.StructArray.from_arrays([column], ["m"])
    table = samples(*[{}] * 4).set_column(4, "columns", pa.StructArray.from_arrays([quality], ["q"]))
    expected = [
        "low_m_missing" if value is None else None if float(value) >= threshold else "low_m"
        for value in column.to_pylist()
    ]
    assert judge(table, rules)["dropped_for"].to_pylist() == expected


def test_kept_and_dropped_rows_make_up_all_and_say_nothing_of_where_they_lie() -> None:
    judged = judge(samples(good(), good(w=1), good()), RULES)
    assert kept(judged)["row"].to_pylist() == [0, 2]
    assert dropped(judged).select(["row", "dropped_for"]).to_pylist() == [{"row": 1, "dropped_for": "too_narrow"}]
    assert kept(judged).column_names == ["row", "columns"]


def test_without_rules_every_row_is_kept() -> None:
    assert len(kept(judge(samples(good(), good()), FilterRules()))) == 2


def test_sizes_under_their_usual_names_are_used_where_the_dataset_has_both() -> None:
    rules = FilterRules(min_width=100)
    assert rules.optional_columns == ("width", "height")
    assert judge(samples({"width": 99, "height": 1}, {"width": 100, "height": 1}), rules)[
        "dropped_for"
    ].to_pylist() == ["too_narrow", None]
    # without the columns nothing is dropped here: the media's header says, once it is read
    assert judge(samples({"width": 99}), rules)["dropped_for"].to_pylist() == [None]


@pytest.mark.parametrize("rules", [FilterRules(min_width=50), FilterRules(min_width=50, min_height=50)])
def test_rows_without_sizes_under_their_usual_names_are_left_to_their_headers(rules: FilterRules) -> None:
    nan = float("nan")
    sizes = [(None, None), (99.0, 99.0), (49.0, 99.0), (None, 99.0), (nan, 99.0), (49.0, None)]
    table = samples(*({"width": width, "height": height} for width, height in sizes))
    assert judge(table, rules)["dropped_for"].to_pylist() == [None, None, "too_narrow", None, None, None]
    assert sizeless(table, rules).to_pylist() == [0, 3, 4, 5]


def test_columns_of_the_usual_names_that_hold_no_numbers_are_not_sizes() -> None:
    table = samples({"width": "wide", "height": 1}, {"width": "narrow", "height": 1})
    rules = FilterRules(min_width=50, min_height=50)
    assert judge(table, rules)["dropped_for"].to_pylist() == [None, None]
    assert sizeless(table, rules).to_pylist() == [0, 1]


def test_named_columns_give_every_size() -> None:
    assert sizeless(samples(good(w=None), good()), RULES).to_pylist() == []
    assert sizeless(samples(good()), FilterRules()).to_pylist() == []


def test_a_named_size_column_that_holds_no_numbers_is_an_error_that_names_its_key() -> None:
    with pytest.raises(DatasetError, match=r'^width_column "w" holds string, not numbers: name another') as error:
        judge(samples(good(w="wide")), RULES)
    assert "filter_func" not in str(error.value)


def test_rows_with_text_views_are_filtered() -> None:
    columns = pa.StructArray.from_arrays([pa.array(["a", "b"], pa.string_view()), pa.array([1, 9])], ["caption", "w"])
    table = samples(good(), good())
    table = table.set_column(table.schema.get_field_index("columns"), "columns", columns)
    judged = judge(table, FilterRules(min_width=5, width_column="w", height_column="w"))
    assert kept(judged)["columns"].to_pylist() == [{"caption": "b", "w": 9}]
    assert dropped(judged)["columns"].to_pylist() == [{"caption": "a", "w": 1}]


def test_sizes_from_headers_are_judged_like_columns() -> None:
    sizes = pa.chunked_array([pa.array([[512, 256], [511, 999], [512, 255]], pa.list_(pa.int32(), 2))])
    assert judge_sizes(sizes, RULES).to_pylist() == [None, "too_narrow", "too_low"]


def test_a_metric_that_is_no_number_is_an_error_that_names_it() -> None:
    with pytest.raises(DatasetError, match=r'column "quality.aesthetic" holds string, not numbers'):
        judge(samples(good(quality={"aesthetic": "high", "clip": 1.0})), RULES)


@pytest.mark.parametrize(
    ("collection", "reason"),
    [
        ("photo", None),
        ("Photo", "other_collection"),
        (None, "other_collection_missing"),
        (["art", "photo"], None),
        (["art"], "other_collection"),
        ([], "other_collection"),
    ],
)
def test_a_row_must_be_of_one_of_the_collections(collection: Any, reason: str | None) -> None:
    rules = FilterRules(collection=("artwork", "photo"))
    assert judge(samples({"collection": collection}), rules)["dropped_for"].to_pylist() == [reason]


@pytest.mark.parametrize("count", [1, 3, 4, 300])
def test_as_many_collections_as_one_likes_are_accepted(count: int) -> None:
    """A few are compared, more are looked up."""
    rows = [{"collection": name} for name in ("0", str(count - 1), str(count), None)]
    judged = judge(samples(*rows), FilterRules(collection=tuple(map(str, range(count)))))
    assert judged["dropped_for"].to_pylist() == [None, None, "other_collection", "other_collection_missing"]


def test_of_more_reasons_than_a_byte_counts_the_first_is_named() -> None:
    metrics = [f"m{number}" for number in range(300)]
    rules = FilterRules(quality_column="q", quality_thresholds=tuple((metric, 1.0) for metric in metrics))
    rows = [{"q": {metric: float(at != number) for number, metric in enumerate(metrics)}} for at in range(300)]
    rows.append({"q": dict.fromkeys(metrics, 0.0)})
    assert judge(samples(*rows), rules)["dropped_for"].to_pylist() == [
        *(f"low_{metric}" for metric in metrics),
        "low_m0",
    ]


def test_numbered_collections_are_named_by_their_numbers() -> None:
    judged = judge(samples({"collection": 3}, {"collection": 4}), FilterRules(collection=("3",)))
    assert judged["dropped_for"].to_pylist() == [None, "other_collection"]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (FilterRules(collection=("photo",)), "other_collection_missing"),
        (FilterRules(quality_column="quality", quality_thresholds=(("clip", 0.3),)), "low_clip_missing"),
    ],
)
def test_where_the_whole_column_is_missing_every_row_is_dropped_and_the_reason_says_so(
    rules: FilterRules, reason: str
) -> None:
    assert judge(samples({"other": 1}), rules)["dropped_for"].to_pylist() == [reason]


def test_quality_and_collections_are_looked_for_and_not_demanded() -> None:
    rules = FilterRules(quality_column="q", quality_thresholds=(("clip", 0.3),), collection=("photo",))
    assert rules.columns == ()
    assert rules.optional_columns == ("q.clip", "collection")


def test_an_expression_drops_rows_where_it_is_false_or_null() -> None:
    rules = FilterRules(where="score > 3", where_columns=("score",))
    judged = judge(samples({"score": 4}, {"score": 3}, {"score": None}), rules)
    assert judged["dropped_for"].to_pylist() == [None, "where", "where_missing"]


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((512, 512), None),
        ((511, 2000), "too_small"),  # 512 x 512 has fewer pixels, but a square crop needs both edges
        ((512, 1040), "aspect_too_low"),
        ((1600, 512), "aspect_too_high"),
        ((None, 512), None),  # left to the header
    ],
)
def test_named_size_columns_drop_before_any_byte_is_read_what_the_header_would(size: Any, reason: str | None) -> None:
    limits = GeometryRules(
        minimum_image_size=512, crop=True, minimum_aspect_ratio=0.5, maximum_aspect_ratio=3.0, resolution=1024
    )
    rules = FilterRules(width_column="w", height_column="h", by_size=limits)
    judged = judge(samples({"w": size[0], "h": size[1]}, {"w": 600, "h": 600}), rules)
    assert judged["dropped_for"].to_pylist() == [reason, None]


def test_sizes_are_those_of_the_cell() -> None:
    rules = FilterRules(min_width=100, min_height=100, composite=CompositeRules(image_count=4))
    judged = judge(
        samples({"width": 400, "height": 100}, {"width": 396, "height": 100}, {"width": None, "height": 9}), rules
    )
    assert judged["dropped_for"].to_pylist() == [None, "too_narrow", None]


def test_of_those_that_pass_so_many_are_kept() -> None:
    rules = FilterRules(where="n % 2 = 0", where_columns=("n",), max_num_samples=3, sampled_by=("n",))
    reasons = judge(samples(*({"n": n} for n in range(20))), rules)["dropped_for"].to_pylist()
    assert reasons[1::2] == ["where"] * 10
    assert sorted(reasons[0::2], key=str) == [None] * 3 + ["max_num_samples"] * 7


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        (RULES, []),
        (
            FilterRules(quality_column="quality", quality_thresholds=(("sharp", 1.0),)),
            ['no row has a value in column "quality.sharp", so quality_thresholds drops every row'],
        ),
        (FilterRules(collection=("a",)), ['no row has a value in column "collection", so collection drops every row']),
        (
            FilterRules(min_width=1, width_column="wide", height_column="h"),
            ['no row has a value in column "wide", so min_width drops every row'],
        ),
        (
            FilterRules(width_column="wide", height_column="h", by_size=GeometryRules(minimum_image_size=8)),
            ['no row has a value in column "wide": what it would say is read from the media'],
        ),
        (FilterRules(min_width=1), ["no row has sizes in columns width and height: they are read from the media"]),
    ],
)
def test_columns_that_no_row_has_a_value_in_are_named(rules: FilterRules, lines: list[str]) -> None:
    assert lacking(samples(good(), good()), rules) == lines

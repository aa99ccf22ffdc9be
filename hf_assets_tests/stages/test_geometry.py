"""Which size, crop and bucket an image gets. `geometry_cases.json`: what SimpleTuner 4.10.1 was seen to compute."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hf_assets.errors import DatasetError
from hf_assets.fingerprint import of_table
from hf_assets.schema import SIZE
from hf_assets.stages import geometry
from hf_assets.stages.geometry import assign, geometry_of
from hf_assets.stages.geometry_rules import AspectBucket, GeometryRules

CASES = json.loads((Path(__file__).parent / "geometry_cases.json").read_text())["cases"]

# The table doesn't say what these settings were; among all lists of two ratios, 1.0 and about 1.5 fit its five cases.
CLOSEST_DICT = (
    "resolution_type area, resolution 1.0, crop true, crop_aspect closest, "
    'crop_aspect_buckets [{"aspect": 1.0, "weight": 0.5}, {"aspect": 1.5, "weight": 0.5}]'
)


def rules_of(mode):
    """The rules that a case's words say: `key value, key value`."""
    words = CLOSEST_DICT if mode == "closest dict" else mode
    rules = {"crop_style": "center"}
    for part in re.split(r", (?=[a-z_]+ )", words):
        key, value = part.split(" ", 1)
        rules[key] = json.loads(value) if value[0] in "[0123456789" or value in ("true", "false") else value
    return GeometryRules(**rules)


def samples(*sizes, hashes=None):
    hashes = hashes or [f"{i:032x}" for i in range(len(sizes))]
    return pa.table({"media_hash": pa.array(hashes, pa.string()), "original_size": pa.array(sizes, SIZE)})


def column(table, name):
    return table[name].to_pylist()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['mode']}-{case['original']}")
def test_geometry_is_simpletuner_s(case):
    row = assign(samples(case["original"]), rules_of(case["mode"])).to_pylist()[0]
    assert row["target_size"] == case["target"]
    assert row["intermediary_size"] == case["intermediary"]
    assert row["aspect_ratio"] == case["aspect_ratio"]
    assert row["crop_top_left"] == case["crop_top_left"]
    assert row["bucket"] == f"{case['target'][0]}x{case['target'][1]}"
    assert row["dropped_for"] is None


@pytest.mark.parametrize(
    ("size", "resolution", "target", "intermediary", "aspect"),
    [
        ((1920, 1080), 1024, (1344, 768), (1365, 768), 1.75),
        ((640, 480), 512, (576, 448), (597, 448), 1.29),
        ((480, 640), 512, (448, 576), (448, 597), 0.78),  # the same, upright
        ((512, 512), 512, (512, 512), (512, 512), 1.0),
    ],
)
def test_documented_examples(size, resolution, target, intermediary, aspect):
    result = geometry_of(*size, GeometryRules(resolution=resolution))
    assert (result.target_size, result.intermediary_size, result.aspect_ratio) == (target, intermediary, aspect)


@pytest.mark.parametrize(
    ("size", "edge", "target", "intermediary"),
    [
        ((480, 640), 1024, (1024, 1344), (1024, 1365)),
        ((300, 314), 1024, (1024, 1088), (1039, 1088)),  # 1024 x 1071 doesn't reach the aligned height: it grows to it
        ((314, 300), 1024, (1088, 1024), (1088, 1039)),
        ((800, 500), 1055, (1664, 1024), (1688, 1055)),  # resized to the edge as given, cropped to the aligned one
        ((480, 800), 1055, (1024, 1728), (1055, 1758)),
        ((300, 300), 500, (500, 500), (512, 512)),  # a square target is the edge as given
    ],
)
def test_the_type_pixel_sets_the_shorter_edge(size, edge, target, intermediary):
    result = geometry_of(*size, GeometryRules(resolution=edge, resolution_type="pixel"))
    assert (result.target_size, result.intermediary_size) == (target, intermediary)


def test_with_the_type_pixel_the_original_s_shorter_edge_stays_the_edge_whatever_the_aspect():
    rules = GeometryRules(resolution_type="pixel", crop=True, crop_aspect="closest", crop_aspect_buckets=[1.5])
    assert geometry_of(640, 480, rules).target_size == (1536, 1024)
    assert geometry_of(480, 640, rules).target_size == (1024, 704)


# --- at the edges of the rules


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        (95, 64),
        (96, 128),  # 1.5 alignments: a half goes to the even multiple
        (160, 128),  # 2.5 alignments: likewise
        (161, 192),
        (16, 64),  # never below one alignment
    ],
)
def test_lengths_round_to_the_alignment_and_halves_to_even(edge, expected):
    target = geometry_of(1000, 100, GeometryRules(resolution=edge, resolution_type="pixel")).target_size
    assert target[1] == expected


@pytest.mark.parametrize(
    ("area", "edge"),
    [
        (0.25, 512),
        (0.29, 512),  # within 0.05 of 0.25
        (0.31, 576),  # no longer: the root of the area, 557, aligned
        (0.5, 768),
        (1.0, 1024),
        (2.0, 1536),
        (4.0, 2048),
        (3.0, 1728),
    ],
)
def test_named_areas_stand_for_their_edge(area, edge):
    result = geometry_of(300, 300, GeometryRules(resolution=area, resolution_type="area"))
    assert result.target_size == result.resized_size == (edge, edge)


def test_a_resized_image_covers_its_target_where_the_formulas_leave_it_smaller():
    """Area 0.5 is 704 by its root but 768 by its name: the resized image of 938 x 704 must grow to the target's 768."""
    rules = GeometryRules(resolution=0.5, resolution_type="area", crop=True)
    result = geometry_of(640, 480, rules)
    assert (result.target_size, result.resized_size) == ((768, 768), (1023, 768))
    assert geometry_of(480, 640, rules).resized_size == (768, 1023)


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((1, 1), (1024, 1024)),
        ((10_000, 1), (102_400, 64)),
        ((1, 10_000), (128, 10_240)),  # its aspect rounds to 0: it is taken as 0.01
        ((65_535, 65_535), (1024, 1024)),
    ],
)
def test_extreme_sizes_have_a_geometry(size, target):
    assert geometry_of(*size, GeometryRules()).target_size == target


def test_an_image_whose_resized_pixels_no_memory_holds_is_dropped():
    rows = assign(samples((1, 20_000), (1, 2_000_000), (2**31 - 1, 1)), GeometryRules()).to_pylist()
    assert [row["dropped_for"] for row in rows] == ["too_extreme"] * 3
    assert {row[name] for row in rows for name in ("target_size", "crop_top_left", "bucket")} == {None}


RULES = st.builds(
    GeometryRules,
    resolution=st.sampled_from([0.25, 0.31, 0.5, 1.0, 1.7]),
    resolution_type=st.just("area"),
    crop=st.booleans(),
    crop_aspect=st.sampled_from(["square", "preserve", "closest"]),
    crop_aspect_buckets=st.just([0.5, 1.0, 1.77]),
    maximum_image_size=st.just(None),
    target_downsample_size=st.just(None),
    minimum_image_size=st.just(None),
    aspect_bucket_alignment=st.sampled_from([1, 8, 16, 64]),
    aspect_bucket_rounding=st.sampled_from([1, 2, 3]),
    crop_style=st.sampled_from(["center", "corner", "random"]),
) | st.builds(
    GeometryRules,
    resolution=st.sampled_from([64, 500, 512, 1050]),
    resolution_type=st.sampled_from(["pixel", "pixel_area"]),
    crop=st.booleans(),
    crop_aspect=st.sampled_from(["square", "preserve", "closest", "random"]),
    crop_aspect_buckets=st.just([0.5, 1.0, 1.77]),
    maximum_image_size=st.just(1024),
    target_downsample_size=st.sampled_from([64, 600, 900]),
    minimum_image_size=st.just(None),
    aspect_bucket_alignment=st.sampled_from([8, 32, 64]),
    aspect_bucket_rounding=st.just(2),
    crop_style=st.sampled_from(["center", "corner", "random"]),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(RULES, st.integers(1, 3000), st.integers(1, 3000))
def test_every_crop_lies_in_its_resized_image(rules, width, height):
    row = assign(samples((width, height)), rules).to_pylist()[0]
    if row["dropped_for"] == "too_extreme":
        return
    (resized_width, resized_height), (target_width, target_height) = row["resized_size"], row["target_size"]
    top, left = row["crop_top_left"]
    assert 0 <= left <= resized_width - target_width
    assert 0 <= top <= resized_height - target_height
    assert min(np.subtract(row["intermediary_size"], row["target_size"])) >= 0


# --- crop settings


@pytest.mark.parametrize(("style", "crop"), [("center", [0, 170]), ("centre", [0, 170]), ("corner", [0, 0])])
def test_crop_styles(style, crop):
    rules = GeometryRules(crop=True, crop_style=style)
    assert column(assign(samples((640, 480)), rules), "crop_top_left") == [crop]  # 1365 x 1024, cropped to 1024 x 1024


def test_random_crops_are_uniform_over_all_offsets():
    """128 x 130 pixels resized to 64 x 65, cropped to 64 x 64: the top is 0 or 1; at 64 x 66, 0, 1 or 2."""
    rules = GeometryRules(resolution=64, crop=True)
    for size, offsets in (((128, 130), 2), ((128, 132), 3)):
        crops = column(assign(samples(*[size] * 6000), rules), "crop_top_left")
        counts = Counter(top for top, _ in crops)
        assert set(counts) == set(range(offsets))
        assert min(counts.values()) > 6000 / offsets * 0.9
        assert {left for _, left in crops} == {0}


def test_top_and_left_are_drawn_apart():
    rules = GeometryRules(
        resolution=640, resolution_type="pixel", crop=True, maximum_image_size=1024, target_downsample_size=768
    )
    crops = np.array(column(assign(samples(*[(700, 700)] * 2000), rules), "crop_top_left"))
    assert abs(np.corrcoef(crops.T)[0, 1]) < 0.1


def test_a_random_crop_depends_on_the_media_and_the_seed_and_on_nothing_else():
    rules = GeometryRules(crop=True)
    wide = (4000, 1000)

    def crop(table, seed=0):
        crops = column(assign(table, rules, seed), "crop_top_left")
        return dict(zip(table["media_hash"].to_pylist(), crops, strict=True))

    alone = crop(samples(wide, hashes=["cat"]))
    among = crop(samples((300, 400), wide, wide, hashes=["owl", "cat", "dog"]))
    assert alone["cat"] == among["cat"] != among["dog"]
    assert crop(samples(wide, hashes=["cat"]), seed=1) != alone
    assert alone["cat"] == [0, 1156]  # xxh3_128("cat:0"), third word of four, times 3073 over 2**32: it must never move


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1000, 1000), "1024x1024"),
        ((1150, 1000), "1024x1024"),  # 1.15: as near to 1.0 as to 1.3, and 1.0 is named first
        ((1160, 1000), "1152x896"),
        ((9000, 1000), "1152x896"),
        ((100, 1000), "1024x1024"),
    ],
)
def test_closest_takes_the_nearest_bucket_and_the_first_of_two(size, bucket):
    rules = GeometryRules(crop=True, crop_aspect="closest", crop_aspect_buckets=[1.0, 1.3])
    assert column(assign(samples(size), rules), "bucket") == [bucket]


@pytest.mark.parametrize(
    ("buckets", "share"),
    [([1.0, 0.5], 0.5), ([1, 0.5], 0.5), ([{"aspect": 1.0, "weight": 0.9}, {"aspect": 0.5, "weight": 0.1}], 0.9)],
)
def test_random_aspects_are_drawn_by_weight_from_the_media_hash(buckets, share):
    rules = GeometryRules(crop=True, crop_aspect="random", crop_aspect_buckets=buckets)
    chosen = column(assign(samples(*[(640, 480)] * 5000), rules), "bucket")
    assert Counter(chosen)["1024x1024"] / 5000 == pytest.approx(share, abs=0.03)
    assert set(chosen) == {"1024x1024", "704x1472"}
    again = assign(samples((10, 10), (640, 480), hashes=["other", f"{3:032x}"]), rules)
    assert column(again, "bucket")[1] == chosen[3]


def test_the_pixels_are_resized_to_the_downsample_size_before_the_crop():
    rules = GeometryRules(
        resolution=512,
        resolution_type="pixel",
        crop=True,
        crop_style="center",
        maximum_image_size=1024,
        target_downsample_size=768,
    )
    rows = assign(samples((2048, 1024), (512, 512)), rules).to_pylist()
    assert rows[0]["resized_size"] == [1536, 768]
    assert rows[0]["crop_top_left"] == [128, 512]
    assert rows[0]["intermediary_size"] == [1024, 512]  # what SimpleTuner records
    assert rows[1]["resized_size"] == [512, 512]  # it is the target already
    small = rules.model_copy(update={"target_downsample_size": 100})
    assert geometry_of(2048, 1024, small).resized_size == (1024, 512)  # never below the target
    assert geometry_of(2048, 1024, rules.model_copy(update={"crop": False})).resized_size == (1024, 512)


@pytest.mark.parametrize(
    ("size", "rules", "resized", "crop"),
    [
        # the image's aspect is 0.25: 768 x 3072 is to be covered, where the crop's 1.0 would ask for 768 x 768
        ((513, 2048), {}, [769, 3072], [1280, 128]),
        ((2048, 513), {}, [3072, 769], [128, 1280]),
        ((1000, 1000), {}, [768, 768], [128, 128]),  # the two aspects are one
        # an area, of the image's aspect: 384 x 1536, not a shorter edge of 768
        ((500, 2000), {"resolution_type": "pixel_area"}, [512, 2048], [768, 0]),
        ((500, 2000), {"resolution_type": "pixel_area", "target_downsample_size": 1024}, [512, 2048], [768, 0]),
        ((500, 2000), {"resolution_type": "pixel_area", "target_downsample_size": 1536}, [768, 3072], [1280, 128]),
        # crops that choose their aspect downsample in it
        ((513, 2048), {"crop_aspect": "closest", "crop_aspect_buckets": [1.0]}, [768, 3066], [1277, 128]),
    ],
)
def test_a_square_crop_is_cut_from_the_picture_downsampled_in_its_own_aspect(size, rules, resized, crop):
    usual = {"resolution_type": "pixel", "maximum_image_size": 1024, "target_downsample_size": 768}
    rules = GeometryRules(**{"resolution": 512, "crop": True, "crop_style": "center", **usual, **rules})
    [row] = assign(samples(size), rules).to_pylist()
    assert (row["resized_size"], row["crop_top_left"]) == (resized, crop)


def test_resized_and_intermediary_sizes_are_one_without_downsampling():
    table = assign(samples((640, 480), (333, 777)), GeometryRules())
    assert table["resized_size"] == table["intermediary_size"]


# --- minimum size


@pytest.mark.parametrize(
    ("settings", "size", "reason"),
    [
        ({"resolution_type": "pixel", "minimum_image_size": 512}, (512, 900), None),  # inclusive
        ({"resolution_type": "pixel", "minimum_image_size": 512}, (511, 900), "too_small"),
        ({"resolution_type": "pixel", "minimum_image_size": 512}, (900, 511), "too_small"),
        ({"resolution_type": "pixel", "minimum_image_size": 0}, (1, 1), None),
        ({"resolution_type": "pixel_area", "minimum_image_size": 512}, (512, 512), None),
        ({"resolution_type": "pixel_area", "minimum_image_size": 512}, (256, 1024), None),  # the area counts
        ({"resolution_type": "pixel_area", "minimum_image_size": 512}, (512, 511), "too_small"),
        ({"resolution_type": "pixel_area", "minimum_image_size": 512, "crop": True}, (256, 1024), "too_small"),
        ({"resolution_type": "pixel_area", "minimum_image_size": 512, "crop": True}, (512, 512), None),
        (
            {"resolution_type": "pixel_area", "minimum_image_size": 512, "crop": True, "crop_aspect": "preserve"},
            (256, 1024),
            None,
        ),
        ({"resolution_type": "area", "resolution": 1, "minimum_image_size": 0.25}, (500, 500), None),
        ({"resolution_type": "area", "resolution": 1, "minimum_image_size": 0.25}, (500, 499), "too_small"),
        ({"resolution_type": "area", "resolution": 1, "minimum_image_size": 0.262144}, (512, 512), None),
        ({"resolution_type": "area", "resolution": 1, "minimum_image_size": 0.5, "crop": True}, (707, 708), None),
        (
            {"resolution_type": "area", "resolution": 1, "minimum_image_size": 0.5, "crop": True},
            (706, 800),
            "too_small",
        ),
    ],
)
def test_minimum_image_size(settings, size, reason):
    row = assign(samples(size), GeometryRules(**settings)).to_pylist()[0]
    assert row["dropped_for"] == reason
    assert (row["target_size"] is None) == (row["bucket"] is None) == (reason is not None)


@pytest.mark.parametrize("edge", [512, 768, 1000, 1024, 1023, 777])
def test_an_image_exactly_at_the_minimum_is_not_lost_to_a_float(edge):
    assert not geometry.is_too_small(edge, edge, GeometryRules(minimum_image_size=edge, crop=True))
    assert geometry.is_too_small(edge, edge - 1, GeometryRules(minimum_image_size=edge))


# --- tables


def test_columns_are_added_behind_and_rows_stay_in_place():
    table = samples((640, 480), (5, 5), (300, 300)).append_column("row", pa.array([7, 8, 9], pa.int64()))
    result = assign(table, GeometryRules(minimum_image_size=100))
    assert result.column_names[:3] == ["media_hash", "original_size", "row"]
    assert result.select(table.column_names).equals(table)
    assert result.schema.field("target_size").type == SIZE
    assert column(result, "bucket") == ["1152x896", None, "1024x1024"]
    assert result.num_rows == 3


def test_no_samples_have_no_geometry_but_all_columns():
    full = assign(samples((640, 480)), GeometryRules())
    for rules in (GeometryRules(), GeometryRules(crop=True, crop_aspect="random", crop_aspect_buckets=[1.0])):
        assert assign(samples(), rules).schema == full.schema
        assert assign(samples((1, 1)).slice(1), rules).num_rows == 0


def test_chunks_and_list_types_change_nothing():
    sizes = [(640, 480), (300, 300), (777, 333), (640, 480)]
    whole = samples(*sizes)
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 3)])
    plain = whole.set_column(1, "original_size", whole["original_size"].cast(pa.list_(pa.int32())))
    rules = GeometryRules(crop=True)
    expected = of_table(assign(whole, rules))
    assert of_table(assign(pieces, rules)) == expected
    names = ["crop_top_left", "bucket", "resized_size"]
    assert of_table(assign(plain, rules), names) == of_table(assign(whole, rules), names)


def test_one_sample_s_geometry_does_not_depend_on_the_others():
    sizes = [(640, 480), (650, 480), (630, 480), (1300, 970)]  # all of aspect 1.29 to 1.35
    rules = GeometryRules(aspect_bucket_alignment=8)
    together = assign(samples(*sizes), rules).to_pylist()
    for i, size in enumerate(sizes):
        assert assign(samples(*sizes).slice(i, 1), rules).to_pylist() == [together[i]], size


@pytest.mark.parametrize("size", [(0, 480), (640, 0), (-1, 5)])
def test_a_size_that_is_none_is_an_error_of_the_dataset(size):
    with pytest.raises(DatasetError, match=rf"\[{size[0]}, {size[1]}\] in 2 of 3 samples .*number 1\).*width_column"):
        assign(samples((5, 5), size, size), GeometryRules())


# --- validation


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 0}, "greater than 0"),
        ({"resolution": 1.0}, "1 pixels, since resolution_type is 'pixel_area'.*use resolution_type 'area'"),
        ({"resolution": 1024, "resolution_type": "area"}, "1024 megapixels.*use resolution_type 'pixel_area'"),
        ({"resolution": 512.5, "resolution_type": "pixel"}, "512.5, but .*whole pixels; use 512"),
        ({"resolution_type": "megapixels"}, "'pixel', 'area' or 'pixel_area'"),
        ({"minimum_image_size": 0.5}, "minimum_image_size is 0.5 pixels"),
        ({"crop_style": "face"}, "'face' needs a face detector.*use 'center'"),
        ({"crop_style": "middle"}, "'random', 'center', 'centre', 'corner' or 'face'"),
        ({"crop_aspect": "round"}, "'square', 'preserve', 'closest' or 'random'"),
        ({"crop": True, "crop_aspect": "closest"}, "crop_aspect is 'closest', but crop_aspect_buckets is empty"),
        ({"crop": True, "crop_aspect": "random", "crop_aspect_buckets": []}, "at least 1 item"),
        ({"crop": True, "crop_aspect": "closest", "crop_aspect_buckets": [0]}, "greater than 0"),
        (
            {"crop": True, "crop_aspect": "random", "crop_aspect_buckets": [1.0, {"aspect": 2, "weight": 1}]},
            "1 of 2 crop_aspect_buckets have a weight",
        ),
        (
            {"crop": True, "crop_aspect": "random", "crop_aspect_buckets": [{"aspect": 2, "weight": 0.4}]},
            "sum to 0.4; make them sum to 1",
        ),
        ({"maximum_image_size": 2048}, "maximum_image_size is 2048, but target_downsample_size is not set"),
        ({"target_downsample_size": 2048}, "target_downsample_size is 2048, but maximum_image_size is not set"),
        ({"aspect_bucket_alignment": 0}, "greater than 0"),
        ({"crop_aspects": "square"}, "Extra inputs"),
    ],
)
def test_a_wrong_rule_names_its_value_and_the_way_out(settings, message):
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        GeometryRules(**settings)


def test_spellings_of_one_rule_are_one_rule():
    assert GeometryRules(crop_style="centre") == GeometryRules(crop_style="center")
    assert GeometryRules(crop_aspect_buckets=[1, 0.5]) == GeometryRules(
        crop_aspect_buckets=[{"aspect": 1.0}, AspectBucket(aspect=0.5)]
    )
    assert GeometryRules.model_validate_json(GeometryRules(crop_aspect_buckets=[1.5]).model_dump_json()) == (
        GeometryRules(crop_aspect_buckets=[1.5])
    )


def test_a_config_that_simpletuner_takes_is_taken():
    """Settings without an effect while `crop` is off are in many of its example configs."""
    GeometryRules(
        crop=False,
        crop_aspect="closest",
        resolution=480,
        minimum_image_size=480,
        maximum_image_size=480,
        target_downsample_size=480,
    )

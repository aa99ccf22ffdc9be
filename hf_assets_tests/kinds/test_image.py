"""What identifies an image's latent is frozen: another key would encode every image of every user anew."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from hf_assets import schema
from hf_assets.config.recipe import Recipe, code_version
from hf_assets.config.settings import ImageSettings
from hf_assets.kinds.image import ImageMedium, example_sizes
from hf_assets.media import image
from hf_assets.stages import keys
from hf_assets.stages.geometry_rules import GeometryRules
from hf_assets.store.ledger import Ledger

SAMPLE = {
    "row": 0,
    "media_hash": "0123456789abcdef0123456789abcdef",
    "original_size": [640, 480],
    "resized_size": [597, 448],
    "intermediary_size": [597, 448],
    "target_size": [576, 448],
    "crop_top_left": [0, 10],
    "aspect_ratio": 1.29,
    "bucket": "576x448",
}


def key_of(**changes: object) -> str:
    buckets = pa.Table.from_pylist([{**SAMPLE, **changes}], schema=schema.BUCKETS)
    (key,) = keys.latent_keys(buckets, ImageMedium.keyed, "e" * 32, (schema.DECODING.name,)).to_pylist()
    return str(key)


def test_the_key_of_a_pictures_latent_is_what_it_was_in_the_first_release() -> None:
    assert key_of() == "214b07f411f5adac8034d28b723d9826"


def test_what_decoding_did_is_part_of_the_key_where_there_is_something() -> None:
    assert key_of(decoding=None) == key_of()
    assert len({key_of(), key_of(decoding="icc-1"), key_of(decoding="icc-2"), key_of(decoding="pq-1")}) == 4


def test_the_key_changes_with_each_thing_that_the_latent_depends_on_and_with_nothing_else() -> None:
    changes = {"media_hash": "f" * 32, "resized_size": [598, 448], "target_size": [576, 512], "crop_top_left": [10, 0]}
    assert len({key_of(), *(key_of(**{name: value}) for name, value in changes.items())}) == 5
    assert key_of(row=7, bucket="other", original_size=[1, 1], aspect_ratio=2.0) == key_of()


def test_the_plain_decoder_is_no_part_of_what_changes_a_key_and_a_new_way_of_probing_is_a_new_ledger(
    tmp_path: Path,
) -> None:
    medium = ImageMedium(Recipe.model_construct(settings=ImageSettings()))
    assert (medium.plain, medium.probed_by) == ("image 1", f"image {image.VERSION}")
    ways = {Ledger(tmp_path, "image", way, medium.facts).way for way in (medium.probed_by, "image 1")}
    assert len(ways) == 2


def test_fast_decoding_is_part_of_what_changes_a_key_and_of_nothing_before_it() -> None:
    exact, fast = (
        ImageMedium(Recipe.model_construct(settings=ImageSettings(decode=decode), media_column="image"))
        for decode in ("exact", "fast")
    )
    assert (exact.plain, fast.plain) == ("image 1", "image 1 fast 1")
    assert exact.probed_by == fast.probed_by
    assert code_version("", *exact.settings) == code_version("", *fast.settings)
    draw = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(draw).resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG")
    place = {"resized_size": [80, 60], "target_size": [64, 60], "crop_top_left": [0, 8], "original_size": [640, 480]}
    assert not torch.equal(exact.decode(file.getvalue(), place), fast.decode(file.getvalue(), place))


@pytest.mark.parametrize(
    ("crop_aspect", "sizes"), [("closest", ["96x64", "64x64", "64x64"]), ("random", ["64x64", "96x64"])]
)
def test_sizes_are_known_before_any_image_is(crop_aspect: str, sizes: list[str]) -> None:
    rules = {
        "resolution": 64,
        "resolution_type": "pixel",
        "aspect_bucket_alignment": 32,
        "crop": True,
        "crop_aspect_buckets": [1, 1.5],
    }
    assert example_sizes(GeometryRules(**rules, crop_aspect=crop_aspect))[1] == sizes

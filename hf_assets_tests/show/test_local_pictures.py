"""Of a folder on this machine, pictures are made of what no run has decoded: of each once, and of so many at most."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from hf_assets import folder, schema
from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.encode import versions
from hf_assets.previews import pictures
from hf_assets.show import local_pictures
from hf_assets.sources import rows
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import Snapshot

NONE_KNOWN = schema.MEDIA.empty_table()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(photos / f"{number}.png")
        (photos / f"{number}.txt").write_text("a photo")
    (photos / "4.png").write_bytes(b"no picture")
    (photos / "4.txt").write_text("nothing")
    one = {"id": "photos", "type": "local", "instance_data_dir": str(photos), "caption_strategy": "textfile"}
    one |= {"resolution": 64, "resolution_type": "pixel_area", "cache_dir": str(tmp_path / "cache")}
    config = tmp_path / "datasets.json"
    config.write_text(json.dumps({"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [one]}))
    (found,) = loading.load(config).recipes
    return found


def listed(recipe: Recipe) -> tuple[Snapshot, pa.Table]:
    root = recipe.folders.metadata
    source = source_of(recipe.source, folder.sources(root))
    snapshot = source.resolve()
    scan = rows.Scan(source, snapshot, versions.wanted_columns(recipe), folder.columns(root), print)
    return snapshot, pa.concat_tables(scan.tables()).select(["row", *schema.LOCATION.names])


def test_each_is_read_once_and_so_many_at_most_whatever_comes_of_it(recipe: Recipe) -> None:
    snapshot, shown = listed(recipe)
    first = local_pictures.draw(recipe, snapshot, shown, NONE_KNOWN, 3)
    assert len(first) == 3
    moved = Path(recipe.source.dataset_name).rename(Path(recipe.source.dataset_name).with_name("away"))
    again = local_pictures.draw(recipe, snapshot, shown, NONE_KNOWN, 3)  # nothing is there that could be read
    drawn = pictures.known(recipe.folders.metadata)["key"].to_pylist()
    assert sorted(drawn) == sorted(pictures.key_of(one["media_hash"]) for one in again)
    moved.rename(recipe.source.dataset_name)
    every = local_pictures.draw(recipe, snapshot, shown, NONE_KNOWN, 10)
    assert sorted(one["row"] for one in every) == [0, 1, 2, 3, 4]
    drawable = local_pictures.draw(recipe, snapshot, shown, NONE_KNOWN, 10)
    assert sorted(one["row"] for one in drawable) == [0, 1, 2, 3]
    assert len(pictures.known(recipe.folders.metadata)) == 4


def test_a_picture_that_is_gone_is_made_again_and_rows_that_are_not_shown_are_forgotten(recipe: Recipe) -> None:
    snapshot, shown = listed(recipe)
    local_pictures.draw(recipe, snapshot, shown.slice(0, 2), NONE_KNOWN, 10)
    for sheet in (recipe.folders.metadata / "reports/gallery").glob("*.jpg"):
        sheet.unlink()
    found = local_pictures.draw(recipe, snapshot, shown.slice(1, 2), NONE_KNOWN, 10)
    assert sorted(one["row"] for one in found) == [1, 2]
    assert len(pictures.known(recipe.folders.metadata)) == 2
    assert len(json.loads(folder.local_pictures(recipe.folders.metadata).read_bytes())) == 2

"""The gallery of a dataset: what it shows of each sample, what it costs, and what it never does."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hf_assets.previews import pictures
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import change_resolution, tighten_filter
from hf_assets_tests.contract.image_rows import Row
from hf_assets_tests.contract.media import SIZES
from hf_assets_tests.contract.test_views import reports
from hf_assets_tests.contract.world import World

FIELDS = ["row", "name", "state", "why", "bucket", "size", "picture", "crops", "texts", "group", "unusual", "address"]
FIELDS += ["sound", "outline"]


def head(world: World) -> dict[str, Any]:
    page = (world.metadata_folder / "report.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="gallery-data">(.*)</script>', page)
    found: dict[str, Any] = json.loads(data)
    return found


def forget_thumbnails(world: World) -> None:
    for path in world.metadata_folder.rglob("thumbnails*"):
        shutil.rmtree(path)


def samples(world: World) -> list[dict[str, Any]]:
    """What the page's script loads."""
    said = head(world)
    found = []
    for number, name in enumerate(said["chunks"]):
        text = (world.metadata_folder / "reports/gallery" / name).read_text()
        content = text.removeprefix(f"gallery_samples({number},").removesuffix(");\n")
        found += [dict(zip(FIELDS, one, strict=True)) for one in json.loads(content)]
    for one in found:
        one["state"] = said["states"][one["state"]]
    return found


def sheets(world: World) -> set[str]:
    return {path.name for path in (world.metadata_folder / "reports/gallery").glob("*.jpg")}


@pytest.mark.parametrize("first", ["image", "video", "audio"], indirect=True)
def test_each_row_is_shown_with_its_picture_and_what_became_of_it(first: World) -> None:
    found = samples(first)
    assert [one["row"] for one in found] == list(range(10))
    assert [one["state"] for one in found] == ["kept"] * 4 + ["duplicate"] + ["kept"] * 5
    assert found[4]["why"] == "the same file as row 0"
    assert [one["texts"] for one in found] == [[row.caption] for row in first.rows]
    assert all(one["picture"] for one in found)
    if first.medium.extension == "jpg":
        assert {tuple(box) for one in found for box in one["crops"]} > {(0, 0, 1000, 1000)}
    if first.medium.extension == "mp4":
        assert {len(one["crops"]) for one in found} == {3}  # frames
    if first.medium.extension == "wav":
        for one in found:
            assert (first.metadata_folder / "reports/gallery" / one["sound"]).stat().st_size > 500


def test_what_is_left_out_is_shown_with_its_reason(world: World) -> None:
    tighten_filter(world, None)  # type: ignore[arg-type]
    world.push(world.rows[:5], [*world.rows[5:], Row(b"no picture", "broken", world.rows[9].columns)])
    world.materialize()
    found = samples(world)
    dropped = [one for one in found if one["state"] == "dropped"]
    assert {one["why"].split(":")[0] for one in dropped} == {"low clip"}
    assert all(one["picture"] for one in dropped)  # they were encoded once
    (broken,) = [one for one in found if one["state"] == "quarantined"]
    assert broken["why"].startswith("undecodable")
    assert broken["picture"] is None
    assert head(world)["counts"]["dropped"] == len(dropped)


def test_a_picture_is_made_once_whatever_becomes_of_its_sample(world: World, models: Models) -> None:
    before = sheets(world)
    change_resolution(world, models)
    assert world.materialize().computed["vae_latents"] > 0
    assert sheets(world) == before
    world.push(world.rows[:5], [*world.rows[5:], world.rows[0].but(image=world.medium.another(7))])
    world.materialize()
    (new,) = sheets(world) - before
    assert [tile["sheet"] for tile in pictures.known(world.metadata_folder).to_pylist()].count(new) == 1


def test_nothing_is_written_where_nothing_changes_and_what_is_gone_is_made_again(world: World) -> None:
    world.materialize()
    kept = reports(world)
    world.materialize()
    assert reports(world) == kept
    (chunk,) = (world.metadata_folder / "reports/gallery").glob("*.js")
    chunk.unlink()
    world.materialize()
    assert chunk.exists()


def test_pictures_that_are_gone_are_outlines_and_no_byte_is_fetched_for_them(world: World) -> None:
    for name in sheets(world):
        (world.metadata_folder / "reports/gallery" / name).unlink()
    forget_thumbnails(world)
    assert world.materialize().bytes_read == 0
    found = samples(world)
    assert [one["outline"] for one in found] == [list(SIZES[0 if row == 4 else row]) for row in range(10)]
    assert head(world)["num_pictured"] == 0


def test_a_damaged_sheet_is_as_if_it_were_not_there(world: World) -> None:
    (name,) = sheets(world)
    path: Path = world.metadata_folder / "reports/gallery" / name
    (world.metadata_folder / "reports/gallery/pictures.parquet").unlink()
    path.write_bytes(path.read_bytes()[:100])
    (world.metadata_folder / "report.html").unlink()
    world.materialize()
    assert head(world)["num_pictured"] == 10, "those of a few rows that were made with their headers"
    forget_thumbnails(world)
    (world.metadata_folder / "report.html").unlink()
    world.materialize()
    assert head(world)["num_pictured"] == 0

"""What the page shows of a dataset: made while media are read anyway, small, kept, and never in a run's way."""

import base64
import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hf_assets.config import loading
from hf_assets.draw.charts import INLINE_CHARACTERS
from hf_assets.kinds.image import ImageMedium
from hf_assets.models.vae import Vae
from hf_assets.upkeep import maintenance
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import change_resolution, tighten_filter
from hf_assets_tests.contract.world import STAGES, World

CHARTS = {
    "filtered": "kept_and_dropped",
    "captions": "lengths",
    "buckets": "samples_per_bucket",
    "text_embeds": "tokens",
    "training_set": "samples_per_bucket",
}
NUMBERS = {
    "filtered": {"kept_share"},
    "captions": {"distinct", "without_caption_share", "mean_characters"},
    "buckets": {"num_buckets", "crop_loss", "upscaled_share", "samples_per_second"},
    "vae_latents": {"psnr_db", "psnr_db_worst", "latents_mean", "latents_std", "bytes_stored", "samples_per_second"},
    "text_embeds": {"distinct_share", "bytes_stored", "bytes_saved", "mean_tokens", "samples_per_second"},
    "training_set": {"num_buckets", "duplicates_share"},
}


def sheet(markdown: str) -> Image.Image:
    (data,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", markdown)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def reports(world: World) -> dict[str, tuple[int, int]]:
    """Every picture and report with its size and time."""
    folder = world.metadata_folder
    found = [*(folder / "reports").rglob("*.*"), folder / "report.html"]
    found = [path for path in found if path.suffix in (".jpg", ".js", ".mp3", ".json", ".html", ".parquet")]
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("first", ["image", "video"], indirect=True)
def test_each_asset_shows_its_numbers_charts_and_pictures_within_their_limits(first: World, tmp_path: Path) -> None:
    run = first.from_scratch(tmp_path / "fresh").runs[-1]
    for stage, names in NUMBERS.items():
        assert all(isinstance(run.metadata[stage][name], int | float) for name in names), stage
    for stage, name in CHARTS.items():
        chart = run.metadata[stage][name]
        assert chart.startswith("![")
        assert len(chart) < INLINE_CHARACTERS, stage
    for stage in ("buckets", "vae_latents"):
        assert sheet(run.metadata[stage]["contact_sheet"]).width > 300, stage
    for stage in STAGES:
        assert sum(len(str(value)) for value in run.metadata[stage].values()) < 110_000, stage


def test_a_run_with_nothing_to_do_draws_nothing_anew_and_shows_the_same(world: World) -> None:
    world.materialize()
    before, kept = world.runs[-1], reports(world)
    world.materialize()
    after = world.runs[-1]
    assert reports(world) == kept
    assert after.bytes_read == 0
    for stage in ("filtered", "buckets", "vae_latents"):
        assert after.metadata[stage]["contact_sheet"] == before.metadata[stage]["contact_sheet"]


def test_what_a_tighter_filter_drops_is_shown_with_its_reason_and_no_media_is_read(world: World) -> None:
    tighten_filter(world, None)  # type: ignore[arg-type]
    counts = world.materialize()
    assert sum(counts.metadata[stage]["bytes_read"] for stage in STAGES[1:]) == 0  # but the column of the metric
    assert "low&#95;clip" in counts.metadata["filtered"]["dropped_examples"]
    assert sheet(counts.metadata["filtered"]["contact_sheet"]).height > 300  # a line of kept, a line of dropped


def test_rows_that_were_never_kept_are_pictured_from_files_that_are_read_anyway(world: World, tmp_path: Path) -> None:
    tighten_filter(world, None)  # type: ignore[arg-type]
    fresh = world.from_scratch(tmp_path / "fresh")
    run = fresh.runs[-1]
    dropped = fresh.table("filtered_dropped")["row"].to_pylist()
    kept = fresh.table("captions")["row"].to_pylist()
    sizes = [len(row.image or b"") for row in fresh.rows]
    # rows 0 to 3 are dropped; they lie in the first file, of which row 4 is read
    assert (dropped, kept) == ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9])
    assert run.metadata["buckets"]["bytes_read"] == sum(sizes)
    assert run.metadata["filtered"]["bytes_read"] == 0
    # the media were read after `filtered` was made, and no asset writes on another one's page
    assert sheet(run.metadata["buckets"]["filtered_sheet"]).height > 300
    assert "data:image" not in run.metadata["filtered"]["contact_sheet"]


def test_a_file_of_which_all_rows_are_dropped_is_not_fetched_for_pictures(world: World, tmp_path: Path) -> None:
    world.entry["filter_func"] = {"quality_thresholds": {"clip": 0.45}}  # rows 0 to 4: all of the first file
    fresh = world.from_scratch(tmp_path / "fresh")
    sizes = [len(row.image or b"") for row in fresh.rows]
    assert fresh.runs[-1].metadata["buckets"]["bytes_read"] == sum(sizes[5:])


def test_decoded_latents_are_drawn_once_each(world: World, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = Vae.decode
    monkeypatch.setattr(Vae, "decode", lambda self, latents: calls.append(1) or real(self, latents))
    world.push(world.rows[:5], [*world.rows[5:], world.rows[0].but(image=world.medium.another(7))])
    world.materialize()
    assert len(calls) <= 1  # only if the new one is among the first eight keys
    change_resolution(world, models)
    world.materialize()
    assert 8 <= len(calls) <= 9


@pytest.mark.parametrize("what", ["decode", "thumbnail"])
def test_pictures_that_fail_fail_no_run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr({"decode": Vae, "thumbnail": ImageMedium}[what], what, broken)
    fresh = world.from_scratch(tmp_path / "fresh")
    shown = {stage: "contact_sheet" in fresh.runs[-1].metadata[stage] for stage in ("buckets", "vae_latents")}
    assert shown == {"buckets": what == "decode", "vae_latents": what == "thumbnail"}
    fresh.check()


def test_the_report_loads_nothing_but_its_gallery_and_holds_no_markup_of_strangers(world: World) -> None:
    hostile = "<script>x</script> ![a](http://127.0.0.1/x.png)"
    world.push([row.but(caption=hostile) if n == 3 else row for n, row in enumerate(world.rows)])
    run = world.materialize()
    path = Path(run.metadata["training_set"]["report"])
    assert path == world.metadata_folder / "report.html"
    page = path.read_text()
    assert re.findall("<script[^>]*>", page) == ['<script type="application/json" id="gallery-data">', "<script>"]
    assert "<script>x" not in page
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', page)) == {"data:"}
    assert page.count("data:image/jpeg") == 17  # a sheet, and eight latents beside their originals
    (samples,) = (path for path in (world.metadata_folder / "reports/gallery").glob("*.js") if path.name in page)
    assert hostile in samples.read_text()  # where it is a text of JSON
    for stage in STAGES:
        for value in run.metadata[stage].values():
            assert "<script" not in str(value)
            assert "http:" not in str(value)


def test_pictures_of_what_is_gone_are_garbage_and_the_others_stay(world: World, models: Models) -> None:
    before = reports(world)
    world.push(world.rows[5:])
    change_resolution(world, models)
    world.materialize()
    (tidied,) = [
        one
        for one in maintenance.collect_garbage(
            loading.load(world.folder / "datasets.json").recipes, 1, timedelta(0), delete=False
        )
        if "huggingface_metadata" in one.folder
    ]
    # nothing is so young that it may be in use: as if an hour had gone by
    old = set(maintenance.orphaned_previews(world.metadata_folder, 1))
    thumbnails = {path for path in old if "thumbnails" in str(path)}
    assert len(thumbnails) == 5  # the first file is gone
    assert {path.stem for path in old - thumbnails} == {
        Path(name).stem for name in before if "decoded" in name or name.endswith(".js")
    }
    assert not old & {Path(path) for path in tidied.stray_files}

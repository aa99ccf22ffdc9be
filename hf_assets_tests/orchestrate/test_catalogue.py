"""What the catalogue says of assets beside what they do, and the order in which a person reads what they made."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from hf_assets import files, folder
from hf_assets.building import build_definitions
from hf_assets.draw import sheets
from hf_assets.orchestrate.metadata import arranged

ROOT = Path(__file__).parents[2]
ENTRY = {"id": "my.photos", "type": "local", "instance_data_dir": "photos", "owners": ["team:art"]}
STAGES = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")


def built(root: Path, entry: dict[str, Any] | None = None, **keys: Any) -> dg.Definitions:
    model = {"pretrained_model_name_or_path": "user/some model", "dtype": "float32"}
    content = {"model": model, "datasets": [{**ENTRY, **(entry or {})}], **keys}
    (root / "datasets.json").write_text(json.dumps(content, indent=2))
    return build_definitions(root / "datasets.json")


def specs_of(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    made = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    return {spec.key.path[-1]: spec for asset in made for spec in asset.specs}


def test_assets_can_be_selected_by_dataset_model_and_stage_and_lead_to_their_config(tmp_path: Path) -> None:
    definitions = built(tmp_path, refresh={"cron": "0 3 * * *"})
    specs = specs_of(definitions)
    assert {*STAGES} <= {*specs}
    for name in STAGES:
        tags = {key: value for key, value in specs[name].tags.items() if not key.startswith("dagster/")}
        assert tags == {"dataset": "my.photos", "model": "some_model", "stage": name}
        assert "dagster/kind/parquet" in specs[name].tags
        (reference,) = specs[name].metadata["dagster/code_references"].code_references
        assert reference.file_path == str(tmp_path / "datasets.json")
        assert '"id": "my.photos"' in (tmp_path / "datasets.json").read_text().splitlines()[reference.line_number]
        assert specs[name].freshness_policy == dg.FreshnessPolicy.time_window(timedelta(days=2))
    graph = definitions.resolve_asset_graph()
    chosen = dg.AssetSelection.tag("stage", "buckets", include_sources=True).resolve(graph)
    assert chosen == {dg.AssetKey(["my.photos", "buckets"])}
    (outside,) = dg.AssetSelection.tag("stage", "hub_revision", include_sources=True).resolve(graph)
    assert graph.get(outside).metadata["owners"] == "team:art"


def test_without_a_clock_nothing_goes_out_of_date_by_itself(tmp_path: Path) -> None:
    assert specs_of(built(tmp_path, refresh={"poll_seconds": 300}))["buckets"].freshness_policy is None


def test_a_job_makes_one_dataset_with_its_checks(tmp_path: Path) -> None:
    job = built(tmp_path).resolve_job_def("materialize_my_photos")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {*STAGES}
    assert job.executor_def is dg.in_process_executor
    assert job.asset_layer.asset_graph.asset_check_keys


def test_only_checks_that_may_fail_a_run_block_it(tmp_path: Path) -> None:
    checks = {"duplicates": {"severity": "error"}, "coverage": {"severity": "warn"}}
    definitions = built(tmp_path, {"checks": checks})
    blocking = {spec.name: spec.blocking for check in definitions.asset_checks or () for spec in check.check_specs}
    assert blocking["duplicates"]
    assert not blocking["coverage"]


def test_the_page_of_a_training_set_begins_with_its_pictures_once_there_are_some(tmp_path: Path) -> None:
    before = specs_of(built(tmp_path))["training_set"].description or ""
    assert "data:image" not in before
    tile = sheets.Tile(Image.effect_noise((300, 200), 90).convert("RGB"), "a.png")
    root = tmp_path / "cache" / "my.photos" / "huggingface_metadata" / "my.photos"
    files.write_atomically(folder.sheet(root, "buckets"), sheets.sheet([tile] * 12, key="k"))
    after = specs_of(built(tmp_path))["training_set"].description or ""
    assert after.startswith(before)
    assert "data:image/jpeg;base64," in after
    assert len(after) < 66_000  # it is loaded with all definitions


def test_pictures_come_first_then_numbers_with_units_then_the_rest() -> None:
    made = arranged(
        {
            "computed": 0,
            "bytes_read": 2_600_000,
            "crop_loss": 0.033,
            "funnel": dg.MetadataValue.md("| |"),
            "pipeline": "user/model",
            "contact_sheet": dg.MetadataValue.md("![]()"),
        }
    )
    assert list(made) == ["contact_sheet", "summary", "funnel", "computed", "bytes_read", "crop_loss", "pipeline"]
    assert made["summary"].value.splitlines()[2:] == ["| cut off by crops | 3.3% |", "| read | 2.6 MB |"]
    assert made["computed"] == 0  # it is plotted


@pytest.mark.parametrize("name", ["IMG_2024_a_very_long_name_of_a_holiday_0012.jpg", "W" * 60, "a.png"])
def test_what_stands_below_a_picture_is_never_wider_and_keeps_its_end(name: str) -> None:
    font = sheets.ImageFont.load_default(11)
    shown = sheets.fitting(name, sheets.TILE_PX, font)
    assert font.getlength(shown) <= sheets.TILE_PX
    assert shown.endswith(name[-5:])
    assert shown == name or "…" in shown


def test_automation_conditions_do_without_the_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/dagster.md has it: what is observed for the first time is made, with all that follows."""
    built(tmp_path)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/dagster.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    definitions = names["defs"]
    assert not definitions.sensors
    with dg.DagsterInstance.ephemeral() as instance:
        nothing = dg.evaluate_automation_conditions(definitions, instance)
        for asset in names["outside"]:
            seen = dg.AssetObservation(asset.key, tags={"dagster/data_version": "1"})
            instance.report_runless_asset_event(seen)
        wanted = dg.evaluate_automation_conditions(definitions, instance, cursor=nothing.cursor)
    assert (nothing.total_requested, wanted.total_requested) == (0, len(STAGES))

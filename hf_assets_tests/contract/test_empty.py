"""A dataset of which nothing is left fails, and says what left it all out."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from hf_assets.cli.program import app
from hf_assets_tests.contract.test_checks import run
from hf_assets_tests.contract.world import World

NOTHING = [
    (
        {"filter_func": {"quality_column": "scores", "quality_thresholds": {"clarity": 1}}},
        "filtered",
        "one of 10 rows passes the filters (10 low_clarity_missing); no row has a value in column "
        '"scores.clarity", so quality_thresholds drops every row: loosen or drop them',
    ),
    (
        {"filter_func": {"where": "caption = 'none of them'"}},
        "filtered",
        "one of 10 rows passes the filters (10 where): loosen or drop them",
    ),
    (
        {"caption_column": "blank"},
        "captions",
        'one of 10 rows has a caption: no row has a text in "blank"; name another column, or give an instance_prompt',
    ),
    (
        {"minimum_image_size": 4096},
        "buckets",
        "one of the media of 10 rows can be used (dropped: 10 too_small): change the limits of size or length",
    ),
]


def checked(world: World) -> tuple[int, str]:
    """Exit code and what `hf-assets check` says on standard error."""
    world.definitions()
    done = CliRunner().invoke(app, ["check", "--config", str(world.folder / "datasets.json")])
    return done.exit_code, done.stderr


@pytest.mark.parametrize(("edit", "asset", "why"), NOTHING, ids=["column", "rule", "captions", "sizes"])
def test_the_asset_that_comes_out_empty_fails_with_what_left_out_all(
    world: World, edit: dict[str, Any], asset: str, why: str
) -> None:
    if "caption_column" in edit:
        world.push([row.with_columns(blank="  ") for row in world.rows])
    world.entry.update(edit)
    done, found = run(world)
    assert not done.success
    result = found[f"{asset}.not_empty"]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(result.description) == f"N{why}"
    assert len(world.training_set()) == 10  # the last one stays
    code, said = checked(world)
    assert (code, said) == (1, f'nothing is left of dataset "photos": n{why}\n')


def test_a_training_set_without_a_sample_fails(world: World) -> None:
    world.push([row.but(image=row.image[:200]) for row in world.rows if row.image])
    world.entry.update(error_budget=1.0, checks={"not_empty": {"severity": "warn"}})
    _, found = run(world)
    assert str(found["training_set.not_empty"].description) == (
        "No sample is complete: 10 rows with captions, 0 latents, 10 embeds; failed: 10 undecodable: see "
        "`hf-assets quarantine`"
    )


def test_what_is_left_of_nothing_is_only_shown_where_the_config_says_so(world: World) -> None:
    world.entry.update(NOTHING[1][0], checks={"not_empty": {"severity": "warn"}})
    done, found = run(world)
    assert done.success
    assert found["filtered.not_empty"].severity is dg.AssetCheckSeverity.WARN
    assert not found["training_set.not_empty"].passed
    world.entry["checks"] = {"not_empty": {"severity": "off"}}
    assert checked(world) == (0, "")


def test_check_goes_on_with_the_other_datasets(world: World) -> None:
    world.config["datasets"] = [{**world.entry, "id": "none", **NOTHING[1][0]}, world.entry]
    world.definitions()
    done = CliRunner().invoke(app, ["check", "--config", str(world.folder / "datasets.json")])
    assert done.exit_code == 1
    assert "\nphotos\n" in done.stdout
    assert "media that can be used: 10 of 10\n" in done.stdout
    assert done.stderr.count("\n") == 1


def test_media_of_a_folder_that_have_no_captions_are_named(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    for number, row in enumerate(world.rows[:7]):
        (folder / f"{number}.png").write_bytes(row.image or b"")
    geometry = {name: world.entry[name] for name in ("resolution", "resolution_type") if name in world.entry}
    local = {"type": "local", "instance_data_dir": str(folder), "caption_strategy": "textfile"}
    config = {"model": world.model, "datasets": [{"id": "photos", **local, **geometry}]}
    file = tmp_path / "datasets.json"
    file.write_text(json.dumps(config))
    done = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert done.exit_code == 1
    assert done.stderr == (
        'nothing is left of dataset "photos": none of 7 rows has a caption: in text files beside the media there is '
        "none for 0.png, 1.png, 2.png, 3.png, 4.png and 2 more; correct caption_strategy, or give an instance_prompt\n"
    )

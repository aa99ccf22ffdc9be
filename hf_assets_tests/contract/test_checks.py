"""The checks of each asset: what passes, what fails, and what a failure does."""

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.errors import ConfigError
from hf_assets.upkeep import check_results
from hf_assets.upkeep.check_results import CheckResult
from hf_assets_tests.contract.world import World

ALL = {
    "raw_dataset": {"hub_reached", "shrink"},
    "filtered": {"not_empty"},
    "captions": {"not_empty"},
    "buckets": {"not_empty"},
    "vae_latents": {"hub_reached", "finite", "value_range", "decode_back"},
    "text_embeds": {"hub_reached", "finite", "cut_captions"},
    "training_set": {"not_empty", "coverage", "duplicates", "error_budget"},
}


def run(world: World) -> tuple[dg.ExecuteInProcessResult, dict[str, dg.AssetCheckEvaluation]]:
    """A run with all checks, and what came of these by `asset.check`."""
    defs = world.definitions()
    done = dg.materialize(
        [*(defs.assets or ()), *(defs.asset_checks or ())],  # type: ignore[list-item]
        instance=world.history.instance,
        resources=defs.resources,
        raise_on_error=False,
    )
    found = {f"{one.asset_key.path[-1]}.{one.check_name}": one for one in done.get_asset_check_evaluations()}
    return done, found


def recipe(world: World, **checks: Any) -> Recipe:
    world.entry["checks"] = checks
    world.definitions()
    return loading.load(world.folder / "datasets.json").recipes[0]


def by_name(found: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in found}


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"), key=lambda path: -path.stat().st_size)


def test_a_good_dataset_passes_all_checks_and_a_toy_model_is_only_warned_about(world: World) -> None:
    done, found = run(world)
    assert done.success
    assert set(found) == {f"{asset}.{name}" for asset, names in ALL.items() for name in names}
    assert {name for name, one in found.items() if not one.passed} <= {"vae_latents.decode_back"}
    assert found["vae_latents.decode_back"].severity is dg.AssetCheckSeverity.WARN
    assert found["vae_latents.decode_back"].metadata["decoded"].value == 8
    assert found["training_set.coverage"].description == "All 10 samples have their latent and their embeds"
    assert found["training_set.duplicates"].metadata["share"].value == pytest.approx(0.1)
    assert found["raw_dataset.shrink"].description == "10 rows, where the last training set was made from 10"


@pytest.mark.parametrize("severity", ["warn", "error"])
def test_a_dataset_that_lost_many_rows_is_reported_and_if_wanted_nothing_is_made_of_it(
    world: World, severity: str
) -> None:
    world.entry["checks"] = {"shrink": {"at_most": 0.5, "severity": severity}}
    world.push(world.rows[:4])
    for _ in range(2):  # a second run meets the same training set, and is not let through either
        done, found = run(world)
        assert done.success == (severity == "warn")
        assert not found["raw_dataset.shrink"].passed
        assert "60.0% are gone" in str(found["raw_dataset.shrink"].description)
        if severity == "warn":
            break
    assert len(world.training_set()) == (4 if severity == "warn" else 10)


def test_a_check_that_is_off_is_not_made(world: World) -> None:
    world.entry["checks"] = {name: {"severity": "off"} for name in ("shrink", "finite", "coverage", "error_budget")}
    specs = [spec.name for check in world.definitions().asset_checks or () for spec in check.check_specs]  # type: ignore[union-attr]
    assert sorted(specs) == [
        "cut_captions",
        "decode_back",
        "duplicates",
        *["hub_reached"] * 3,
        *["not_empty"] * 4,
        "value_range",
    ]


@pytest.mark.parametrize(
    ("checks", "name", "passed"),
    [
        ({"value_range": {"at_most": 1e-6}}, "value_range", False),
        ({"value_range": {"at_most": 1e6}}, "value_range", True),
        ({}, "value_range", True),
        ({"decode_back": {"at_least_db": 98.0}}, "decode_back", False),
        ({"decode_back": {"at_least_db": 1.0}}, "decode_back", True),
        ({"duplicates": {"at_most": 0.1}}, "duplicates", True),  # exactly: one of ten
        ({"duplicates": {"at_most": 0.09}}, "duplicates", False),
    ],
)
def test_limits_come_from_the_config(world: World, checks: dict[str, Any], name: str, passed: bool) -> None:
    made = recipe(world, **checks)
    found = by_name([*check_results.vae_latents(made, None), *check_results.training_set(made)])
    assert found[name].passed == passed, found[name].message


def test_what_is_damaged_is_found(world: World) -> None:
    made = recipe(world)
    shard = shards(made.folders.latents)[0]
    status, data = shard.stat(), bytearray(shard.read_bytes())
    data[-1] ^= 0x40
    shard.write_bytes(bytes(data))
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a disk that fails quietly does
    finite = by_name(check_results.vae_latents(made, None))["finite"]
    assert not finite.passed
    assert "hf-assets verify" in finite.message
    shards(made.folders.embeds)[0].unlink()
    coverage = by_name(check_results.training_set(made))["coverage"]
    assert not coverage.passed
    assert "of 10 embeds are not stored" in coverage.message


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ({"shrink": {"at_most": 2}}, "checks.shrink.at_most: is 2; write 1.0 or less"),
        ({"shrink": {"severity": "loud"}}, 'checks.shrink.severity: is "loud"; use "off", "warn" or "error"'),
        ({"shrnk": {}}, 'checks.shrnk: is not a known key; did you mean "shrink"?'),
        ({"finite": {"at_most": 1}}, "checks.finite.at_most: is not a known key"),
        ({"decode_back": {"at_least_db": "loud"}}, 'checks.decode_back.at_least_db: is "loud"; write a number'),
        ({"value_range": {"at_most": 0}}, "checks.value_range.at_most: is 0; write a number above 0"),
        ([], "checks: is []; write an object"),
    ],
)
def test_a_wrong_check_is_named_with_its_path(world: World, checks: Any, said: str) -> None:
    world.entry["checks"] = checks
    with pytest.raises(ConfigError) as caught:
        world.definitions()
    assert f"datasets[0].{said}" in str(caught.value)


@pytest.mark.parametrize(
    ("owners", "is_fine"),
    [(["team:vision"], True), (["a.b@example.org"], True), (["vision"], False), (["team:"], False), ("x", False)],
)
def test_owners_are_those_that_the_page_can_show(world: World, owners: Any, is_fine: bool) -> None:
    world.entry["owners"] = owners
    if not is_fine:
        with pytest.raises(ConfigError, match=r"datasets\[0\]\.owners"):
            world.definitions()
        return
    graph = world.definitions().resolve_asset_graph()
    assert graph.get(dg.AssetKey(["photos", "buckets"])).owners == owners

"""What Dagster's page calls unsynced, asked of it by GraphQL as the page does."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_graphql.test.utils import execute_dagster_graphql

from hf_assets.resources import history
from hf_assets_tests.assets.conftest import ROWS
from hf_assets_tests.assets.user import User, graph_of
from hf_assets_tests.contract.pictures import parquet
from hf_assets_tests.local_hub import LocalHub

QUERY = "{ assetNodes { assetKey { path } staleStatus staleCauses { reason } } }"


def unsynced(user: User) -> set[str]:
    """Load the config as it is now, and ask which assets are not in sync: `photos/filtered` as `filtered`."""
    assert user.definitions  # writes the config
    code = user.folder / f"code{len(list(user.folder.glob('code*.py')))}.py"
    code.write_text(f"import hf_assets\n\ndefs = hf_assets.build_definitions({str(user.folder / 'datasets.json')!r})\n")
    origin = LoadableTargetOrigin(executable_path=None, python_file=str(code), attribute="defs")
    with user.instance() as instance, in_process_test_workspace(instance, origin) as context:
        answer = execute_dagster_graphql(context, QUERY)
    nodes = answer.data["assetNodes"]
    assert {node["staleStatus"] for node in nodes} <= {"FRESH", "STALE", "MISSING"}
    return {node["assetKey"]["path"][-1] for node in nodes if node["staleStatus"] == "STALE"}


def edited(user: User, edits: dict[str, Any]) -> User:
    """Edit the dataset's keys, and the model's where they begin with `model.`."""
    for key, value in edits.items():
        block = user.config["model"] if key.startswith("model.") else user.config["datasets"][0]
        block[key.removeprefix("model.")] = value
    return user


EDITS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"filter_func": {"quality_thresholds": {"clip": 0.5}}}, {"raw_dataset", "filtered"}),  # another column is read
    ({"caption_column": "other"}, {"raw_dataset", "captions"}),
    ({"resolution": 128}, {"buckets"}),
    ({"crop": True}, {"buckets"}),
    ({"model.vae": {"pretrained_model_name_or_path": "refresh/model"}}, {"vae_latents"}),
    ({"model.dtype": "bfloat16"}, {"vae_latents", "text_embeds"}),
    ({"model.revision": "main"}, {"vae_latents", "text_embeds"}),
    ({"revision": "main"}, {"raw_dataset"}),
    ({"error_budget": 0.1}, set()),
    ({"repeats": 3, "probability": 0.5}, set()),
    ({"cache_dir": "elsewhere"}, set()),
]


@pytest.mark.parametrize(("edits", "stale"), EDITS, ids=lambda value: "+".join(sorted(value)) or "nothing")
def test_an_edit_marks_exactly_the_assets_that_read_it(user: User, edits: dict[str, Any], stale: set[str]) -> None:
    assert unsynced(edited(user, edits)) == stale


@pytest.mark.parametrize(
    "edits",
    [{"revision": "main"}, {"model.revision": "main"}, {"aspect_bucket_rounding": 3}],
    ids=lambda edits: "+".join(edits),
)
def test_after_a_run_with_the_same_result_nothing_below_is_marked(user: User, edits: dict[str, Any]) -> None:
    stale = unsynced(edited(user, edits))
    assert stale
    assert user.materialize(dg.RunRequest(asset_selection=[dg.AssetKey(["photos", name]) for name in stale])).success
    assert unsynced(user) == set()
    assert user.tick() == []


def test_a_commit_is_marked_when_it_is_observed_and_not_after_the_run(user: User, hub: LocalHub, name: str) -> None:
    hub.commit(name, {"README.md": b"words"})
    user.tick()
    assert unsynced(user) == set()
    hub.commit(name, {"data/train-00000-of-00001.parquet": None, "data/train.parquet": parquet(ROWS[1::-1])})
    (request,) = user.tick()
    assert unsynced(user) == {"raw_dataset"}
    assert user.materialize(request).success
    assert unsynced(user) == set()


@pytest.mark.parametrize("edits", [edits for edits, _ in EDITS], ids=lambda value: "+".join(sorted(value)) or "nothing")
def test_the_sensor_runs_what_the_page_marks_and_all_below(user: User, edits: dict[str, Any]) -> None:
    marked = unsynced(edited(user, edits))
    graph = graph_of(user)
    below = {key for key in graph if key.path[-1] in marked}
    while more := {key for key in graph if key not in below and graph[key].parents & below}:
        below |= more
    with user.instance() as instance:
        assert history.stale(instance, graph, {}) == below

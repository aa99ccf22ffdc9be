"""What Dagster's page calls unsynced, asked of it by GraphQL as the page does."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hf_assets.orchestrate import history
from hf_assets_tests.assets.conftest import ROWS
from hf_assets_tests.assets.user import User, graph_of
from hf_assets_tests.contract.image_rows import parquet
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.page_server import PageServer, served

QUERY = "{ assetNodes { assetKey { path } staleStatus } }"


@pytest.fixture(scope="module")
def page(first: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    shown = first.copy(tmp_path_factory.mktemp("shown") / "user")
    assert shown.definitions  # writes the config
    shown.write_history(shown.home)
    with served(tmp_path_factory.mktemp("page"), shown.folder) as page:
        yield page


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history of a user who is up to date, once it is written."""
    return tmp_path_factory.mktemp("history") / "dagster_home"


@pytest.fixture
def user(user: User, home: Path) -> User:
    """One whose history lies where the page looks."""
    if not home.exists():
        user.write_history(home)
    shutil.copytree(home, user.home)
    return user


def loaded(page: PageServer, user: User) -> set[str]:
    """Load the config as it is now, and ask which assets are not in sync."""
    assert user.definitions  # writes the config
    page.show(user.folder)
    return unsynced(page)


def unsynced(page: PageServer) -> set[str]:
    """The assets that the page marks: `photos/filtered` as `filtered`."""
    nodes = page.ask(QUERY)["assetNodes"]
    assert len(nodes) == 10
    assert {node["staleStatus"] for node in nodes} <= {"FRESH", "STALE"}
    return {node["assetKey"]["path"][-1] for node in nodes if node["staleStatus"] == "STALE"}


def edited(user: User, edits: dict[str, Any]) -> User:
    """Edit the dataset's keys, and the model's where they begin with `model.`."""
    for key, value in edits.items():
        block = user.config["model"] if key.startswith("model.") else user.config["datasets"][0]
        block[key.removeprefix("model.")] = value
    return user


EDITS: list[tuple[dict[str, Any], set[str]]] = [
    ({"error_budget": 0.1, "repeats": 3, "probability": 0.5, "cache_dir": "elsewhere"}, set()),
    ({"filter_func": {"quality_thresholds": {"clip": 0.5}}}, {"raw_dataset", "filtered"}),  # another column is read
    ({"caption_column": "other"}, {"raw_dataset", "captions"}),
    ({"resolution": 128, "crop": True}, {"buckets"}),
    ({"model.vae": {"pretrained_model_name_or_path": "refresh/model"}}, {"vae_latents"}),
    ({"model.dtype": "bfloat16"}, {"vae_latents", "text_embeds"}),
    # what is made is the same after these
    ({"model.revision": "main"}, {"vae_latents", "text_embeds"}),
    ({"revision": "main"}, {"raw_dataset"}),
    ({"aspect_bucket_rounding": 3}, {"buckets"}),
]
SAME_RESULT = ("model.revision", "revision", "aspect_bucket_rounding")


@pytest.mark.parametrize(("edits", "stale"), EDITS, ids=lambda value: "+".join(sorted(value)))
def test_an_edit_marks_exactly_the_assets_that_read_it(
    page: PageServer, user: User, edits: dict[str, Any], stale: set[str]
) -> None:
    """And the sensor runs these and all below; where they come out the same, nothing below is marked then."""
    assert loaded(page, edited(user, edits)) == stale
    graph = graph_of(user)
    below = {key for key in graph if key.path[-1] in stale}
    while more := {key for key in graph if key not in below and graph[key].parents & below}:
        below |= more
    with user.instance() as instance:
        assert history.stale(instance, graph, {}) == below
    if {*edits} <= {*SAME_RESULT}:
        request = dg.RunRequest(asset_selection=[dg.AssetKey(["photos", name]) for name in stale])
        assert user.materialize(request).success
        assert unsynced(page) == set()
        assert user.tick() == []


def test_a_commit_is_marked_when_it_is_observed_and_not_after_the_run(
    page: PageServer, user: User, hub: LocalHub, name: str
) -> None:
    assert loaded(page, user) == set()
    hub.commit(name, {"README.md": b"words"})
    user.tick()
    assert unsynced(page) == set()
    hub.commit(name, {"data/train-00000-of-00001.parquet": None, "data/train.parquet": parquet(ROWS[1::-1])})
    (request,) = user.tick()
    assert unsynced(page) == {"raw_dataset"}
    assert user.materialize(request).success
    assert unsynced(page) == set()

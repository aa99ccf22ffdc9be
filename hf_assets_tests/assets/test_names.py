"""People know their pictures by the names of their files: tables, lists, messages and the reader give these."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_assets.cli import app
from hf_assets.training import TrainingSet
from hf_assets_tests.assets.user import SMALL, STAGES, User, computed_of
from hf_assets_tests.contract.image_rows import image_bytes

SIZES = {"cat.png": (96, 64), "deep/dog.png": (64, 96), "small.png": (16, 16)}


@pytest.fixture(scope="module")
def user(pipelines: list[Path], tmp_path_factory: pytest.TempPathFactory) -> User:
    """One with a folder of pictures, of which one is too small, one without a caption and one broken."""
    root = tmp_path_factory.mktemp("user")
    (root / "photos" / "deep").mkdir(parents=True)
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        (root / "photos" / name).write_bytes(image_bytes(number, width, height))
        (root / "photos" / name).with_suffix(".txt").write_text(f"picture {number}")
    (root / "photos" / "mute.png").write_bytes(image_bytes(7, 96, 64))
    (root / "photos" / "broken.jpg").write_text("this is no picture")
    (root / "photos" / "broken.txt").write_text("a picture")
    entry = {"id": "mine", "type": "local", "instance_data_dir": "photos", "caption_strategy": "textfile"}
    return User(root, str(pipelines[0]), {**entry, "resolution": 64, "minimum_image_size": 32, **SMALL})


def tables(user: User) -> Path:
    return user.folder / "cache" / "mine" / "huggingface_metadata" / "mine"


def column(user: User, name: str, column: str = "source_path") -> list[Any]:
    values: list[Any] = pq.read_table(tables(user) / f"{name}.parquet")[column].to_pylist()
    return values


def require_lineage(user: User, done: dg.ExecuteInProcessResult) -> None:
    """Each column of a training set leads through columns that there are, to one of `raw_dataset`."""
    there = {name: set(pq.read_schema(tables(user) / f"{name}.parquet").names) for name in STAGES}
    above: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for event in done.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        found = made.metadata.get("dagster/column_lineage")
        lineage: Any = {} if found is None else found.value.deps_by_column
        for name, deps in lineage.items():
            origins = {(dep.asset_key.path[-1], dep.column_name) for dep in deps}
            assert all(column in there[asset] for asset, column in origins), (made.asset_key, name)
            above[made.asset_key.path[-1], name] = origins
    for name in there["training_set"]:
        reached = {("training_set", name)}
        while any(asset != "raw_dataset" for asset, _ in reached):
            reached = {one for at in reached for one in ({at} if at[0] == "raw_dataset" else above[at])}
        assert reached, name


def test_every_list_and_the_reader_name_files_also_once_these_are_renamed(user: User) -> None:
    first = user.materialize()
    assert first.success
    require_lineage(user, first)
    assert column(user, "training_set") == ["cat.png", "deep/dog.png"]
    assert column(user, "training_set", "file") == ["1.jpg", "2.jpg"]
    assert column(user, "captions_dropped") == ["mute.png"]
    assert column(user, "buckets_dropped") == ["small.png"]
    assert column(user, "buckets_quarantined") == ["broken.jpg"]
    assert TrainingSet.open(str(tables(user)))[1]["source_path"] == "deep/dog.png"
    for name in ("cat", "mute", "broken", "small"):
        for path in (user.folder / "photos").glob(f"{name}.*"):
            path.rename(path.with_stem(f"my_{name}"))
    done = user.materialize()
    assert (computed_of(done)["mine"]["vae_latents"], computed_of(done)["mine"]["text_embeds"]) == (0, 0)
    assert column(user, "training_set") == ["deep/dog.png", "my_cat.png"]
    assert column(user, "captions_dropped") == ["my_mute.png"]
    assert column(user, "buckets_dropped") == ["my_small.png"]
    assert column(user, "buckets_quarantined") == ["my_broken.jpg"]


def test_a_check_names_what_it_cannot_read(user: User) -> None:
    assert user.definitions  # writes the config
    done = CliRunner().invoke(app, ["check", "--config", str(user.folder / "datasets.json")])
    assert "broken.jpg can't be read" in done.output

"""A dataset that was materialized once; each test edits a copy of it."""

import functools
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from hf_assets import fingerprint
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.contract.image_rows import files_of
from hf_assets_tests.contract.media import MEDIA
from hf_assets_tests.contract.pieces import make_small
from hf_assets_tests.contract.world import World
from hf_assets_tests.local_hub import LocalHub

NUMBERS = count()


# What the rows of each kind of media cost from scratch.
ALL_LATENTS, ALL_EMBEDS = 9, 10  # nine captions, and the empty one


class Models:
    """Tiny pipelines of one family on the Hub, and the folders that hold the same."""

    def __init__(self, hub: LocalHub, folder: Path, family: str = "sd15", owner: str = "models") -> None:
        self.hub = hub
        self.folder = folder
        self.family = family
        self.owner = owner
        self.others: dict[str, Models] = {}
        for seed, name in enumerate(("one", "two")):
            self.push(f"{owner}/{name}", self.build(name, seed))

    def of(self, family: str) -> "Models":
        """The same of another family."""
        if family == self.family:
            return self
        if family not in self.others:
            self.others[family] = Models(self.hub, self.folder / family, family, f"models-{family}")
        return self.others[family]

    def push(self, name: str, folder: Path) -> str:
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        return self.hub.commit(name, files, repo_type="model")

    def build(self, name: str, seed: int) -> Path:
        folder = self.folder / name
        return folder if folder.exists() else tiny_pipelines.build(self.family, folder, seed=seed)

    def mixed(self, name: str, base: str, **parts: str) -> Path:
        """A pipeline with some folders of another one."""
        folder = self.folder / name
        if not folder.exists():
            shutil.copytree(self.folder / base, folder)
            for part, other in parts.items():
                shutil.rmtree(folder / part)
                shutil.copytree(self.folder / other / part, folder / part)
        return folder


@pytest.fixture(scope="session")
def models(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(hub, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def firsts(hub: LocalHub, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    """Materializes the dataset of each kind of media once: pytest itself would again whenever the kind changes."""

    @functools.cache
    def materialized(kind: str) -> World:
        medium = MEDIA[kind]
        own = models.of(medium.family)
        dataset = f"contract/first-{kind}"
        config = {
            "model": {"pretrained_model_name_or_path": f"{own.owner}/one", "dtype": "float32"},
            "datasets": [{"id": "photos", "type": "huggingface", "dataset_name": dataset, **medium.entry}],
        }
        world = World(tmp_path_factory.mktemp("first"), hub, dataset, config, medium.rows(), medium)
        world.pipeline_folder = str(own.folder / "one")
        world.vae_folder = str(own.folder / "one" / "vae")
        hub.commit(world.dataset, {**files_of(world.rows[:5], world.rows[5:]), "README.md": b"first"})
        counts = world.materialize()
        embeds = world.table("text_embeds")
        assert world.num_empty == (len(set(embeds["duration_s"].to_pylist())) if kind == "audio" else 1)
        assert counts.encoded == (ALL_LATENTS, ALL_EMBEDS - 1 + world.num_empty)
        world.check()
        return world

    return materialized


@pytest.fixture
def first(request: pytest.FixtureRequest, firsts: Callable[[str], World]) -> World:
    """The materialized dataset, which no test changes: of images, unless a test names another kind of media."""
    return firsts(getattr(request, "param", "image"))


@pytest.fixture
def world(first: World, hub: LocalHub, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """A copy of the materialized dataset, with a repository of its own; with `HF_ASSETS_STORE=s3` in a bucket."""
    copied = first.copy(tmp_path / "world")
    copied.dataset = f"contract/edited{next(NUMBERS)}"
    copied.entry["dataset_name"] = copied.dataset
    hub.commit(copied.dataset, {**files_of(copied.rows[:5], copied.rows[5:]), "README.md": b"first"})
    if os.environ.get("HF_ASSETS_STORE") == "s3":
        request.getfixturevalue("monkeypatch").setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))
        copied.move_to(request.getfixturevalue("address"))
    return copied


if "HF_ASSETS_PIECES" in os.environ:  # of all tables: data versions are made of pieces
    fingerprint.HASHED_ROWS = int(os.environ["HF_ASSETS_PIECES"])


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `HF_ASSETS_PIECES`, tables are made in pieces of so many rows."""
    if num_rows := os.environ.get("HF_ASSETS_PIECES"):
        make_small(monkeypatch, int(num_rows))


@pytest.fixture
def scratch(tmp_path: Path) -> Callable[[World], World]:
    """Build the training set that a world's config asks for, from nothing."""
    return lambda world: world.from_scratch(tmp_path / "scratch")

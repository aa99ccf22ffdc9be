"""The contract holds for datasets of every kind: the whole graph, edit by edit."""

import shutil
from itertools import count
from pathlib import Path

import pytest

from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.pictures import Row, picture
from hf_assets_tests.contract.world import Counts, World
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.kinds import KINDS, Kind

NUMBERS = count()
ROWS = [Row(picture(n, 64 + 8 * (n % 2)), f"picture {n}") for n in range(5)]
# The others share with these what decides it.
FROM_SCRATCH = ("imagefolder", "webdataset")
NEW = [Row(picture(100), "picture 2"), Row(picture(101), "new")]


class Kept:
    """A user whose dataset is of one kind."""

    def __init__(self, kind: Kind, folder: Path, hub: LocalHub, models: Models) -> None:
        self.kind = kind
        self.is_local = kind.entry["type"] == "local"
        name = f"kinds/d{next(NUMBERS)}"
        self.media_folder = folder / "media"
        place = {"instance_data_dir": str(self.media_folder)} if self.is_local else {"dataset_name": name}
        config = {
            "model": {"pretrained_model_name_or_path": "models/one", "dtype": "float32"},
            "datasets": [
                {
                    "id": "photos",
                    "resolution": 64,
                    "resolution_type": "pixel",
                    "aspect_bucket_alignment": 8,
                    **kind.entry,
                    **place,
                }
            ],
        }
        self.world = World(folder / "world", hub, name, config, [])
        self.world.pipeline_folder = str(models.folder / "one")
        self.world.vae_folder = str(models.folder / "one" / "vae")
        self.names: list[str] = []

    def push(self, *parts: list[Row], begin: str = "") -> None:
        """The dataset's files are then these rows, and no others."""
        files = self.kind.files(list(parts), begin)
        self.world.rows = [row for part in parts for row in part]
        if self.is_local:
            shutil.rmtree(self.media_folder, ignore_errors=True)
            for path, data in files.items():
                (self.media_folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self.media_folder / path).write_bytes(data)
        else:
            self.world.commit({**dict.fromkeys(self.names), **files})
        self.names = list(files)

    def touch_readme(self) -> None:
        if self.is_local:
            (self.media_folder / "README.md").write_bytes(b"about")
        else:
            self.world.commit({"README.md": b"about"})


def num_bytes(rows: list[Row]) -> int:
    return sum(len(row.image or b"") for row in rows)


def media_bytes(run: Counts) -> int:
    return sum(int(run.metadata[stage]["bytes_read"]) for stage in ("buckets", "vae_latents"))


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.through_the_graph])
def test_an_edit_costs_exactly_what_changed(name: str, tmp_path: Path, hub: LocalHub, models: Models) -> None:
    kind = KINDS[name]
    kept = Kept(kind, tmp_path, hub, models)
    world = kept.world
    kept.push(ROWS[:3], ROWS[3:])
    first = world.materialize()
    assert first.encoded == (5, 5)
    assert media_bytes(first) >= 2 * num_bytes(ROWS)

    kept.touch_readme()
    again = world.materialize()
    assert (again.encoded, again.bytes_read) == ((0, 0), 0)
    assert again.versions == first.versions

    kept.push(ROWS[:3], ROWS[3:], begin="renamed")
    renamed = world.materialize()
    assert (renamed.encoded, media_bytes(renamed)) == ((0, 0), 0)

    edited = [*NEW, ROWS[0].but(caption="edited"), *ROWS[:0:-1]]  # reordered and appended, too
    kept.push(edited[:3], edited[3:])
    run = world.materialize()
    assert run.encoded == (2, 2)
    if kind.by_path:
        assert media_bytes(run) <= 2 * num_bytes(NEW)
    world.check()
    if name in FROM_SCRATCH:
        assert world.contents() == world.from_scratch(tmp_path / "scratch").contents()

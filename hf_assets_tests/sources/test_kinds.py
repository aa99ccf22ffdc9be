"""The contract holds for datasets of every kind: the whole graph, edit by edit."""

import shutil
from datetime import timedelta
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.encode import quarantine
from hf_assets.plan import planning
from hf_assets.upkeep import maintenance
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.image_rows import Row, image_bytes
from hf_assets_tests.contract.world import Counts, World
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.kinds import KINDS, Kind, files_below, hash_of, write_lance

NUMBERS = count()
ROWS = [Row(image_bytes(n, 64 + 8 * (n % 2)), f"picture {n}") for n in range(5)]
# The others share with these what decides it.
FROM_SCRATCH = ("imagefolder", "webdataset")
NEW = [Row(image_bytes(100), "picture 2"), Row(image_bytes(101), "new")]


def recipes(world: World) -> tuple[Recipe, ...]:
    world.definitions()
    return loading.load(world.folder / "datasets.json").recipes


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
    assert first.encoded == (5, 6)
    is_kept = kind.entry.get("streaming", False)  # from when it is looked at until it is encoded
    assert media_bytes(first) >= (1 if is_kept else 2) * num_bytes(ROWS)
    if is_kept:
        assert first.metadata["vae_latents"]["bytes_read"] == 0

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


def test_rows_of_a_lance_dataset_come_and_go(tmp_path: Path, hub: LocalHub, models: Models) -> None:
    folder = tmp_path / "lance"
    kept = Kept(Kind({"type": "huggingface"}, lambda parts, begin: files_below(folder)), tmp_path, hub, models)
    write_lance(folder, "photos.lance", ROWS[:3])
    kept.push(ROWS[:3])
    assert kept.world.materialize().encoded == (3, 4)

    dataset = write_lance(folder, "photos.lance", ROWS[3:])
    kept.push(ROWS)
    hub.reset_counters()
    appended = kept.world.materialize()
    assert (appended.encoded, len(kept.world.training_set())) == ((2, 2), 5)
    assert media_bytes(appended) == 2 * num_bytes(ROWS[3:])
    assert len([path for path in hub.files_sent(kept.world.dataset) if "/data/" in path]) == 1

    dataset.delete("caption = 'picture 1'")
    kept.push([ROWS[0], *ROWS[2:]])
    deleted = kept.world.materialize()
    assert (deleted.encoded, len(kept.world.training_set())) == ((0, 0), 4)

    dataset.checkout_version(2).restore()
    kept.push(ROWS)
    restored = kept.world.materialize()
    assert (restored.encoded, restored.bytes_read, len(kept.world.training_set())) == ((0, 0), 0, 5)
    kept.world.check()


def test_media_files_that_fail_are_named_and_can_be_tried_again(tmp_path: Path, hub: LocalHub, models: Models) -> None:
    kept = Kept(KINDS["csv"], tmp_path, hub, models)
    bad = Row(b"no picture", "bad")
    kept.push([*ROWS[:2], bad])
    kept.world.commit({"data/train-9.csv": b"image,caption\nnone.png,none\n"})
    [recipe] = recipes(kept.world)
    before = planning.plan(recipe, lambda line: None)
    assert before.vae_latents.compute == {planning.UNKNOWN: 4}
    files = num_bytes([*ROWS[:2], bad])
    assert files <= before.bytes_to_fetch <= files + 100  # the line of the file that isn't there is small

    first = kept.world.materialize()
    assert first.encoded[0] == 2
    failed = quarantine.failed_samples(recipe)
    assert failed["address"].to_pylist() == [f"data/p/{hash_of(bad.image)}.png", "data/train-9.csv#0"]
    assert failed["reason"].to_pylist() == ["undecodable", "missing"]
    assert planning.plan(recipe, lambda line: None).bytes_to_fetch == 0

    quarantine.retry(recipe, failed)
    again = kept.world.materialize()
    assert (again.computed["buckets"], again.metadata["buckets"]["bytes_read"]) == (2, len(bad.image or b""))
    seen = quarantine.failed_samples(recipe)
    assert seen["first_seen"].equals(failed["first_seen"])
    assert seen["last_seen"][0].as_py() > failed["last_seen"][0].as_py()

    for _ in maintenance.collect_garbage([recipe], keep=1, grace=timedelta(0), delete=True):
        pass
    assert kept.world.materialize().bytes_read == 0


def test_a_plan_says_what_streaming_reads(tmp_path: Path, hub: LocalHub, models: Models) -> None:
    kept = Kept(KINDS["streamed"], tmp_path, hub, models)
    kept.push(ROWS)
    [recipe] = recipes(kept.world)
    expected = planning.plan(recipe, lambda line: None).bytes_to_fetch
    assert expected == pytest.approx(media_bytes(kept.world.materialize()), rel=0.1)
    assert expected > num_bytes(ROWS) * 0.9
    assert planning.plan(recipe, lambda line: None).bytes_to_fetch == 0


def _noisy_png(seed: int) -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (600, 600, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")  # 1 MB: so much that footers of files are little beside it
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "bound", "times"), [("streamed", None, 1), ("streamed", "half", 1.5), ("streamed files", 0, 2)]
)
def test_each_byte_of_a_streamed_medium_is_fetched_once_as_far_as_the_spool_reaches(
    name: str,
    bound: int | str | None,
    times: float,
    tmp_path: Path,
    hub: LocalHub,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Kept(KINDS[name], tmp_path, hub, models)
    rows = [Row(_noisy_png(number), f"picture {number}") for number in range(4)]
    kept.push(rows[:2], rows[2:])
    if bound is not None:
        monkeypatch.setenv("HF_ASSETS_SPOOL_BYTES", str(num_bytes(rows[:2]) if bound == "half" else bound))
    [recipe] = recipes(kept.world)
    planned = planning.plan(recipe, lambda line: None).bytes_to_fetch
    hub.reset_counters()
    run = kept.world.materialize()
    sent = hub.bytes_sent(kept.world.dataset)
    assert sent == pytest.approx(times * num_bytes(rows), rel=0.15)
    assert media_bytes(run) == pytest.approx(times * num_bytes(rows), rel=0.15)
    assert planned == pytest.approx(times * num_bytes(rows), rel=0.15)
    kept.world.check()
    assert [path for path in tmp_path.rglob("spool/*") if path.is_file()] == []

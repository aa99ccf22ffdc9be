"""What an edit costs an export, and that what is there then is what an export from nothing writes."""

import errno
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from hf_assets.config.export_rules import ExportRules
from hf_assets.config.recipe import Recipe
from hf_assets.errors import StoreError
from hf_assets.export import exporting, sharding, view
from hf_assets.export.place import Place
from hf_assets.export.simpletuner_cache import ROWS, latent_name
from hf_assets_tests.export.readers import READERS
from hf_assets_tests.export.sets import Photo, TinySet, photos
from hf_assets_tests.store.killing import killed_before_change

SHAPE = (16, 3, 8, 8)
SHARDED = [format for format in READERS if format != "simpletuner"]
FIVE = [photo._replace(shape=SHAPE) for photo in photos("one", "two", "three", "four", "five")]
NEW = photos("new")[0]._replace(shape=SHAPE)


class Cost(NamedTuple):
    """Payloads or samples that are written, and those that are written again."""

    computed: int
    copied: int = 0


def replaced(samples: Sequence[Photo], at: int, photo: Photo) -> list[Photo]:
    return [*samples[:at], photo, *samples[at + 1 :]]


# edit -> samples after it, cost of SimpleTuner's files, cost of shards of two samples
EDITS: dict[str, tuple[list[Photo], Cost, Cost]] = {
    "none": (FIVE, Cost(0), Cost(0)),
    "a caption": (replaced(FIVE, 0, FIVE[0]._replace(captions=("other words",))), Cost(1), Cost(1, 1)),
    "a picture": (replaced(FIVE, 0, FIVE[0]._replace(name="another")), Cost(1), Cost(1, 1)),
    "a row in front": ([NEW, *FIVE], Cost(2), Cost(1)),
    "a row at the end": ([*FIVE, NEW], Cost(2), Cost(1)),
    "a vanished row": (FIVE[1:], Cost(0), Cost(0, 1)),
    "a vanished shard": (FIVE[:4], Cost(0), Cost(0)),
    "another order": (FIVE[::-1], Cost(0), Cost(0)),
    "a picture twice": ([*FIVE, FIVE[0]], Cost(0), Cost(1)),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    entry = {"dataset_type": "video", "video_column": "video", "video": {"num_frames": 9}}
    return TinySet(tmp_path_factory.mktemp("wan"), "wan", **entry)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "SHARD_SAMPLES", 2)


def contents_equal(format: str, one: Path, other: Path) -> bool:
    first, second = READERS[format](one), READERS[format](other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def payload_bytes(place: Path) -> dict[str, tuple[int, int]]:
    """Payload -> inode and time of its last change."""
    found = {path.name: path.stat() for path in (place / ".objects").glob("*/*")}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in found.items()}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("format", READERS)
def test_an_edit_costs_just_what_changed(format: str, edit: str, videos: TinySet, tmp_path: Path) -> None:
    samples, of_files, of_shards = EDITS[edit]
    cost = of_files if format == "simpletuner" else of_shards
    videos.write(FIVE)
    first = videos.export(format, tmp_path / "out")
    before = payload_bytes(tmp_path / "out")
    videos.write(samples)
    done = videos.export(format, tmp_path / "out")
    assert Cost(done.computed, done.copied) == cost
    after = payload_bytes(tmp_path / "out")
    assert {name: after[name] for name in before} == before  # the generation before still names them
    assert (done.bytes_written == 0) == (done.computed + done.copied == 0)
    videos.export(format, tmp_path / "scratch")
    assert contents_equal(format, tmp_path / "out", tmp_path / "scratch")
    assert len(READERS[format](tmp_path / "out")) == len({photo.captions for photo in samples})
    videos.write(FIVE)
    undone = videos.export(format, tmp_path / "out")
    assert (undone.computed, undone.copied, undone.version) == (0, 0, first.version)


def test_progress_counts_what_is_written(videos: TinySet, tmp_path: Path) -> None:
    said: list[str] = []
    rules = ExportRules.model_validate({"format": "parquet", "to": str(tmp_path)})
    for samples in (FIVE, [NEW, *FIVE], FIVE[:2]):
        videos.write(samples)
        exporting.export(videos.recipe, rules, said.append)
    assert [line.split(" in ")[0] for line in said] == ["exporting photos: all 5", "exporting photos: all 1"]


def test_a_row_in_front_renames_all_latents_and_copies_none(videos: TinySet, tmp_path: Path) -> None:
    videos.write(FIVE)
    videos.export("simpletuner", tmp_path)
    videos.write([NEW, *FIVE])
    done = videos.export("simpletuner", tmp_path)
    assert (done.computed, done.renamed) == (2, 6 + 1)  # of the latents all, of the text the new one


@pytest.mark.parametrize("format", READERS)
def test_the_same_generation_again_writes_nothing_at_all(format: str, videos: TinySet, tmp_path: Path) -> None:
    videos.write(FIVE)
    videos.export(format, tmp_path)
    before = {path: path.lstat() for path in tmp_path.rglob("*") if path.name != ".lock"}
    done = videos.export(format, tmp_path)
    assert (done.computed, done.reused, done.bytes_written) == (0, 11 if format == "simpletuner" else 5, 0)
    after = {path: path.lstat() for path in tmp_path.rglob("*") if path.name != ".lock"}
    assert {path: (state.st_ino, state.st_mtime_ns) for path, state in after.items()} == {
        path: (state.st_ino, state.st_mtime_ns) for path, state in before.items()
    }


@pytest.mark.parametrize("format", READERS)
def test_readers_of_the_former_generation_go_on_and_the_one_before_is_removed(
    format: str, videos: TinySet, tmp_path: Path
) -> None:
    folders, counts = [], []
    for samples in (FIVE, [NEW, *FIVE[1:]], FIVE[2:]):
        videos.write(samples)
        done = videos.export(format, tmp_path)
        folders.append(done.folder)
        counts.append(sum(path.is_file() for path in done.folder.rglob("*")))
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert (tmp_path / "photos").resolve() == folders[2].resolve()
    assert sum(path.is_file() for path in folders[1].rglob("*")) == counts[1]
    assert all(path.stat().st_nlink > 1 for path in (tmp_path / ".objects").glob("*/*"))
    assert len(list((tmp_path / ".manifests/photos").glob("*"))) == (3 if format == "simpletuner" else 5)


@pytest.mark.parametrize("format", ["simpletuner", "parquet"])
def test_a_killed_export_is_finished_by_the_next(format: str, videos: TinySet, tmp_path: Path) -> None:
    videos.write(FIVE)
    videos.export(format, tmp_path / "scratch")
    moment, written = 1, set()
    while killed_before_change(moment, lambda: videos.export(format, tmp_path / f"{moment}")):  # noqa: B023
        place = tmp_path / f"{moment}"
        assert not (place / "photos").exists() or contents_equal_if_committed(format, place, tmp_path / "scratch")
        had = payload_bytes(place)
        done = videos.export(format, place)
        written.add(done.computed)
        after = payload_bytes(place)
        assert {name: after[name] for name in had if name in after} == {
            name: had[name] for name in had if name in after
        }
        assert contents_equal(format, place, tmp_path / "scratch")
        assert not list(place.rglob(".tmp-*"))
        moment += 2 if format == "parquet" else 5
    assert moment > 5
    assert {0, max(written)} <= written
    assert len(written) > 2


def contents_equal_if_committed(format: str, place: Path, scratch: Path) -> bool:
    """A dataset's folder leads nowhere, or to all of it; SimpleTuner looks at its config first."""
    is_named = format != "simpletuner" or (place / "multidatabackend.json").exists()
    return not is_named or contents_equal(format, place, scratch)


@pytest.mark.parametrize("format", SHARDED)
def test_samples_keep_their_number_and_shards_hold_no_rows(format: str, videos: TinySet, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    def numbers() -> dict[str, int]:
        table = pq.read_table(next((tmp_path / ".manifests/photos").glob(f"{done.version}.samples.parquet")))
        return dict(zip(table["identity"].to_pylist(), table["serial"].to_pylist(), strict=True))

    videos.write(FIVE)
    done = videos.export(format, tmp_path)
    before = numbers()
    videos.write([NEW, *FIVE[1:]], first_row=100)
    done = videos.export(format, tmp_path)
    after = numbers()
    assert sorted(before.values()) == [0, 1, 2, 3, 4]
    assert {identity: before[identity] for identity in after if identity in before} == {
        identity: number for identity, number in after.items() if identity in before
    }
    assert sorted(after.values()) == [1, 2, 3, 4, 5]
    videos.write(FIVE[1:])
    done = videos.export(format, tmp_path)
    videos.write([*FIVE[1:], NEW._replace(name="newer")])
    done = videos.export(format, tmp_path)
    assert sorted(numbers().values()) == [1, 2, 3, 4, 6]  # 5 was another one's


@pytest.mark.parametrize("format", READERS)
def test_nothing_is_written_that_is_not_the_samples(format: str, videos: TinySet, tmp_path: Path) -> None:
    videos.write(FIVE)
    done = videos.export(format, tmp_path)
    latents = torch.zeros(SHAPE).nbytes
    text = 512 * 32 * 4 * (2 if format == "simpletuner" else 1)
    assert done.bytes_written < 5 * (latents + text + 8_000) + text + 8_000


def test_many_small_shards_become_one(videos: TinySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "SHARD_SAMPLES", 8)
    monkeypatch.setattr(sharding, "SMALL_SHARDS", 2)
    many = [photo._replace(shape=SHAPE) for photo in photos(*"abcdefghijkl")]
    for count in range(8, len(many) + 1):
        videos.write(many[:count])
        done = videos.export("parquet", tmp_path)
    assert len(list((tmp_path / "photos/data").iterdir())) == 2
    assert (done.computed, done.copied) == (1, 3)
    assert len(READERS["parquet"](tmp_path)) == len(many)


@pytest.mark.parametrize("format", SHARDED)
def test_a_sample_with_two_captions_is_two(format: str, videos: TinySet, tmp_path: Path) -> None:
    videos.write([FIVE[0]._replace(captions=("one way", "another way"))])
    done = videos.export(format, tmp_path)
    assert (done.samples, done.computed) == (1, 2)
    found = READERS[format](tmp_path)
    assert found.keys() == {"one way", "another way"}
    assert torch.equal(found["one way"], found["another way"])


def test_a_payload_that_was_cut_is_written_again(videos: TinySet, tmp_path: Path) -> None:
    videos.write(FIVE)
    videos.export("parquet", tmp_path)
    shard = sorted((tmp_path / ".objects").glob("*/*"))[0]
    os.truncate(shard, 10)
    done = videos.export("parquet", tmp_path)
    assert 0 < done.computed + done.copied <= 2
    assert len(READERS["parquet"](tmp_path)) == 5
    assert videos.export("parquet", tmp_path).bytes_written == 0


def test_a_payload_that_was_cut_is_written_again_where_the_last_generation_did_not_name_it(
    videos: TinySet, tmp_path: Path
) -> None:
    videos.write(FIVE)
    cut = videos.export("simpletuner", tmp_path).folder / "vae" / latent_name(4)
    videos.write(FIVE[:4])
    videos.export("simpletuner", tmp_path)
    os.truncate(cut, 10)
    videos.write(FIVE)
    assert videos.export("simpletuner", tmp_path).computed == 1
    assert len(READERS["simpletuner"](tmp_path)) == 5


@pytest.mark.parametrize(
    ("format", "name"),
    [("simpletuner", f"vae/{latent_name(3)}"), ("simpletuner", ROWS), ("parquet", "README.md")],
)
def test_a_file_that_a_reader_removed_is_there_again_and_costs_nothing(
    format: str, name: str, videos: TinySet, tmp_path: Path
) -> None:
    videos.write(FIVE)
    videos.export(format, tmp_path)
    (tmp_path / "photos" / name).unlink()
    done = videos.export(format, tmp_path)
    assert (tmp_path / "photos" / name).is_file()
    assert (done.computed, done.bytes_written) == (0, 0)
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_generation_that_a_killed_export_had_begun_to_remove_is_whole_or_gone(
    videos: TinySet, tmp_path: Path
) -> None:
    for samples in (FIVE[:2], FIVE[:1]):
        videos.write(samples)
        videos.export("simpletuner", tmp_path / "before")
    moment = 36  # the last steps of an export
    while True:
        place = tmp_path / f"{moment}"
        subprocess.run(["cp", "-a", tmp_path / "before", place], check=True)
        videos.write(FIVE[1:2])
        if not killed_before_change(moment, lambda: videos.export("simpletuner", place)):  # noqa: B023
            break
        videos.write(FIVE[:2])
        videos.export("simpletuner", place)
        assert len(READERS["simpletuner"](place)) == 2
        moment += 4
    assert moment > 50


@pytest.mark.parametrize("format", ["simpletuner", "parquet"])
def test_what_killed_exports_had_begun_is_gone_before_more_is_written(
    format: str, videos: TinySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos.write(FIVE)
    videos.export(format, tmp_path)
    folder = next((tmp_path / ".objects").iterdir())
    for number in range(3):
        (folder / f".tmp-{number}").write_bytes(b"half of a payload")
    begun: list[int] = []
    write = Place.write

    def counted(self: Place, *arguments: Any) -> int:
        begun.append(len(list(folder.glob(".tmp-[0-9]"))))
        return write(self, *arguments)

    monkeypatch.setattr(Place, "write", counted)
    videos.write([NEW, *FIVE])
    assert videos.export(format, tmp_path).removed == 0
    assert set(begun) == {0}


def test_a_training_set_that_a_run_replaces_while_it_is_opened_has_its_own_version(
    videos: TinySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos.write(FIVE)
    former = view.version_of(videos.recipe)

    def replaced_after_the_first_look(recipe: Recipe) -> str:
        monkeypatch.undo()
        videos.write(FIVE[1:])
        return former

    monkeypatch.setattr(view, "version_of", replaced_after_the_first_look)
    found = view.open_view(videos.recipe)
    assert (len(found.table), found.version) == (4, view.version_of(videos.recipe))
    assert found.version != former


def test_of_a_full_disk_the_error_is_the_disk_s(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904 - as torch's writer does

    with pytest.raises(StoreError, match="is full: free space, then run again"):
        Place(tmp_path).write("ab.tar", write)


def test_a_folder_for_another_format_is_refused(videos: TinySet, tmp_path: Path) -> None:
    videos.write(FIVE)
    videos.export("parquet", tmp_path)
    with pytest.raises(StoreError, match="holds exports as parquet: export webdataset to another folder"):
        videos.export("webdataset", tmp_path)


@pytest.mark.parametrize(
    "name", ["photos/thesis.txt", ".objects/ab/thesis.txt", ".manifests/thesis.txt", "multidatabackend.json"]
)
def test_what_no_export_made_is_left_alone(name: str, videos: TinySet, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("years of work")
    videos.write(FIVE)
    with pytest.raises(
        StoreError, match=f'/{name.removesuffix("/ab/thesis.txt").removesuffix("/thesis.txt")}" was not made'
    ):
        videos.export("simpletuner", tmp_path)
    assert (tmp_path / name).read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} <= {name.split("/")[0], ".lock", ".format.json"}


def test_a_link_that_no_export_made_stays_and_so_do_files_of_others(videos: TinySet, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "photos").symlink_to(tmp_path / "disk")
    (tmp_path / ".lock").write_text("years of work")
    (tmp_path / ".tmp-mine").mkdir()
    videos.write(FIVE)
    with pytest.raises(StoreError, match="was not made by an export"):
        videos.export("parquet", tmp_path)
    assert (tmp_path / "photos").resolve() == tmp_path / "disk"
    (tmp_path / "photos").unlink()
    videos.export("parquet", tmp_path)
    videos.write(FIVE[1:])
    videos.export("parquet", tmp_path)
    assert (tmp_path / ".tmp-mine").is_dir()
    assert (tmp_path / ".lock").read_text() == "years of work"


def test_there_has_to_be_a_training_set(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="photos has no training set yet"):
        TinySet(tmp_path, "sd15").export("parquet", tmp_path / "out")

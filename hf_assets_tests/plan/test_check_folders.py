"""What `check` says of a folder of media, and every command of places that can't hold results."""

import errno
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from hf_assets.blobs import ObjectPath, atomic
from hf_assets.cli import app
from hf_assets.config.recipe import Folders, Recipe
from hf_assets.errors import StoreError
from hf_assets.plan import checking
from hf_assets.sources.spec import CaptionTable, FolderRules, SourceSpec
from hf_assets_tests.contract.image_rows import image_bytes


def lines(folder: Path, captions: Any) -> list[str]:
    source = SourceSpec(dataset_name=str(folder), folder=FolderRules(captions=captions))
    return list(checking.unused_texts(Recipe.model_construct(source=source)))


def test_text_files_that_lie_unused_are_named_with_three_of_their_captions(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.png").write_bytes(b"x")
    for name, text in (("a.txt", "a red\ncat"), ("b.TXT", "b"), ("c.caption", "c"), ("d.txt", "d"), ("other.txt", "o")):
        (tmp_path / name).write_text(text)
    said = lines(tmp_path, "filename")
    assert said[0].startswith("4 text files beside media, not read")
    assert 'caption_strategy to "textfile"' in said[0]
    assert said[1:] == ['  a.txt: "a red cat"', '  b.TXT: "b"', '  c.caption: "c"']
    assert lines(tmp_path, "textfile") == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            *("captions.csv", "n,file,text\n1,a.png,a cat\n2,b.png,a dog\n"),
            '  to read it: "caption_strategy": "csv", "csv": {"path": "captions.csv", "filename_column": "file", '
            '"caption_column": "text"}',
        ),
        (
            *("x.TSV", "id\tdescription\na\ta cat\n"),
            '  to read it: "caption_strategy": "csv", "csv": {"path": "x.TSV", "filename_column": "id", '
            '"caption_column": "description"}',
        ),
        ("captions.jsonl", '{"image": "img/a.png", "text": "a cat"}\n', "  to read it: call it metadata.jsonl, its"),
        ("other.csv", "file,text\nz.png,a cat\n", None),
        ("broken.parquet", "PAR1", None),
    ],
)
def test_a_table_that_names_the_media_beside_it_is_said_to_be_unused(
    tmp_path: Path, name: str, text: str, said: str | None
) -> None:
    for file in ("a.png", "b.png"):
        (tmp_path / file).write_bytes(b"x")
    (tmp_path / name).write_text(text)
    recipe = Recipe.model_construct(source=SourceSpec(dataset_name=str(tmp_path), folder=FolderRules()))
    lines = list(checking.unused_tables(recipe))
    assert [line.startswith(said) for line in lines[1:]] == ([True] if said else [])
    assert bool(lines) == bool(said)
    of_sizes = FolderRules(table=CaptionTable(kind="csv", path=name))
    recipe = Recipe.model_construct(source=SourceSpec(dataset_name=str(tmp_path), folder=of_sizes))
    assert not list(checking.unused_tables(recipe))
    if lines:
        assert f'"{name}" names media of the folder' in lines[0]


def test_media_in_a_bucket_are_not_looked_for_on_this_machine() -> None:
    source = SourceSpec(dataset_name="s3://photos/2024", folder=FolderRules())
    recipe = Recipe.model_construct(source=source)
    assert [*checking.unused_texts(recipe), *checking.unused_tables(recipe)] == []


def test_media_none_of_which_can_be_used_fail_the_check_without_the_hub_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(image_bytes(0))
    entry = {"id": "photos", "type": "local", "instance_data_dir": "photos", "minimum_image_size": 1024}
    entry |= {"resolution": 64, "resolution_type": "pixel"}
    config = {"model": {"pretrained_model_name_or_path": "./none"}, "datasets": [entry]}
    (tmp_path / "datasets.json").write_text(json.dumps(config))
    done = CliRunner().invoke(app, ["check", "--config", str(tmp_path / "datasets.json")])
    assert done.exit_code == 1
    assert done.stderr == (
        'nothing is left of dataset "photos": none of the media of 1 row can be used (dropped: 1 too_small): change '
        "the limits of size or length\n"
    )


MODEL = Path(__file__).parents[1] / "frozen" / "image" / "model"


def checked(folder: Path, **entry: Any) -> Any:
    """What the command says of photos with the captions `a` and none."""
    photos = folder / "photos"
    photos.mkdir()
    for number, name in enumerate("abc"):
        (photos / f"{name}.png").write_bytes(image_bytes(number))
    (photos / "a.txt").write_text("a cat")
    entry = {"id": "photos", "type": "local", "instance_data_dir": "photos", "caption_strategy": "textfile", **entry}
    entry |= {"resolution": 64, "resolution_type": "pixel"}
    config = {"model": {"pretrained_model_name_or_path": str(MODEL)}, "datasets": [entry]}
    (folder / "datasets.json").write_text(json.dumps(config))
    return CliRunner().invoke(app, ["check", "--config", str(folder / "datasets.json")])


def test_files_without_captions_are_named_and_what_is_not_asked_for_is_not_said(tmp_path: Path) -> None:
    done = checked(tmp_path)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "  rows with captions: 1, without: 2; distinct captions: 1" in lines
    assert "    without: b.png, c.png" in lines
    assert "  media that can be used: 1 of 1" in lines
    assert "filter" not in done.stdout


def test_a_filter_of_a_folder_is_said_without_columns_that_no_folder_has(tmp_path: Path) -> None:
    done = checked(tmp_path, filter_func={"min_width": 10})
    assert "  filter keeps 3 (100.0%)" in done.stdout.splitlines()
    assert "columns width and height" not in done.stdout


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"filter_func": {"where": "widht > 3"}}, 'where: column "widht" is not in the dataset: it has image, caption'),
        ({"caption_column": "text"}, 'caption_column: column "text" is not in the dataset: it has image, caption'),
        ({"instance_data_dir": "phtos"}, 'does not exist: correct it, or create the folder; did you mean "'),
    ],
)
def test_a_mistake_names_its_key_and_no_way_that_was_taken_already(
    entry: dict[str, Any], said: str, tmp_path: Path
) -> None:
    done = checked(tmp_path, **entry)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr
    assert "textfile" not in done.stderr


def test_pictures_that_are_enlarged_are_counted() -> None:
    sizes = {"original_size": [[240, 240], [64, 100], [20, 30]], "resized_size": [[64, 64], [64, 100], [64, 96]]}
    (line,) = checking._enlarged(pa.table(sizes))
    assert line.startswith("  1 of them is enlarged, up to 3.2 times: max_upscale_threshold leaves such out, a smaller")
    assert list(checking._enlarged(pa.table(sizes).slice(0, 2))) == []
    assert list(checking._enlarged(pa.table({"samples": [1]}))) == []


def test_text_behind_a_link_out_of_the_folder_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    assert not any("secret" in line for line in lines(folder, "filename"))


def folders(place: Path) -> Folders:
    return Folders(metadata=place, latents=place / "vae", embeds=ObjectPath("s3://elsewhere/text"))


def test_a_cache_dir_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match=r'cache" is a file, and results are to lie in ".*x": correct cache_dir'):
        folders(tmp_path / "cache" / "x").require()
    folders(tmp_path / "other" / "x").require(writable=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("target", ["nowhere", "cache"])
def test_a_cache_dir_that_is_a_link_to_nothing_is_an_error(tmp_path: Path, target: str) -> None:
    (tmp_path / "cache").symlink_to(target)
    with pytest.raises(StoreError, match=rf'cache" leads to "{target}", which isn\'t there'):
        folders(tmp_path / "cache" / "x").require()
    (tmp_path / "nowhere").mkdir()
    if target == "nowhere":
        folders(tmp_path / "cache" / "x").require(writable=True)


def test_a_cache_dir_that_only_the_system_fills_is_an_error() -> None:
    """Its rights let a superuser write."""
    with pytest.raises(StoreError, match='"/proc" can\'t be written to'):
        folders(Path("/proc/x")).require(writable=True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 'the disk of "/a/b" is full: free space'),
        (OSError(errno.EDQUOT, "over"), "the disk of cache_dir, of temporary files"),
        (pa.ArrowInvalid("No space left on device"), "the disk of cache_dir"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "is full"),  # of safetensors
        (OSError(errno.EIO, "Input/output error"), None),
        (ValueError("no space"), None),
    ],
)
def test_a_full_disk_is_known_whoever_says_so(error: Exception, said: str | None) -> None:
    found = atomic.full_disk(error)
    assert (found is None) == (said is None)
    assert said is None or said in str(found)


def test_a_cache_dir_behind_a_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "disk").symlink_to(tmp_path / "not_mounted")
    with pytest.raises(StoreError, match=r'disk" leads to ".*not_mounted", which isn\'t there, and results .*: mount'):
        folders(tmp_path / "disk/cache").require()


def test_a_cache_dir_that_cannot_be_written_to_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.os, "access", lambda path, mode: False)  # a superuser may write anywhere
    with pytest.raises(StoreError, match="can't be written to: correct cache_dir"):
        folders(tmp_path).require(writable=True)
    folders(tmp_path).require()  # what is there can be looked at


@pytest.mark.parametrize(
    "command",
    ["check", "plan", "plan --json", "run", "verify", "gc", "gc --delete", "quarantine", "quarantine --retry"],
)
def test_a_cache_dir_that_is_a_file_is_a_line_of_every_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("")
    (tmp_path / "photos").mkdir()
    entry = {"id": "photos", "type": "local", "instance_data_dir": "photos", "cache_dir": "cache", "resolution": 64}
    model = {"pretrained_model_name_or_path": "./model"}
    (tmp_path / "datasets.json").write_text(json.dumps({"model": model, "datasets": [entry]}))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert 'cache" is a file, and results are to lie in' in done.stderr.splitlines()[-1]

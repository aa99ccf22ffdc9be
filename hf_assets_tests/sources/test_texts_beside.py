"""Media with a text beside each, on the Hub, in a folder or in a ZIP, are read as pairs where the config says so."""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_assets.config.loading import load
from hf_assets.errors import ConfigError, DatasetError
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.spec import FolderRules
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.reading import read, samples
from hf_assets_tests.sources.test_mistakes import LATIN, A, B, C, archive, folder

PAIRS = {
    "one/a.png": A,
    "one/a.txt": b"red\nvery red",
    "one/b.JPG": B,
    "one/b.TXT": "gr\u00fcn\u2028two".encode(),
    "c.png": C,
    "c.caption": b"blue",
    "notes.txt": b"of no picture",
    "one/._a.png": b"of macOS",
    "__MACOSX/one/._a.png": b"of macOS",
}
LINES = [(["blue"], C), (["red", "very red"], A), (["gr\u00fcn\u2028two"], B)]
WHOLE = [("blue", C), ("red\nvery red", A), ("gr\u00fcn\u2028two", B)]


def placed(where: str, files: dict[str, bytes], hub: LocalHub, tmp_path: Path) -> str:
    files = {"all.zip": archive(files)} if where.startswith("zip") else files
    if where.endswith("hub"):
        name = f"texts/d{abs(hash(tmp_path)) % 10**9}"
        hub.commit(name, files)
        return name
    return folder(tmp_path, files)


@pytest.mark.parametrize("where", ["hub", "folder", "zip on the hub", "zip in a folder"])
@pytest.mark.parametrize(("rule", "expected"), [("textfile", LINES), ("whole_textfile", WHOLE)])
def test_texts_beside_media_are_their_captions(
    where: str, rule: Any, expected: Any, hub: LocalHub, tmp_path: Path
) -> None:
    name = placed(where, PAIRS, hub, tmp_path)
    for _ in range(2):  # the second time from what is kept
        found = samples(name, tmp_path / "memory", folder=FolderRules(media="image", captions=rule))
        assert sorted(found, key=lambda one: expected.index((one[0], one[1]))) == expected


@pytest.mark.parametrize("where", ["hub", "zip on the hub", "zip in a folder"])
def test_a_text_in_another_encoding_is_named(where: str, hub: LocalHub, tmp_path: Path) -> None:
    name = placed(where, {"a.png": A, "a.txt": LATIN, "b.png": B, "b.txt": b"y"}, hub, tmp_path)
    found, _, _ = read(name, tmp_path / "memory", folder=FolderRules(media="image", captions="textfile"))
    assert found.faults["source_path"].to_pylist() == ["a.txt"]


def test_a_repository_without_media_says_so(hub: LocalHub, tmp_path: Path) -> None:
    name = placed("hub", {"a.txt": b"x"}, hub, tmp_path)
    with pytest.raises(DatasetError, match="holds no image files, and no ZIP of such"):
        read(name, tmp_path / "memory", folder=FolderRules(media="image", captions="textfile"))


@pytest.mark.parametrize("where", ["hub", "folder", "zip on the hub", "zip in a folder"])
@pytest.mark.parametrize("num_others", [0, 9], ids=["as many texts", "fewer texts"])
def test_where_the_config_does_not_say_so_the_message_does(
    where: str, num_others: int, hub: LocalHub, tmp_path: Path
) -> None:
    others = {f"z{number}.png": A for number in range(num_others)}
    name = placed(where, {**PAIRS, **others}, hub, tmp_path)
    said = (
        r'column "(image|caption)" is not in the dataset.*"caption_strategy": "textfile" .*as "blue", "red", "gr\u00fcn'
    )
    with pytest.raises(DatasetError, match=said):
        read(name, tmp_path / "memory")


@pytest.mark.parametrize("name", ["captions.csv", "Metadata.CSV", "data/captions.parquet"])
def test_a_table_beside_media_that_is_not_read_is_named(name: str, hub: LocalHub, tmp_path: Path) -> None:
    files = {f"{letter}.png": A for letter in "abc"}
    where = placed("hub", {name: b"image,caption\na.png,x\n", **files}, hub, tmp_path)
    with pytest.raises(
        DatasetError, match=f'"caption" is not in the dataset.*"{name}" isn\'t read: set data_files to it'
    ):
        read(where, tmp_path / "memory")


def test_texts_in_a_zip_are_no_rows(tmp_path: Path) -> None:
    found, _, _ = read(folder(tmp_path, {"x.zip": archive(PAIRS)}), tmp_path / "memory", WantedColumns("image", ()))
    assert found.table["source_path"].to_pylist() == ["c.png", "one/a.png", "one/b.JPG"]


def config(tmp_path: Path, **keys: Any) -> Path:
    entry = {"id": "x", "type": "huggingface", "dataset_name": "user/x", "caption_strategy": "textfile", **keys}
    path = tmp_path / "datasets.json"
    path.write_text(json.dumps({"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [entry]}))
    return path


def test_the_config_says_so(tmp_path: Path) -> None:
    recipe = load(config(tmp_path, disable_multiline_split=True)).recipes[0]
    assert recipe.source.folder == FolderRules(media="image", captions="whole_textfile")
    assert (recipe.media_column, recipe.captions.columns_of_captions) == ("image", ("caption",))
    with pytest.raises(ConfigError, match='split: has no effect where caption_strategy is "textfile"'):
        load(config(tmp_path, split="test"))

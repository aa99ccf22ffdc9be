"""Folders of media files, with captions from text files, names or a table."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.errors import DatasetError
from hf_assets.hub import hashes
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import CaptionTable, FolderRules, SourceSpec
from hf_assets.store.verifying import verify_tables
from hf_assets_tests.sources.parquet_files import parquet

MEDIA = {"b_c.png": b"1", "a/cat_on-mat.JPG": b"2", "a/d.webp": b"3", ".hidden/x.png": b"x", "a/song.mp3": b"x"}
IN_ORDER = [b"2", b"3", b"1"]


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        os.utime(folder / path, (1, 1))
    return folder


def rules_of(captions: str, **table: Any) -> FolderRules:
    return FolderRules(captions=captions, table=CaptionTable(**table) if table else None)  # type: ignore[arg-type]


def samples(folder: Path, memory: Path, rules: FolderRules, *columns: str) -> list[tuple[Any, ...]]:
    """(captions or other columns, media) of every row."""
    source = source_of(SourceSpec(dataset_name=str(folder), folder=rules), memory)
    snapshot = source.resolve()
    names = columns or ("caption",)
    table = rows.read(source, snapshot, WantedColumns(rules.media, names), memory / "columns", lambda line: None).table
    media = [one.data for one in media_of(by_file(table, snapshot), source, snapshot, rules.media)]
    return list(zip(*(schema.column(table, name).to_pylist() for name in names), media, strict=True))


@pytest.mark.parametrize(
    ("texts", "captions"),
    [
        ({}, [None, None, None]),
        ({"b_c.txt": b"one\n", "a/d.txt": b"\n", "a/other.txt": b"x"}, [None, None, "one"]),
        ({"b_c.txt": b"\xef\xbb\xbfone\r\n\r\n two ", "a/d.txt": b"three"}, [[], ["three"], ["one", "two"]]),
    ],
)
def test_captions_lie_in_text_files_beside_the_media(
    texts: dict[str, bytes], captions: list[Any], tmp_path: Path
) -> None:
    folder = put(tmp_path / "media", {**MEDIA, **texts})
    assert samples(folder, tmp_path, rules_of("textfile")) == list(zip(captions, IN_ORDER, strict=True))


def test_a_whole_text_file_is_one_caption(tmp_path: Path) -> None:
    folder = put(tmp_path / "media", {**MEDIA, "b_c.txt": b"\n one\n\ntwo \n", "a/d.txt": b" \n"})
    captions = dict(zip(IN_ORDER, [None, None, "one\n\ntwo"], strict=True))
    found = samples(folder, tmp_path, rules_of("whole_textfile"))
    assert {data: caption for caption, data in found} == captions


def test_a_link_to_nothing_is_no_media(tmp_path: Path) -> None:
    folder = put(tmp_path / "media", MEDIA)
    (folder / "broken.png").symlink_to("/nowhere/at/all.png")
    assert [data for _, data in samples(folder, tmp_path, rules_of("filename"))] == IN_ORDER


def test_a_file_in_place_of_the_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"1")
    with pytest.raises(DatasetError, match=r'one\.png" is a file: name the folder'):
        samples(tmp_path / "one.png", tmp_path, rules_of("filename"))


def test_captions_are_the_names_of_files(tmp_path: Path) -> None:
    folder = put(tmp_path / "media", MEDIA)
    found = samples(folder, tmp_path, rules_of("filename"))
    assert found == [("cat on-mat", b"2"), ("d", b"3"), ("b c", b"1")]
    assert samples(folder, tmp_path, FolderRules(media="audio"))[0] == ("song", b"x")


TABLES: list[tuple[dict[str, Any], dict[str, Any], list[Any]]] = [
    ({"filename": ["a/d.webp", "b_c.png"], "caption": ["x", "y"]}, {}, [None, "x", "y"]),
    ({"filename": ["d", "b_c", "cat_on-mat"], "caption": ["x", "y", "z"]}, {}, ["z", "x", "y"]),
    ({"filename": ["d"], "caption": ["x"]}, {"has_extension": True}, [None, None, None]),
    ({"filename": ["d.webp"], "caption": ["x"]}, {"has_extension": False}, [None, None, None]),
    ({"filename": ["d.webp"], "caption": [" "]}, {"default": "any"}, ["any", "any", "any"]),
    (
        {"filename": ["d", "b_c"], "caption": ["x", None], "other": ["o", "p"]},
        {"fallback_column": "other"},
        [None, "x", "p"],
    ),
    (
        {"filename": ["d", "b_c"], "caption": ["x", "y"], "other": ["o", None]},
        {"caption_columns": ("caption", "other")},
        [[], ["x", "o"], ["y"]],
    ),
    ({"filename": ["d"], "caption": [["x", "y"]]}, {}, [[], ["x", "y"], []]),
]


@pytest.mark.parametrize(("columns", "rules", "captions"), TABLES)
def test_captions_lie_in_a_table(
    columns: dict[str, Any], rules: dict[str, Any], captions: list[Any], tmp_path: Path
) -> None:
    folder = put(tmp_path / "media", {**MEDIA, "t/captions.parquet": parquet(columns)})
    found = samples(folder, tmp_path, rules_of("table", kind="parquet", path="t/captions.parquet", **rules))
    assert found == list(zip(captions, IN_ORDER, strict=True))


def test_sizes_lie_in_a_table_while_captions_lie_in_text_files(tmp_path: Path) -> None:
    columns = {"filename": ["d.webp", "b_c.png"], "caption": ["x", "y"], "w": [3, 4]}
    texts = {"b_c.txt": b"one", "a/d.txt": b"two", "sizes.parquet": parquet(columns)}
    folder = put(tmp_path / "media", {**MEDIA, **texts})
    rules = rules_of("textfile", kind="parquet", path="sizes.parquet", caption_columns=())
    expected = [(None, None, b"2"), ("two", 3, b"3"), ("one", 4, b"1")]
    assert samples(folder, tmp_path, rules, "caption", "w") == expected
    (folder / "b_c.txt").write_bytes(b"other")
    assert samples(folder, tmp_path, rules, "caption", "w")[2] == ("other", 4, b"1")
    (folder / "sizes.parquet").unlink()
    with pytest.raises(DatasetError, match=r'table of captions ".*sizes.parquet" does not exist'):
        samples(folder, tmp_path, rules, "caption", "w")


@pytest.mark.parametrize("captions", ["filename", "textfile", "table"])
def test_lyrics_lie_in_files_beside_the_songs(captions: Any, tmp_path: Path) -> None:
    table = parquet({"filename": ["a", "b"], "caption": ["x", "y"], "lyrics": ["la", "lo"]})
    songs = {f"{name}.mp3": name.encode() for name in "abc"}
    texts = {"a.txt": b"x", "t.parquet": table, "c.lyrics": b" \n"}
    texts["a.LYRICS"] = b"\xef\xbb\xbf[verse]\r\none\n\n two \n"
    folder = put(tmp_path / "media", {**songs, **texts})
    rules = FolderRules(
        media="audio",
        captions=captions,
        table=CaptionTable(kind="parquet", path="t.parquet") if captions == "table" else None,
    )
    expected = ["[verse]\r\none\n\n two", "lo" if captions == "table" else None, None]
    assert [lyrics for lyrics, _ in samples(folder, tmp_path, rules, "lyrics")] == expected
    (folder / "c.lyrics").write_bytes(b"hum")
    assert samples(folder, tmp_path, rules, "lyrics")[2] == ("hum", b"c")


def test_lyrics_that_are_no_text_are_reported(tmp_path: Path) -> None:
    folder = put(tmp_path / "media", {"a.mp3": b"a", "a.lyrics": b"\xff\xfe\xfa"})
    source = source_of(SourceSpec(dataset_name=str(folder), folder=FolderRules(media="audio")), tmp_path)
    wanted = WantedColumns("audio", ("caption",), ("lyrics",))
    read = rows.read(source, source.resolve(), wanted, tmp_path / "columns", lambda line: None)
    assert [fault["message"] for fault in read.faults.to_pylist()] == ['"a.lyrics" is not UTF-8 text: save it as UTF-8']


def test_numbers_in_a_csv_are_text_where_they_name_files_and_other_columns_are_there_too(tmp_path: Path) -> None:
    text = b'filename,caption,score\n007,12,0.5\n008,"two\nlines",0.25\n'
    folder = put(tmp_path / "media", {"007.png": b"1", "008.png": b"2", "captions.csv": text})
    found = samples(folder, tmp_path, rules_of("table", kind="csv", path="captions.csv"), "caption", "score")
    assert found == [("12", 0.5, b"1"), ("two\nlines", 0.25, b"2")]


def test_files_are_hashed_once_and_texts_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    real = hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: taken.append(path.name) or real(path))
    monkeypatch.setattr(hashes, "SETTLED_AFTER_NS", -1)
    folder = put(tmp_path / "media", {**MEDIA, "b_c.txt": b"one"})
    samples(folder, tmp_path, rules_of("textfile"))
    assert sorted(taken) == ["b_c.png", "b_c.txt", "cat_on-mat.JPG", "d.webp"]
    samples(folder, tmp_path, rules_of("textfile"))
    assert len(taken) == 4
    (folder / "b_c.txt").write_bytes(b"two")
    assert samples(folder, tmp_path, rules_of("textfile"))[2] == ("two", b"1")
    assert taken[4:] == ["b_c.txt"]


def test_what_a_folder_lacks_is_said(tmp_path: Path) -> None:
    folder = put(
        tmp_path / "media",
        {**MEDIA, "bad.csv": b"filename,caption\n1,2,3\n", "x.csv": b"name\n1\n", "b_c.txt": b"\xff"},
    )
    table = rules_of("table", kind="csv", path="none.csv")
    cases: list[tuple[Path, FolderRules, str]] = [
        (tmp_path / "none", rules_of("filename"), 'instance_data_dir ".*none" does not exist'),
        (tmp_path / "medai", rules_of("filename"), 'does not exist: .*; did you mean ".*/media"'),
        (folder, FolderRules(media="video"), r"holds no video files: there are \d image files, for which dataset_type"),
        (put(tmp_path / "texts", {"a.txt": b""}), FolderRules(media="video"), "holds no video files: add some"),
        (folder, table, 'the table of captions ".*none.csv" does not exist'),
        (
            folder,
            rules_of("table", kind="csv", path="bad.csv"),
            r'"bad.csv"|bad.csv" can\'t be read as csv \(.+\): mend',
        ),
        (folder, rules_of("table", kind="csv", path="x.csv"), 'column "filename" is not in ".*x.csv": it has name'),
    ]
    for place, rules, message in cases:
        with pytest.raises(DatasetError, match=message) as caught:
            samples(place, tmp_path, rules)
        assert "\n" not in str(caught.value)


def test_a_file_that_changed_since_stops_the_run(tmp_path: Path) -> None:
    folder = put(tmp_path / "media", MEDIA)
    source = source_of(SourceSpec(dataset_name=str(folder), folder=FolderRules()), tmp_path)
    snapshot = source.resolve()
    wanted = WantedColumns("image", ())
    table = rows.read(source, snapshot, wanted, tmp_path / "columns", lambda line: None).table
    (folder / "b_c.png").write_bytes(b"changed")
    assert source.resolve().fingerprint != snapshot.fingerprint
    with pytest.raises(DatasetError, match=r"b_c.png\" has changed since raw_dataset was made: materialize"):
        list(media_of(by_file(table, snapshot), source, snapshot, "image"))
    assert pa.types.is_dictionary(table.schema.field("file_path").type)


def test_the_table_of_a_folder_is_verified_by_the_checksums_of_its_pages(tmp_path: Path) -> None:
    folder = put(tmp_path / "data", {"a.png": b"1", "a.txt": b"a cat"})
    root = tmp_path / "metadata"
    assert samples(folder, root / "sources", rules_of("textfile")) == [("a cat", b"1")]
    assert verify_tables(root).damaged == []
    (made,) = (root / "sources" / "converted").glob("*.parquet")
    data = bytearray(made.read_bytes())
    data[data.index(b"\x28\xb5\x2f\xfd") + 8] ^= 0x40  # within the first page's zstd frame
    made.write_bytes(bytes(data))
    assert verify_tables(root).damaged == [f"sources/converted/{made.name}: altered"]
    assert samples(folder, root / "sources", rules_of("textfile")) == [("a cat", b"1")]  # made anew

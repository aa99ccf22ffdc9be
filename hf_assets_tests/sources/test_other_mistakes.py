"""More that people do to their files: what can be read is read with its right value, the rest has a reason."""

import base64
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import schema
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.errors import DatasetError
from hf_assets.sources.formats import csv_text
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.spec import CaptionTable, FolderRules
from hf_assets.stages import captions as stage
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.reading import read, samples
from hf_assets_tests.sources.test_mistakes import (
    ARRAY,
    IMAGES,
    LATIN,
    NFC,
    NFD,
    A,
    B,
    C,
    archive,
    captions,
    faults,
    folder,
    sample,
    tar,
)

ADDRESS = "https://example.com/a.png"


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (ADDRESS, "an address"),
        ({"bytes": None, "path": ADDRESS}, "an address"),
        (base64.b64encode(A).decode(), "base64"),
        (base64.urlsafe_b64encode(A).decode(), "base64"),
        (str(A), "as Python writes bytes"),
    ],
)
def test_what_stands_in_place_of_media_is_called_what_it_is(value: Any, said: str, tmp_path: Path) -> None:
    data = folder(tmp_path, {"train.parquet": parquet(pa.table({"image": [value], "caption": ["x"]})), **IMAGES})
    with pytest.raises(DatasetError, match=f'column "image" .* holds .*{said}') as caught:
        read(data, tmp_path / "memory", WantedColumns("image", ("caption",)))
    assert base64.b64encode(A).decode()[:40] not in str(caught.value)


def rows(*captions_of: Any) -> bytes:
    named = zip("abc", captions_of, strict=True)
    return "\n".join(json.dumps({"image": f"{name}.png", "caption": one}) for name, one in named).encode()


@pytest.mark.parametrize("kind", ["jsonl", "json", "metadata.jsonl"])
@pytest.mark.parametrize(
    ("mixed", "expected"),
    [(("x", 5, "z"), ["x", "5", "z"]), (("x", ["y", "w"], None), [["x"], ["y", "w"], None])],
    ids=["a number", "a list"],
)
def test_json_of_which_a_field_changes_its_type_is_read(kind: str, mixed: Any, expected: Any, tmp_path: Path) -> None:
    data = rows(*mixed)
    path, images = f"train.{kind}", IMAGES
    if kind == "json":
        data = b"[" + data.replace(b"\n", b",\n") + b"]"
    elif kind == "metadata.jsonl":
        path, data = f"train/{kind}", data.replace(b'"image"', b'"file_name"')
        images = {f"train/{name}": one for name, one in IMAGES.items() if name < "d"}
    assert captions(tmp_path, {path: data, **images}) == expected


def test_fields_that_only_later_samples_of_a_tar_have_are_read(tmp_path: Path) -> None:
    members = [
        one
        for at in range(20)
        for one in ((f"{at:02}.png", A), (f"{at:02}.json", json.dumps({"late" if at > 17 else "n": "x"}).encode()))
    ]
    found, _, _ = read(
        folder(tmp_path, {"train.tar": tar(members)}), tmp_path / "memory", WantedColumns("png", ("json.late",))
    )
    assert schema.column(found.table, "json.late").to_pylist() == [None] * 18 + ["x", "x"]


@pytest.mark.parametrize("element", [b'{"image": "b.png", "capt', b"// a comment"])
def test_the_element_behind_a_broken_line_of_an_array_is_read(element: bytes, tmp_path: Path) -> None:
    read_, whys = faults(tmp_path, {"train.json": ARRAY % element, **IMAGES})
    assert (read_, len(whys)) == (["x", "z"], 1)


@pytest.mark.parametrize("element", [b'"b.png"', b'{"image": "b.png", "caption": "\\ud83d"}', b'{"image": '])
def test_a_bad_element_of_an_array_in_a_field_costs_its_row(element: bytes, tmp_path: Path) -> None:
    readme = b"---\nconfigs:\n- config_name: default\n  data_files: train.json\n  field: data\n---\n"
    data = b'{"version": 1, "data": ' + ARRAY % element + b"}"
    read_, whys = faults(tmp_path, {"train.json": data, "README.md": readme, **IMAGES})
    assert (read_, len(whys)) == (["x", "z"], 1)


def test_a_field_twice_in_a_line_costs_that_line(tmp_path: Path) -> None:
    data = rows("x", "y", "z").replace(b'"caption": "y"', b'"caption": "y", "caption": "w"')
    read_, whys = faults(tmp_path, {"train.jsonl": data, **IMAGES})
    assert (read_, 'two fields called "caption"' in whys[0]) == (["x", "z"], True)


BAD_ROWS = {"encoding": b"b.png," + LATIN, "cells": b"b.png,y,1,2", "quote": b'b.png,"y'}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("kind", ["train.csv", "metadata.csv", "beside an archive", "local"])
def test_a_bad_row_of_any_table_in_csv_costs_its_row(case: str, kind: str, tmp_path: Path) -> None:
    data = b"file_name,caption\na.png,x\n" + BAD_ROWS[case] + b"\nc.png,z\n"
    images = {"a.png": A, "b.png": B, "c.png": C}
    if kind == "local":
        table = CaptionTable(kind="csv", path="t.csv", filename_column="file_name", caption_columns=("caption",))
        rules = FolderRules(captions="table", table=table)
        found, _, _ = read(folder(tmp_path, {"t.csv": data, **images}), tmp_path / "memory", folder=rules)
        assert schema.column(found.table, "caption").to_pylist() == ["x", None, "z"]
        assert len(found.faults) == 1
        return
    files = {"metadata.csv": data, **images}
    if kind == "train.csv":
        files = {kind: data.replace(b"file_name", b"image"), **IMAGES}
    elif kind == "beside an archive":
        files = {"images.zip": archive(images), "metadata.csv": data}
    read_, whys = faults(tmp_path, files)
    assert ([one for one in read_ if one], len(whys)) == (["x", "z"], 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_texts_in_utf_16_and_utf_32_are_read_also_where_nothing_in_front_says_so(encoding: str, tmp_path: Path) -> None:
    data = "file_name,caption\na.png,grün\n".encode(encoding)
    assert captions(tmp_path / "metadata", {"train/metadata.csv": data, "train/a.png": A}) == ["grün"]
    plain = {"train.csv": data.decode(encoding).replace("file_name", "image").encode(encoding), **IMAGES}
    assert captions(tmp_path / "table", plain) == ["grün"]
    beside = folder(tmp_path / "local", {"a.png": A, "a.txt": "a green frog".encode(encoding)})
    found = samples(beside, tmp_path / "memory", folder=FolderRules(captions="textfile"))
    assert found == [("a green frog", A)]


def test_a_damaged_member_of_a_zip_costs_its_row(tmp_path: Path) -> None:
    data = bytearray(archive({"a.png": A, "b.png": B, "c.png": C}))
    data[data.index(B) + 40] ^= 0xFF
    metadata = b"file_name,caption\na.png,x\nb.png,y\nc.png,z\n"
    read_, whys = faults(tmp_path, {"images.zip": bytes(data), "metadata.csv": metadata})
    assert read_ == ["x", "z"]
    assert [why.split(":")[0] for why in whys] == ["images.zip#b.png"]


def test_a_damaged_header_in_a_tar_ends_neither_the_archive_nor_goes_unsaid(tmp_path: Path) -> None:
    data = bytearray(tar([*sample("a"), *sample("b", B, b"y"), *sample("c", C, b"z")]))
    at = data.index(b"b.txt")
    data[at : at + 100] = b"\xff" * 100
    read_, whys = faults(tmp_path, {"train.tar": bytes(data)}, "png", "txt")
    assert (read_, len(whys), "header is damaged" in whys[0]) == (["x", "z"], 1, True)
    cut = tar([*sample("a"), *sample("b", B, b"y")])
    read_, whys = faults(tmp_path / "cut", {"train.tar": cut[: cut.index(b"b.txt") + 300]}, "png", "txt")
    assert (read_, len(whys)) == (["x"], 1)


def test_members_of_a_tar_whose_names_differ_by_form_are_one_sample_and_never_two(tmp_path: Path) -> None:
    data = folder(tmp_path / "one", {"train.tar": tar([(f"{NFC}.png", A), (f"{NFD}.txt", b"x")])})
    assert samples(data, tmp_path / "memory", WantedColumns("png", ("txt",))) == [("x", A)]
    with pytest.raises(DatasetError, match="differ only by their Unicode form"):
        captions(tmp_path / "two", {"train.tar": tar([*sample(NFC), *sample(NFD)])}, "txt")


def test_metadata_beside_a_tar_name_members_with_endings_in_capitals(tmp_path: Path) -> None:
    files = {"images.tar": tar([("a.PNG", A), ("b.Jpg", B)]), "metadata.csv": b"file_name,caption\na.PNG,x\nb.Jpg,y\n"}
    assert captions(tmp_path, files) == ["x", "y"]


def test_the_folders_of_a_zip_are_labels_unless_metadata_lie_beside_it(tmp_path: Path) -> None:
    images = archive({"cat/1.png": A, "dog/1.png": B})
    data = folder(tmp_path / "labels", {"images.zip": images})
    found, _, _ = read(data, tmp_path / "memory", WantedColumns("image", ("label",)))
    assert schema.column(found.table, "label#names").to_pylist() == ["cat", "dog"]
    metadata = b"file_name,caption\ncat/1.png,x\ndog/1.png,y\n"
    assert captions(tmp_path / "beside", {"images.zip": images, "metadata.csv": metadata}) == ["x", "y"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_of_several_columns_of_paths_the_one_that_is_called_so_names_the_files(kind: str, tmp_path: Path) -> None:
    table = pa.table({"mask": ["b.png", "a.png"], "image": ["a.png", "b.png"], "caption": ["x", "y"]})
    lines = [",".join(table.column_names), *(",".join(row.values()) for row in table.to_pylist())]
    data = parquet(table) if kind == "parquet" else "\n".join(lines).encode()
    where = folder(tmp_path, {f"metadata.{kind}": data, "a.png": A, "b.png": B})
    assert samples(where, tmp_path / "memory") == [("x", A), ("y", B)]


def test_a_zip_whose_members_are_encrypted_says_so(tmp_path: Path) -> None:
    data = bytearray(archive({"a.png": A, "b.png": B}))
    for at in (6, data.index(b"PK\x01\x02") + 8):  # of the first member, the flag in both headers
        data[at] |= 1
    assert zipfile.ZipFile(io.BytesIO(data)).infolist()[0].flag_bits & 1
    found, _, _ = read(folder(tmp_path, {"images.zip": bytes(data)}), tmp_path / "memory", WantedColumns("image", ()))
    assert (len(found.table), "encrypted" in found.faults["message"][0].as_py()) == (1, True)


def test_classes_in_lists_and_fields_are_captions_by_their_names(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["red", "blue"])
    features = datasets.Features({"image": datasets.Image(), "of": datasets.List(names), "in": {"deep": names}})
    rows_ = {"image": [{"bytes": A, "path": None}] * 2, "of": [[0, 1], []], "in": [{"deep": 1}, None]}
    stream = io.BytesIO()
    datasets.Dataset.from_dict(rows_, features=features).to_parquet(stream)
    data = folder(tmp_path, {"train.parquet": stream.getvalue()})
    for column, expected in (("of", [["red", "blue"]]), ("in.deep", [["blue"]])):
        found, _, _ = read(data, tmp_path / "memory", WantedColumns("image", (column,)))
        table, _ = stage.extract(found.table, stage.CaptionRules(columns_of_captions=(column,)))
        assert table["captions"].to_pylist() == expected


@pytest.mark.parametrize("kind", ["train.parquet", "metadata.jsonl"])
def test_lists_may_name_files_in_place_of_holding_them(kind: str, tmp_path: Path) -> None:
    named = [["a.png", "b.png"], ["c.png"]]
    column = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    lists = [[{"bytes": None, "path": one} for one in each] for each in named]
    data = parquet(pa.table({"images": pa.array(lists, column), "caption": ["x", "y"]}))
    if kind == "metadata.jsonl":
        lines = ({"file_names": each, "caption": word} for each, word in zip(named, "xy", strict=True))
        data = "\n".join(map(json.dumps, lines)).encode()
    where = folder(tmp_path, {kind: data, "a.png": A, "b.png": B, "c.png": C})
    for element, expected in ((0, [A, C]), (1, [B, None])):
        found = samples(where, tmp_path / "memory", WantedColumns(f"images[{element}]", ("caption",)))
        assert [media for _, media in found] == expected


SEPARATED = {
    "semicolons": (";", ""),
    "tabs": ("\t", ""),
    "pipes": ("|", ""),
    "what Excel says": (";", "sep=;\r\n"),
}


@pytest.mark.parametrize("kind", ["train.csv", "train.tsv", "metadata.csv", "table"])
@pytest.mark.parametrize("case", SEPARATED)
def test_cells_may_be_separated_by_something_else_than_commas(case: str, kind: str, tmp_path: Path) -> None:
    sep, first = SEPARATED[case]
    name = "image" if kind.startswith("train") else "file_name"
    rows_of = [f"{name}{sep}caption", f"a.png{sep}red, large", f'b.png{sep}"x{sep} y"', f"c.png{sep}one, two, three"]
    data, expected = first.encode() + "\n".join(rows_of).encode(), ["red, large", f"x{sep} y", "one, two, three"]
    path = "captions.csv" if kind == "table" else kind
    files = {path: data, **{one: IMAGES[one] for one in ("a.png", "b.png", "c.png")}}
    if kind != "table":
        assert captions(tmp_path, files) == expected
        return
    rules = FolderRules(captions="table", table=CaptionTable(kind="csv", path=path, filename_column="file_name"))
    found = samples(folder(tmp_path, files), tmp_path / "memory", folder=rules)
    assert [caption for caption, _ in found] == expected


@pytest.mark.parametrize(
    "data",
    [
        b"image,caption;more\na.png,x;y\nb.png,z;w\n",  # as many cells by either
        b"image,a;b;c\na.png,x;y;z\nb.png,x\n",  # not all rows have as many
        b'image,caption\na.png,"x;y;z"\nb.png,"x;y;z"\n',
    ],
)
def test_commas_separate_cells_where_they_make_a_table(data: bytes, tmp_path: Path) -> None:
    found, _, _ = read(folder(tmp_path, {"train.csv": data, **IMAGES}), tmp_path / "memory", WantedColumns("image", ()))
    assert len(found.table) == 2


WHOLE = archive({"a/a.png": A, "a/b.png": B, "b/c.png": C})


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed by its members", "named"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (WHOLE[:-60], "x.zip.* without its end"),
        (b"", "x.zip.* is empty"),
        (b"<html>no</html>", "x.zip.* none but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "x.zip.* none but a Git LFS pointer"),
    ],
    ids=["cut", "empty", "page", "pointer"],
)
def test_a_zip_that_is_none_is_named(data: bytes, said: str, is_listed: bool, tmp_path: Path) -> None:
    beside = {} if is_listed else {f"{name}.png": A for name in "defghij"}
    files = {"w.zip": WHOLE, "x.zip": data, **beside}
    with pytest.raises(DatasetError, match=said):
        read(folder(tmp_path, files), tmp_path / "memory", WantedColumns("image", ()))


def test_a_zip_that_was_cut_is_named_on_the_hub(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit("zips/cut", {"w.zip": WHOLE, "data/x.zip": WHOLE[:-60]})
    with pytest.raises(DatasetError, match=r"x\.zip\" is a ZIP without its end"):
        read("zips/cut", tmp_path / "memory", WantedColumns("image", ()))


CARD = b"""---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': a cat
          '1': a dog
---
"""
NUMBERED: dict[str, dict[str, bytes]] = {
    "parquet": {"train.parquet": parquet(pa.table({"image": [A, B, C], "label": [1, 0, None]}))},
    "csv": {"train.csv": b"image,label\na.png,1\nb.png,0\nc.png,\n", **IMAGES},
    "jsonl": {"train.jsonl": rows(1, 0, None).replace(b"caption", b"label"), **IMAGES},
    "metadata": {
        "train/metadata.csv": b"file_name,label\na.png,1\nb.png,0\nc.png,\n",
        **{f"train/{name}": IMAGES[name] for name in ("a.png", "b.png", "c.png")},
    },
    "tar": {"train.tar": tar([("a.png", A), ("a.label", b"1"), ("b.png", B), ("b.label", b"0")])},
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_the_readme_s_names_of_classes_are_captions(kind: str, tmp_path: Path) -> None:
    wanted = WantedColumns("image", ("label",))
    data = folder(tmp_path, {"README.md": CARD, **NUMBERED[kind]})
    for memory in ("once", "once", "again"):
        found, _, _ = read(data, tmp_path / memory, wanted)
        table, _ = stage.extract(found.table, stage.CaptionRules(columns_of_captions=("label",)))
        assert table["captions"].to_pylist() == [["a dog"], ["a cat"]]
    (Path(data) / "README.md").write_bytes(CARD.replace(b"a cat", b"a mouse"))
    other, _, _ = read(data, tmp_path / "once", wanted)
    table, _ = stage.extract(other.table, stage.CaptionRules(columns_of_captions=("label",)))
    assert table["captions"].to_pylist() == [["a dog"], ["a mouse"]]
    assert other.version != found.version


NEARLY = {
    "capitals": ("A.PNG", "a.png"),
    "a space": ("a b.png", "a_b.png"),
    "%20": ("a%20b.png", "a b.png"),
    "a slash": ("/img/a.png", "img/a.png"),
    "another folder": ("C:\\data\\img\\a.png", "img/a.png"),
}


@pytest.mark.parametrize("case", NEARLY)
def test_a_name_that_no_file_has_is_said_with_the_one_it_nearly_is(case: str, tmp_path: Path) -> None:
    name, there = NEARLY[case]
    table = "\n".join(json.dumps({"image": one, "caption": "x"}) for one in (name, "c.png")).encode()
    data = folder(tmp_path, {"train.jsonl": table, there: A})
    with pytest.raises(DatasetError, match=f'the dataset has "{there}"'):
        read(data, tmp_path / "memory")
    (Path(data) / "c.png").write_bytes(C)
    found, source, snapshot = read(data, tmp_path / "memory")
    first, second = media_of(by_file(found.table, snapshot), source, snapshot, "image")
    assert (first.error and first.error.reason, second.data) == ("missing", C)
    assert f'names "{name}", which isn\'t in the dataset; the dataset has "{there}"' in str(first.error)


def test_names_with_dots_that_make_thousands_of_columns_are_named(tmp_path: Path) -> None:
    data = tar([(f"cat.{number}.jpg", b"x") for number in range(1001)])
    with pytest.raises(DatasetError, match=r'such as "cat\.1000\.jpg".*first dot of a name, "1000\.jpg"'):
        read(folder(tmp_path, {"x.tar": data}), tmp_path / "memory", WantedColumns("image", ()))


@pytest.mark.parametrize(
    ("name", "data", "expected", "num_faults"),
    [
        ("metadata.csv", b"file_name,caption\nb.png,None\na.png,NA\n", ["None", "NA"], 0),
        ("metadata.csv", b"file_name;caption\nb.png;x, y\na.png;z\n", ["x, y", "z"], 0),
        ("metadata.csv", b"file_name,caption\nb.png,x\na.png," + LATIN + b"\n", ["x"], 1),
        ("metadata.csv", "file_name,caption\nb.png,grün\na.png,y\n".encode("utf-16"), ["grün", "y"], 0),
        ("d/metadata.jsonl", b'{"file_name": "b.png", "caption": "x"}\n{bad}\n', ["x"], 1),
        ("metadata.jsonl", b'{"file_name": "./d/b.png", "caption": "x"}\n', ["x"], 0),
    ],
)
def test_metadata_within_a_zip_are_read_as_those_of_a_folder(
    name: str, data: bytes, expected: list[str], num_faults: int, tmp_path: Path
) -> None:
    inside = "d/" if name.startswith("d/") or b"d/b" in data else ""
    files = {"x.zip": archive({name: data, f"{inside}a.png": A, f"{inside}b.png": B})}
    found = samples(folder(tmp_path, files), tmp_path / "memory")
    assert found == list(zip(expected, (B, A), strict=False))
    read_, _, _ = read(str(tmp_path / "data"), tmp_path / "memory")
    assert len(read_.faults) == num_faults


def test_one_name_in_two_folders_of_an_archive_is_no_row_of_metadata_beside_it(tmp_path: Path) -> None:
    members = {"x/a.png": A, "y/a.png": B, "c.png": C}
    metadata = b"file_name,caption\na.png,which\nx/a.png,first\nimg/c.png,other\n"
    found = samples(folder(tmp_path, {"x.zip": archive(members), "metadata.csv": metadata}), tmp_path / "memory")
    assert sorted(found, key=str) == sorted([("first", A), (None, B), ("other", C)], key=str)


@pytest.mark.parametrize("kind", ["train.csv", "metadata.csv"])
def test_more_cells_than_the_header_shift_no_column(kind: str, tmp_path: Path) -> None:
    name = "image" if kind.startswith("train") else "file_name"
    images = {one: IMAGES[one] for one in ("a.png", "b.png")}
    data = f"{name},caption\na.png,x,\nb.png,y,\n".encode()
    assert faults(tmp_path / "one", {kind: data, **images}) == (["x", "y"], [])
    data = f"{name},caption\na.png,'x, z'\nb.png,y\n".encode()
    found, whys = faults(tmp_path / "two", {kind: data, **images})
    assert (found, len(whys)) == (["y"], 1)
    assert "row 1: it has 3 cells, more than the header names" in whys[0]


def test_lines_of_json_with_commas_behind_them_are_read(tmp_path: Path) -> None:
    data = b'{"image": "a.png", "caption": "x"},\n{"image": "b.png", "caption": "y"},\n'
    assert faults(tmp_path, {"train.jsonl": data, **IMAGES}) == (["x", "y"], [])


def test_what_systems_leave_in_folders_is_no_sample_and_a_mark_is_no_text(tmp_path: Path) -> None:
    members = [("d/Thumbs.db", b"x"), ("d/desktop.ini", b"x"), ("d/a.png", A), ("d/a.txt", b"\xef\xbb\xbfx")]
    members += [("d/b.png", B), ("d/b.txt", "grün".encode("utf-16"))]
    assert captions(tmp_path, {"x.tar": tar(members)}, "txt") == ["x", "grün"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "compressed"])
def test_members_of_a_sample_that_lie_apart_are_one_sample(pack: Any, tmp_path: Path) -> None:
    members = [("a.png", A), ("d/b.png", B), ("a.txt", b"x"), ("d/b.txt", b"y"), ("c.png", C), ("c.txt", b"z")]
    found = samples(
        folder(tmp_path, {"x.tar": pack(tar(members))}), tmp_path / "memory", WantedColumns("image", ("txt",))
    )
    assert found == [("x", A), ("y", B), ("z", C)]


@pytest.mark.parametrize("kind", ["train.csv", "metadata.csv"])
@pytest.mark.parametrize("is_text_first", [True, False])
def test_a_column_that_is_text_far_from_its_numbers_is_text(kind: str, is_text_first: bool, tmp_path: Path) -> None:
    texts = ["007"] * csv_text.CHUNK_ROWS
    texts.insert(0 if is_text_first else len(texts), "a text")
    if is_text_first:
        texts = ["a text", *texts, "8"]
    name = "image" if kind.startswith("train") else "file_name"
    data = "\n".join([f"{name},caption", *(f"a.png,{text}" for text in texts)]).encode()
    assert captions(tmp_path, {kind: data, "a.png": A}) == texts


def zip_of(members: dict[str, bytes]) -> bytes:
    """A ZIP whose members are called as they are here, backslashes and all."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, data in members.items():
            info = zipfile.ZipInfo()
            info.filename = name
            made.writestr(info, data)
    return stream.getvalue()


@pytest.mark.parametrize("place", ["at its root", "in a folder", "beside it"])
def test_members_of_a_zip_with_backslashes_are_those_of_its_metadata(place: str, tmp_path: Path) -> None:
    media = {"img\\a.png": A, "img\\b.png": B}
    whole, short = b"file_name,caption\nimg/a.png,x\nimg\\b.png,y\n", b"file_name,caption\na.png,x\nb.png,y\n"
    made = {
        "at its root": {"x.zip": zip_of({**media, "metadata.csv": whole})},
        "in a folder": {"x.zip": zip_of({**media, "img\\metadata.csv": short})},
        "beside it": {"x.zip": zip_of(media), "metadata.csv": whole},
    }[place]
    assert samples(folder(tmp_path, made), tmp_path / "memory") == [("x", A), ("y", B)]


@pytest.mark.parametrize("data", [b"", b"\n \n", b"file_name,caption\n"], ids=["empty", "blank", "a header"])
@pytest.mark.parametrize("is_inside", [True, False])
def test_metadata_of_a_zip_without_rows_are_named(data: bytes, is_inside: bool, tmp_path: Path) -> None:
    made = {"x.zip": zip_of({"a.png": A, **({"metadata.csv": data} if is_inside else {})})}
    with pytest.raises(DatasetError, match=r'"metadata.csv" in "x.zip" has no rows|the metadata beside .* have no'):
        captions(tmp_path, made if is_inside else {**made, "metadata.csv": data})


LINE = b'{"image": "a.png", "caption": "x"}\n'
LISTED = zip_of({"a.png": A, "metadata.csv": b"file_name,caption\na.png,x\n"})
SAME: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "PARQUET": (parquet(pa.table({"image": [A], "caption": ["x"]})), {}),
    "JSONL": (LINE, {"a.png": A}),
    "JSONL.GZ": (gzip.compress(LINE), {"a.png": A}),
    "CSV": (b"image,caption\na.png,x\n", {"a.png": A}),
    "TAR": (tar([("a.image", A), ("a.caption", b"x")]), {}),
    "ZIP": (LISTED, {}),
}


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("ending", SAME)
def test_a_data_file_whose_ending_is_in_capitals_is_read(ending: str, is_alone: bool, tmp_path: Path) -> None:
    data, others = SAME[ending]
    files = {f"X.{ending}": data, **others, **({} if is_alone else {f"y.{ending.lower()}": data})}
    if ending == "ZIP" and is_alone:
        with pytest.raises(DatasetError, match=r'"X.ZIP" of dataset .* call it "X.zip"'):
            samples(folder(tmp_path, files), tmp_path / "memory")
        return
    found = captions(tmp_path, files)
    assert [caption if isinstance(caption, str) else caption.decode() for caption in found] == ["x"] * (2 - is_alone)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"data": [{"image": "a.png", "caption": "x"}]}, 'the rows in "data": set field: "data" in the configs'),
        ({"a": {"caption": "x"}, "b": {"caption": "y"}}, "one object with a key for each sample"),
        ({"a.png": "x", "b.png": "y"}, "one object with a key for each sample"),
    ],
    ids=["data", "kohya", "texts"],
)
def test_json_of_one_object_around_its_rows_is_called_so(value: Any, said: str, indent: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        captions(tmp_path, {"x.json": json.dumps(value, indent=indent).encode()})


def test_the_field_that_is_named_reads_json_of_one_object(tmp_path: Path) -> None:
    readme = b"---\nconfigs:\n- config_name: default\n  data_files: x.json\n  field: data\n---\n"
    data = json.dumps({"data": [{"image": "a.png", "caption": "x"}]}).encode()
    assert captions(tmp_path, {"x.json": data, "a.png": A, "README.md": readme}) == ["x"]

"""Text is what its author wrote, and one bad member of a file costs one sample."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.spec import CaptionTable, FolderRules
from hf_assets.stages import captions as stage
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.reading import read, samples


def picture(colour: str = "red", image_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, image_format)
    return stream.getvalue()


A, B, C = picture("red"), picture("green"), picture("blue")


def tar(members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def folder(where: Path, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        path = where / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(where / "data")


def captions(where: Path, files: dict[str, bytes], column: str = "caption") -> list[Any]:
    wanted = WantedColumns("image", (column,))
    return [caption for caption, _ in samples(folder(where, files), where / "memory", wanted)]


def faults(
    where: Path, files: dict[str, bytes], media: str = "image", column: str = "caption"
) -> tuple[list[Any], list[str]]:
    """The captions that are read; and where and why others aren't."""
    found, _, _ = read(folder(where, files), where / "memory", WantedColumns(media, (column,)))
    again, _, _ = read(str(where / "data"), where / "memory", WantedColumns(media, (column,)))  # as it is kept
    assert again.faults.select(["address", "message"]) == found.faults.select(["address", "message"])
    whys = [f"{row['address']}: {row['message']}" for row in found.faults.to_pylist()]
    return schema.column(found.table, column).to_pylist(), whys


IMAGES = {f"{name}.png": A for name in "abcdefg"}
WORDS = ["None", "null", "NA", "nan", "a\u2028b", "a\x0bc\x0cd\x85e"]


@pytest.mark.parametrize("kind", ["csv", "metadata.csv", "jsonl", "metadata.jsonl"])
def test_words_that_look_like_missing_values_and_odd_separators_are_text(kind: str, tmp_path: Path) -> None:
    name = "file_name" if kind.startswith("metadata") else "image"
    rows = [{name: f"{letter}.png", "caption": word} for letter, word in zip("abcdef", WORDS, strict=True)]
    if kind.endswith("csv"):
        lines = [f"{name},caption", *(f'{row[name]},"{row["caption"]}"' for row in rows), "g.png,"]
        data = "\n".join(lines).encode()
    else:
        rows.append({name: "g.png", "caption": ""})
        data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    path = f"train/{kind}" if kind.startswith("metadata") else f"train.{kind}"
    images = {f"train/{one}" if kind.startswith("metadata") else one: data for one, data in IMAGES.items()}
    assert [text or None for text in captions(tmp_path, {path: data, **images})] == [*WORDS, None]


def test_missing_values_among_numbers_stay_missing(tmp_path: Path) -> None:
    data = b"image,caption,score\na.png,NA,1.5\nb.png,x,NA\nc.png,y,\n"
    assert captions(tmp_path, {"train.csv": data, **IMAGES}, "score") == [1.5, None, None]


def test_a_table_in_utf_16_that_says_so_is_read(tmp_path: Path) -> None:
    data = "image,caption\na.png,grün\n".encode("utf-16")
    assert captions(tmp_path, {"train.csv": data, **IMAGES}) == ["grün"]


LATIN = "grün".encode("latin-1")


def lines(second: bytes) -> bytes:
    """JSON Lines, of which the second is another."""
    around = (b'{"image": "a.png", "caption": "x"}', second, b'{"image": "c.png", "caption": "z"}')
    return b"\n".join(around) + b"\n"


BAD_LINES: dict[str, tuple[str, bytes, str]] = {
    "broken": ("train.jsonl", lines(b'{"image": "b.png", "capt'), "train.jsonl#line 2: it is no JSON"),
    "surrogate": ("train.jsonl", lines(b'{"image": "b.png", "caption": "\\ud83d"}'), "half of a surrogate pair"),
    "encoding": (
        "train.jsonl",
        lines(b'{"image": "b.png", "caption": "' + LATIN + b'"}'),
        "line 2: it is not UTF-8 at",
    ),
    "CSV encoding": (
        *("train.csv", b"image,caption\na.png,x\nb.png," + LATIN + b"\nc.png,z\n"),
        "train.csv#row 2: a text in it is not UTF-8",
    ),
    "CSV cells": ("train.csv", b"image,caption\na.png,x\nb.png,y,1,2\nc.png,z\n", "it has 4 cells"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_costs_its_row(case: str, tmp_path: Path) -> None:
    path, data, said = BAD_LINES[case]
    read, whys = faults(tmp_path, {path: data, **IMAGES})
    assert read == ["x", "z"]
    assert len(whys) == 1
    assert said in whys[0]


ARRAY = b'[\n{"image": "a.png", "caption": "x"},\n%s,\n{"image": "c.png", "caption": "z"}\n]\n'
BAD_ELEMENTS = {
    b'{"image": "b.png", "capt}': "train.json#element 2: it is no JSON",
    b'{"image": "b.png", "caption": }': "train.json#element 2: it is no JSON",
    b'{"image": "b.png", "caption": "\\ud83d"}': "half of a surrogate pair",
    b'{"image": "b.png", "caption": "' + LATIN + b'"}': "half of a surrogate pair",
    b'"b.png"': "it is JSON, but no object: str",
}


@pytest.mark.parametrize("element", BAD_ELEMENTS)
def test_a_bad_element_of_an_array_costs_its_row(element: bytes, tmp_path: Path) -> None:
    read, whys = faults(tmp_path, {"train.json": ARRAY % element, **IMAGES})
    assert read == ["x", "z"]
    assert len(whys) == 1
    assert BAD_ELEMENTS[element] in whys[0]


def test_pairs_and_backslashes_in_an_array_are_text(tmp_path: Path) -> None:
    element = b'{"image": "b.png", "caption": "\\ud83d\\ude00 \\\\ud83d"}'
    assert captions(tmp_path, {"train.json": ARRAY % element, **IMAGES}) == ["x", "\N{GRINNING FACE} \\ud83d", "z"]


def test_an_array_that_is_cut_gives_the_elements_in_front(tmp_path: Path) -> None:
    read, whys = faults(tmp_path, {"train.json": (ARRAY % b'{"image": "b.png", "caption": "y"}')[:-12], **IMAGES})
    assert (read, len(whys)) == (["x", "y"], 1)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("case", ["broken", "encoding", "CSV encoding", "CSV cells"])
def test_a_bad_line_of_a_compressed_file_costs_its_row_too(pack: Any, case: str, tmp_path: Path) -> None:
    path, data, said = BAD_LINES[case]
    ending = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
    read, whys = faults(tmp_path, {f"{path}.{ending}": pack(data), **IMAGES})
    assert (read, len(whys)) == (["x", "z"], 1)
    assert said.split("#")[-1] in whys[0]


@pytest.mark.parametrize("name", ["train.csv.gz", "train.v2.csv"])
def test_words_are_words_whatever_the_name_of_the_table(name: str, tmp_path: Path) -> None:
    data = b"image,caption\na.png,None\nb.png,NA\nc.png,\n"
    files = {name: gzip.compress(data) if name.endswith("gz") else data, **IMAGES}
    assert captions(tmp_path, files) == ["None", "NA", None]


def test_a_bad_line_of_a_folders_metadata_costs_its_row(tmp_path: Path) -> None:
    data = b'{"file_name": "a.png", "caption": "x"}\n{"file_name": "b.png", }\n'
    read, whys = faults(tmp_path, {"train/metadata.jsonl": data, "train/a.png": A, "train/b.png": B})
    assert (read, len(whys)) == (["x"], 1)


def sample(name: str, data: bytes = A, text: bytes = b"x", ending: str = "png") -> list[tuple[str, bytes]]:
    return [(f"{name}.{ending}", data), (f"{name}.txt", text)]


def test_a_bad_member_of_a_tar_costs_its_sample(tmp_path: Path) -> None:
    bad = [*sample("b", text=LATIN), ("c.png", A), ("c.json", b"{"), ("c.txt", b"y")]
    read, whys = faults(tmp_path, {"train.tar": tar([*sample("a"), *bad, *sample("d", text=b"z")])}, "png", "txt")
    assert read == ["x", "z"]
    assert [why.split(":")[0] for why in whys] == ["train.tar#b", "train.tar#c"]


def test_a_tar_that_is_cut_gives_the_samples_in_front(tmp_path: Path) -> None:
    data = tar([*sample("a"), *sample("b"), ("c.png", bytes(20_000))])
    read, whys = faults(tmp_path, {"train.tar": data[:8_000]}, "png", "txt")
    assert (read, len(whys), "fetch it again" in whys[0]) == (["x", "x"], 1, True)


def test_samples_of_a_tar_may_differ(tmp_path: Path) -> None:
    shapes = [("a.json", b'{"n": 1, "tags": ["x"]}'), ("b.json", b'{"n": "two", "more": {"z": 1}}')]
    members = [
        *sample("a", ending="jpg"),
        shapes[0],
        *sample("b", B, b"y", "png"),
        shapes[1],
        *sample("c", C, b"z", "webp"),
    ]
    found, _, _ = read(
        folder(tmp_path, {"train.tar": tar(members)}), tmp_path / "memory", WantedColumns("jpg", ("txt", "json"))
    )
    assert schema.column(found.table, "txt").to_pylist() == ["x", "y", "z"]
    shown = schema.column(found.table, "json").to_pylist()
    assert (shown[0]["n"], shown[1]["n"], shown[1]["more"]["z"], shown[2]) == ("1", "two", 1, None)


def test_a_file_of_which_nothing_can_be_read_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"can't be read as JSON Lines in UTF-8: none of its 2 lines is .* mend the file"
    ):
        captions(tmp_path, {"train.jsonl": b"nothing\nat all\n", **IMAGES})


NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(("file", "name"), [(NFC, NFD), (NFD, NFC)])
@pytest.mark.parametrize("kind", ["train.csv", "train/metadata.csv", "train/metadata.jsonl"])
def test_a_name_in_another_unicode_form_is_the_same_file(file: str, name: str, kind: str, tmp_path: Path) -> None:
    column = "file_name" if "metadata" in kind else "image"
    rows = [(f"{name}.png", "x"), ("b.png", "y")]
    text = "\n".join(json.dumps({column: path, "caption": word}, ensure_ascii=False) for path, word in rows)
    if kind.endswith("csv"):
        text = "\n".join([f"{column},caption", *(f"{path},{word}" for path, word in rows)])
    prefix = "train/" if "metadata" in kind else ""
    data = folder(tmp_path, {kind: text.encode(), f"{prefix}{file}.png": A, f"{prefix}b.png": B})
    assert samples(data, tmp_path / "memory") == [("x", A), ("y", B)]


def local(where: Path, files: dict[str, bytes], **rules: Any) -> list[tuple[Any, bytes | None]]:
    return samples(folder(where, files), where / "memory", folder=FolderRules(**rules))


@pytest.mark.parametrize(("file", "name"), [(NFC, NFD), (NFD, NFC)])
def test_a_caption_beside_a_file_may_have_its_name_in_another_form(file: str, name: str, tmp_path: Path) -> None:
    files = {f"{file}.png": A, f"{name}.txt": b"x", "captions.csv": f"filename,caption\n{name}.png,y\n".encode()}
    assert local(tmp_path, files, captions="textfile") == [("x", A)]
    table = CaptionTable(kind="csv", path="captions.csv")
    assert local(tmp_path, files, captions="table", table=table) == [("y", A)]


def test_two_files_that_differ_by_form_only_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="differ only by their Unicode form"):
        local(tmp_path, {f"{NFC}.png": A, f"{NFD}.png": B}, captions="filename")


@pytest.mark.parametrize("kind", ["archive", "hub"])
def test_two_such_files_in_an_archive_or_on_the_hub_are_an_error_that_names_both(
    kind: str, hub: LocalHub, tmp_path: Path
) -> None:
    name, images = "mistakes/forms", {f"{NFC}.png": A, f"{NFD}.png": B}
    if kind == "hub":
        hub.commit(name, {f"train/{path}": data for path, data in images.items()})
    where = name if kind == "hub" else folder(tmp_path, {"train/images.zip": archive(images)})
    with pytest.raises(
        DatasetError, match=r"differ only by their Unicode form .*(caf\\xe9.png.*cafe\\u0301|cafe\\u0301.png.*caf\\xe9)"
    ):
        read(where, tmp_path / "memory", WantedColumns("image", ()))


def test_only_the_ends_of_lines_part_captions_and_any_usual_ending_is_read(tmp_path: Path) -> None:
    files = {
        **{f"{name}.png": A for name in "abcd"},
        "a.txt": "one\u2028still one\x85\x0b\x0cand still\r\ntwo\rthree\n".encode(),
        "b.TXT": b"four",
        "c.Caption": b"five",
        "d.txt": b"six",
        "d.caption": b"not read",
    }
    read = [caption for caption, _ in local(tmp_path, files, captions="textfile")]
    assert read == [["one\u2028still one\x85\x0b\x0cand still", "two", "three"], ["four"], ["five"], ["six"]]


def test_a_caption_file_in_another_encoding_costs_its_row(tmp_path: Path) -> None:
    files = {"a.png": A, "a.txt": LATIN, "b.png": B, "b.txt": b"x", "c.png": C, "c.txt": "y".encode("utf-16")}
    found, _, _ = read(folder(tmp_path, files), tmp_path / "memory", folder=FolderRules(captions="textfile"))
    assert schema.column(found.table, "caption").to_pylist() == [None, "x", "y"]
    assert [row["message"] for row in found.faults.to_pylist()] == ['"a.txt" is not UTF-8 text: save it as UTF-8']


MIXED = [*sample("a", ending="jpg"), *sample("b", B, b"y", "png"), *sample("c", C, b"z", "webp")]


@pytest.mark.parametrize("column", ["image", "jpg|png|webp"])
@pytest.mark.parametrize("archives", [[MIXED], [MIXED[:2], MIXED[2:4], MIXED[4:]]], ids=["in one tar", "one tar each"])
def test_pictures_of_a_webdataset_may_end_in_different_ways(
    column: str, archives: list[list[tuple[str, bytes]]], tmp_path: Path
) -> None:
    data = folder(tmp_path, {f"train-{number}.tar": tar(members) for number, members in enumerate(archives)})
    assert samples(data, tmp_path / "memory", WantedColumns(column, ("txt",))) == [("x", A), ("y", B), ("z", C)]


def test_of_several_pictures_of_a_sample_the_first_is_taken_and_any_can_be_named(tmp_path: Path) -> None:
    members = [("a.0.jpg", A), ("a.1.jpg", B), ("a.txt", b"x"), ("b.0.jpg", C), ("b.txt", b"y")]
    data = folder(tmp_path, {"train.tar": tar(members)})
    assert samples(data, tmp_path / "memory", WantedColumns("image", ("txt",))) == [("x", A), ("y", C)]
    assert samples(data, tmp_path / "memory", WantedColumns("1.jpg", ("txt",))) == [("x", B), ("y", None)]


@pytest.mark.parametrize("name", ["train.tar", "train.zip"])
def test_rows_of_an_archive_are_known_by_their_members(name: str, tmp_path: Path) -> None:
    members = [("a/one.png", A), ("a/one.txt", b"x"), ("a/two.jpg", B), ("a/two.txt", b"y")]
    pictures = {path: data for path, data in members if not path.endswith("txt")}
    data = tar(members) if name == "train.tar" else archive(pictures)
    media, columns = ("image", ("txt",)) if name == "train.tar" else ("image", ())
    where = folder(tmp_path, {name: data})
    for _ in range(2):  # also as it is remembered
        found, *_ = read(where, tmp_path / "memory", WantedColumns(media, columns))
        assert found.table[schema.SOURCE_PATH.name].to_pylist() == ["a/one.png", "a/two.jpg"]
    (tmp_path / "data" / name).unlink()
    folder(tmp_path, {name: data.replace(b"one", b"eno")})
    assert read(where, tmp_path / "memory", WantedColumns(media, columns))[0].version != found.version


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize("kind", [IMAGE, pa.binary()], ids=["structs", "bytes"])
def test_one_of_a_list_s_pictures_is_taken(kind: pa.DataType, tmp_path: Path) -> None:
    lists = [[A, B], None, [C], [], [B, C, A]]
    if kind == IMAGE:
        lists = [None if one is None else [{"bytes": data} for data in one] for one in lists]
    table = pa.table({"images": pa.array(lists, pa.list_(kind)), "caption": list("abcde")})
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=2)
    data = folder(tmp_path, {"train.parquet": stream.getvalue()})
    first, second = (samples(data, tmp_path / "memory", WantedColumns(f"images[{at}]", ("caption",))) for at in (0, 1))
    assert [media for _, media in first] == [A, None, C, None, B]
    assert [media for _, media in second] == [B, None, None, None, C]
    with pytest.raises(DatasetError, match=r'holds lists: name one of their items, such as "images\[0\]"'):
        samples(data, tmp_path / "memory", WantedColumns("images", ("caption",)))


def test_paths_in_lists_lead_to_files(tmp_path: Path) -> None:
    rows = [{"images": ["a.png", "b.png"], "caption": "x"}, {"images": ["c.png"], "caption": "y"}]
    data = folder(
        tmp_path, {"train.jsonl": "\n".join(map(json.dumps, rows)).encode(), **IMAGES, "b.png": B, "c.png": C}
    )
    assert samples(data, tmp_path / "memory", WantedColumns("images[0]", ("caption",))) == [("x", A), ("y", C)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("column", ["path", "image"])
def test_metadata_without_file_name_name_files_by_the_column_of_paths(column: str, kind: str, tmp_path: Path) -> None:
    rows = [{column: "images/a.png", "caption": "x"}, {column: "images/b.png", "caption": "y.z"}]
    lines = [f"{column},caption", *(",".join(row.values()) for row in rows)] if kind == "csv" else map(json.dumps, rows)
    files = {f"metadata.{kind}": "\n".join(lines).encode(), "images/a.png": A, "images/b.png": B}
    assert samples(folder(tmp_path, files), tmp_path / "memory") == [("x", A), ("y.z", B)]


def test_classes_by_number_are_captions_by_their_names(tmp_path: Path) -> None:
    labels = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a cat", "a dog"])})
    rows = {"image": [{"bytes": A, "path": None}] * 4, "label": [1, 0, None, -1]}
    stream = io.BytesIO()
    datasets.Dataset.from_dict(rows, features=labels).to_parquet(stream)
    cases = {
        "parquet": ({"train.parquet": stream.getvalue()}, [["a dog"], ["a cat"]]),
        "folder": ({"train/cat/1.png": A, "train/dog/2.png": B}, [["cat"], ["dog"]]),
    }
    for name, (files, expected) in cases.items():
        found, _, _ = read(
            folder(tmp_path / name, files), tmp_path / name / "memory", WantedColumns("image", ("label",))
        )
        table, _ = stage.extract(found.table, stage.CaptionRules(columns_of_captions=("label",)))
        assert table["captions"].to_pylist() == expected


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(("place", "inside"), [("train/", ""), ("", "img/"), ("", "")])
def test_metadata_may_lie_beside_an_archive_of_images_or_in_it(
    kind: str, place: str, inside: str, tmp_path: Path
) -> None:
    rows = [{"file_name": f"{inside}b.png", "caption": "y"}, {"file_name": f"{inside}a.png", "caption": "x"}]
    tables = {"csv": ["file_name,caption", *map(",".join, (row.values() for row in rows))]}
    text = "\n".join(tables.get(kind, map(json.dumps, rows))).encode()
    images = {f"{inside}a.png": A, f"{inside}b.png": B}
    beside = folder(tmp_path / "beside", {f"{place}images.zip": archive(images), f"{place}metadata.{kind}": text})
    within = folder(tmp_path / "within", {"images.zip": archive({**images, f"metadata.{kind}": text})})
    assert sorted(samples(beside, tmp_path / "memory")) == [("x", A), ("y", B)]
    assert sorted(samples(within, tmp_path / "memory2")) == [("x", A), ("y", B)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("inside", ["", "img/"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_metadata_may_lie_beside_a_tar_of_bare_images_or_in_it(
    kind: str, inside: str, pack: Any, tmp_path: Path
) -> None:
    rows = [{"file_name": f"{inside}b.png", "caption": "y"}, {"file_name": f"{inside}a.jpg", "caption": "x"}]
    tables = {"csv": ["file_name,caption", *map(",".join, (row.values() for row in rows))]}
    text = "\n".join(tables.get(kind, map(json.dumps, rows))).encode()
    images = [(f"{inside}a.jpg", A), (f"{inside}b.png", B)]
    ending = "tar" if pack is bytes else "tar.gz"
    beside = {f"train/images.{ending}": pack(tar(images)), f"train/metadata.{kind}": text}
    assert samples(folder(tmp_path / "beside", beside), tmp_path / "memory") == [("x", A), ("y", B)]
    within = {f"images.{ending}": pack(tar([(f"metadata.{kind}", text), *images]))}
    assert samples(folder(tmp_path / "within", within), tmp_path / "memory2") == [("x", A), ("y", B)]
    edited = {**beside, f"train/metadata.{kind}": text.replace(b"x", b"z")}
    again = samples(folder(tmp_path / "beside", edited), tmp_path / "memory")
    assert ("y", B) in again
    assert ("x", A) not in again


def test_texts_in_a_tar_go_before_metadata_beside_it(tmp_path: Path) -> None:
    files = {"a.tar": tar([*sample("a"), *sample("b", B)]), "metadata.csv": b"file_name,txt\na.png,other\n"}
    assert samples(folder(tmp_path, files), tmp_path / "memory", WantedColumns("png", ("txt",))) == [("x", A), ("x", B)]

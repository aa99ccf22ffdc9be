"""Text of JSON, CSV, archives and files beside media, as it was written; and what is left of files that are damaged."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.spec import CaptionTable, FolderRules
from hf_assets_tests.sources.reading import read, samples
from hf_assets_tests.sources.test_bad_rows import NUM_ROWS, arrow, table
from hf_assets_tests.sources.test_mistakes import (
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
    tar,
)
from hf_assets_tests.sources.test_other_mistakes import parquet

THREE = {"a.png": A, "b.png": B, "c.png": C}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def as_file(kind: str, values: list[str]) -> dict[str, bytes]:
    """JSON whose captions are written so, with its images."""
    name = "file_name" if "metadata" in kind else "image"
    lines = [f'{{"{name}": "{one}.png", "caption": {value}}}' for one, value in zip("abc", values, strict=False)]
    data = {"json": f"[{', '.join(lines)}]", "field": f'{{"data": [{", ".join(lines)}]}}'}.get(kind, "\n".join(lines))
    readme = b"---\nconfigs:\n- config_name: default\n  data_files: train.json\n  field: data\n---\n"
    if kind == "metadata in a ZIP":
        return {"x.zip": archive({"metadata.jsonl": data.encode(), **dict(list(THREE.items())[: len(values)])})}
    path = {"field": "train.json", "json": "train.json", "metadata": "metadata.jsonl"}.get(kind, "train.jsonl")
    return {path: data.encode(), **THREE, **({"README.md": readme} if kind == "field" else {})}


KINDS = ["jsonl", "json", "field", "metadata", "metadata in a ZIP"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['"2020-01-01"', '"2021-02-03"'], ["2020-01-01", "2021-02-03"]),
        (['"2020-01-01 10:00:00"', '"2021-02-03T10:00Z"'], ["2020-01-01 10:00:00", "2021-02-03T10:00Z"]),
        (['["2020-01-01"]', '["2021-02-03", "x"]'], [["2020-01-01"], ["2021-02-03", "x"]]),
        (['"007"', '"1.50"'], ["007", "1.50"]),
        (['"x"', "1e400", "1.50"], ["x", "1e400", "1.50"]),
        (['"x"', "12345678901234567890", "NaN"], ["x", "12345678901234567890", None]),
        (['["x", 5]', '"y"', "7"], [["x", "5"], ["y"], ["7"]]),
        (['{"d": "2020-01-01", "n": 1}', '{"d": "2020-01-02"}'], [("2020-01-01", 1), ("2020-01-02", None)]),
    ],
    ids=["dates", "times", "lists", "digits", "huge", "not a number", "mixed lists", "structs"],
)
def test_text_of_json_is_what_is_written(kind: str, values: list[str], expected: list[Any], tmp_path: Path) -> None:
    found = captions(tmp_path, as_file(kind, values))
    plain = [(one["d"], one["n"]) if isinstance(one, dict) else one for one in found]
    assert plain[: len(values)] == expected


def test_dates_in_front_of_a_text_far_behind_them_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_assets.sources.formats.json_rows.CHUNK_BYTES", 100)
    values = ["2020-01-01"] * 9 + ["a text", "2020-01-01"]
    data = "\n".join(json.dumps({"image": "a.png", "caption": one}) for one in values).encode()
    assert captions(tmp_path, {"train.jsonl": data, "a.png": A}) == values


def test_fields_of_structs_in_lists_that_change_their_type_are_texts(tmp_path: Path) -> None:
    files = as_file("jsonl", ['[{"text": "x"}, {"text": 1.50}]', '[{"text": "y", "more": [1]}]'])
    assert captions(tmp_path, files, "caption.text") == [["x", "1.50"], ["y"]]


def test_json_over_several_lines_is_read(tmp_path: Path) -> None:
    both = [json.dumps({"image": f"{name}.png", "caption": name}, indent=2) for name in "ab"]
    assert captions(tmp_path, {"train.json": "\n".join(both).encode(), **THREE}) == ["a", "b"]


SAID = (
    "---\n{}dataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: caption\n    dtype: string\n---\n"
)
ROWS = b"file_name,caption\na.png,007\nb.png,NA\nc.png,1.50\n"
TABLES: dict[str, dict[str, bytes]] = {
    "train.csv": {"train.csv": ROWS.replace(b"file_name", b"image"), **THREE},
    "metadata": {"metadata.csv": ROWS, **THREE},
    "in a ZIP": {"x.zip": archive({"metadata.csv": ROWS, **THREE})},
    "beside a ZIP": {"x.zip": archive(THREE), "metadata.csv": ROWS},
}


@pytest.mark.parametrize("kind", TABLES)
def test_what_the_readme_calls_text_is_text_whatever_is_in_it(kind: str, tmp_path: Path) -> None:
    config = "configs:\n- config_name: default\n  data_files: train.csv\n" if kind == "train.csv" else ""
    assert captions(tmp_path, {"README.md": SAID.format(config).encode(), **TABLES[kind]}) == ["007", "NA", "1.50"]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_compressed_file_that_is_cut_gives_the_lines_in_front(pack: Any, kind: str, tmp_path: Path) -> None:
    texts = [f"{hash(str(number)):x}" for number in range(400)]
    lines = [json.dumps({"image": "a.png", "caption": text}) for text in texts]
    if kind == "csv":
        lines = ["image,caption", *(f"a.png,{text}" for text in texts)]
    ending = "gz" if pack is gzip.compress else "xz"
    data = pack("\n".join(lines).encode())
    read_, whys = faults(tmp_path, {f"train.{kind}.{ending}": data[: len(data) // 2], "a.png": A})
    assert 50 < len(read_) < 350
    assert read_ == texts[: len(read_)]
    number = len(read_) + 1 + (kind == "csv")
    assert len(whys) == 1
    assert f"#line {number}: the file ends, or is damaged, in or behind this line" in whys[0]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_compressed_file_needs_no_such_ending(kind: str, tmp_path: Path) -> None:
    data = {"jsonl": b'{"image": "a.png", "caption": "x"}\n', "csv": b"image,caption\na.png,x\n"}[kind]
    assert captions(tmp_path, {f"train.{kind}": gzip.compress(data), "a.png": A}) == ["x"]


PAGE = b"<!DOCTYPE html>\n<html>Not found</html>"
NAMES = ["train.jsonl", "train.csv", "train.parquet", "train.tar", "train.arrow"]
METADATA = ["metadata.csv", "metadata.jsonl", "metadata.parquet"]


@pytest.mark.parametrize("name", [*NAMES, *METADATA])
@pytest.mark.parametrize(
    ("data", "said"), [(POINTER, "a Git LFS pointer"), (PAGE, "a web page"), (b"", "empty: fetch it again")]
)
def test_a_file_that_is_something_else_is_called_so(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    others = THREE if name.startswith("metadata") else {}
    with pytest.raises(DatasetError, match=f'"{name}" is {said}'):
        captions(tmp_path, {name: data, **others})


@pytest.mark.parametrize(
    ("name", "data"), [("train.csv", b"image,caption\n"), ("train.json", b"[]"), ("metadata.csv", b"file_name,text\n")]
)
def test_a_file_without_rows_is_called_so(name: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f'"{name}" has no rows'):
        captions(tmp_path, {name: data, **THREE})


@pytest.mark.parametrize("name", ["train.csv", "metadata.csv"])
def test_a_csv_none_of_whose_rows_is_utf_8_says_so(name: str, tmp_path: Path) -> None:
    column = b"image" if name == "train.csv" else b"file_name"
    with pytest.raises(DatasetError, match="none of its 2 rows can be read: a text in it is not UTF-8"):
        captions(tmp_path, {name: column + b",caption\na.png," + LATIN + b"\nb.png," + LATIN + b"\n", **THREE})
    data = column + b",caption," + LATIN + b"\na.png,x,1\n"
    assert captions(tmp_path / "header", {name: data, "a.png": A}) == ["x"]


def texts_beside(where: Path, files: dict[str, bytes]) -> tuple[list[Any], list[str]]:
    found, _, _ = read(folder(where, files), where / "memory", folder=FolderRules(captions="textfile"))
    return schema.column(found.table, "caption").to_pylist(), found.faults["message"].to_pylist()


@pytest.mark.parametrize("place", ["loose", "in a ZIP"])
def test_a_pointer_in_place_of_a_text_is_no_caption(place: str, tmp_path: Path) -> None:
    files = {"a.png": A, "a.txt": POINTER, "b.png": B, "b.txt": b"\xef\xbb\xbf", "c.png": C, "c.txt": b"x"}
    read_, whys = texts_beside(tmp_path, files if place == "loose" else {"x.zip": archive(files)})
    assert [one or None for one in read_] == [None, None, "x" if place == "loose" else ["x"]]
    assert len(whys) == 1  # a mark alone is an empty text
    assert whys[0].startswith('"a.txt" is a Git LFS pointer')


NOT_TEXT = pa.StringArray.from_buffers(3, *pa.array([b"x", LATIN, b"z"]).buffers()[1:])


@pytest.mark.parametrize("kind", ["folder", "in a ZIP", "beside a ZIP", "in a tar", "table"])
@pytest.mark.parametrize("column", ["file_name", "path"])
def test_a_text_of_metadata_in_parquet_that_is_not_utf_8_costs_its_row(kind: str, column: str, tmp_path: Path) -> None:
    data = parquet(pa.table({column: list(THREE), "caption": NOT_TEXT}))
    files: dict[str, bytes] = {
        "folder": {"metadata.parquet": data, **THREE},
        "in a ZIP": {"x.zip": archive({"metadata.parquet": data, **THREE})},
        "beside a ZIP": {"x.zip": archive(THREE), "metadata.parquet": data},
        "in a tar": {"x.tar": tar([("metadata.parquet", data), *THREE.items()])},
        "table": {"t.parquet": data, **THREE},
    }[kind]
    spec = CaptionTable(kind="parquet", path="t.parquet", filename_column=column)
    rules: dict[str, Any] = {"folder": FolderRules(captions="table", table=spec)} if kind == "table" else {}
    found, _, _ = read(folder(tmp_path, files), tmp_path / "memory", **rules)
    read_ = schema.column(found.table, "caption").to_pylist()
    assert [one for one in read_ if one is not None] == ["x", "z"]
    (why,) = found.faults.to_pylist()
    assert "row 2" in why["address"]
    assert 'its column "caption" is not UTF-8' in why["message"]


NESTED: dict[str, Any] = {
    "list": lambda texts: pa.ListArray.from_arrays(pa.array(range(NUM_ROWS + 1), pa.int32()), texts),
    "large list": lambda texts: pa.LargeListArray.from_arrays(pa.array(range(NUM_ROWS + 1), pa.int64()), texts),
    "fixed list": lambda texts: pa.FixedSizeListArray.from_arrays(texts, 1),
    "struct": lambda texts: pa.StructArray.from_arrays([texts], ["t"]),
    "structs": lambda texts: NESTED["list"](NESTED["struct"](texts)),
    "dictionary": lambda texts: pa.DictionaryArray.from_arrays(pa.array(range(NUM_ROWS), pa.int32()), texts),
}


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
@pytest.mark.parametrize("form", NESTED)
def test_a_nested_text_of_an_arrow_file_costs_its_row_and_not_its_batch(form: str, new: Any, tmp_path: Path) -> None:
    rows = table((3, 20))
    rows = rows.set_column(1, "caption", NESTED[form](rows["caption"].combine_chunks()))
    column = "caption.t" if "struct" in form else "caption"
    found, _, _ = read(
        folder(tmp_path, {"train.arrow": arrow(rows, new)}), tmp_path / "memory", WantedColumns("image", (column,))
    )
    read_ = [one[0] if isinstance(one, list) else one for one in schema.column(found.table, column).to_pylist()]
    assert read_ == [f"picture {row}" for row in range(NUM_ROWS) if row not in (3, 20)]
    assert found.faults["source_path"].to_pylist() == ["row 4", "row 21"]
    assert 'its column "caption" holds a text that is not UTF-8' in found.faults["message"][0].as_py()


@pytest.mark.parametrize(("member", "name"), [(NFC, NFD), (NFD, NFC)])
@pytest.mark.parametrize("place", ["in it", "beside it"])
def test_a_member_of_a_zip_may_be_named_in_another_unicode_form(
    member: str, name: str, place: str, tmp_path: Path
) -> None:
    rows = f"file_name,caption\n{name}/{name}.png,x\n".encode()
    members = {f"{member}/{member}.png": A, "b.png": B, "c.png": C}
    files = {"x.zip": archive({**members, **({"metadata.csv": rows} if place == "in it" else {})})}
    found = samples(folder(tmp_path, files if place == "in it" else {**files, "metadata.csv": rows}), tmp_path / "m")
    assert [one for one in found if one[0]] == [("x", A)]


def test_members_of_one_name_in_two_archives_are_told_by_the_archive_s_name(tmp_path: Path) -> None:
    rows = b"file_name,caption\none/a.png,x\ntwo/a.png,y\n"
    files = {"one.zip": archive({"a.png": A}), "two.zip": archive({"a.png": B}), "metadata.csv": rows}
    assert samples(folder(tmp_path, files), tmp_path / "memory") == [("x", A), ("y", B)]
    unclear = {**files, "metadata.csv": rows.replace(b"one/", b"left/").replace(b"two/", b"right/")}
    assert samples(folder(tmp_path / "unclear", unclear), tmp_path / "m") == [(None, A), (None, B)]


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_what_metadata_name_and_an_archive_lacks_is_said(ending: str, tmp_path: Path) -> None:
    rows = b"file_name,caption\na.png,x\nz.png,y\n"
    data = archive({"a.png": A}) if ending == "zip" else tar([("a.png", A)])
    found, whys = faults(tmp_path, {f"x.{ending}": data, "metadata.csv": rows})
    assert (found, whys) == (["x"], [f'x.{ending}#z.png: metadata name "z.png", which isn\'t in the archive'])
    more = archive({"z.png": B}) if ending == "zip" else tar([("z.png", B)])
    (tmp_path / "data" / f"y.{ending}").write_bytes(more)
    again, _, _ = read(str(tmp_path / "data"), tmp_path / "memory")
    assert (schema.column(again.table, "caption").to_pylist(), len(again.faults)) == (["x", "y"], 0)


def test_captions_of_a_webdataset_may_be_called_so(tmp_path: Path) -> None:
    members = [("a.jpg", A), ("a.caption", b"x"), ("b.jpg", B), ("b.caption", LATIN), ("c.jpg", C), ("c.caption", b"z")]
    read_, whys = faults(tmp_path, {"x.tar": tar(members)}, "image", "caption")
    assert (read_, [why.split(" (")[0] for why in whys]) == (
        ["x", "z"],
        ['x.tar#b: "b.caption" can\'t be read: it is not UTF-8 at byte 2'],
    )


def test_a_sample_whose_json_has_a_field_twice_or_is_a_pointer_costs_itself(tmp_path: Path) -> None:
    jsons = [b'{"t": "x", "t": "y"}', POINTER, b'{"t": 1.50}', b'{"t": "z"}']
    members = [one for at, data in enumerate(jsons) for one in ((f"{at}.jpg", A), (f"{at}.json", data))]
    read_, whys = faults(tmp_path, {"x.tar": tar(members)}, "image", "json.t")
    assert read_ == ["1.50", "z"]
    assert ['two fields called "t"' in whys[0], "a Git LFS pointer" in whys[1]] == [True, True]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_row_of_metadata_that_names_an_address_or_another_place_costs_itself(kind: str, tmp_path: Path) -> None:
    names = ["a.png", "https://example.com/b.png", "../b.png", "/b.png", "c.png"]
    rows = pa.table({"file_name": names, "caption": list("vwxyz")})
    text = {
        "csv": "\n".join(["file_name,caption", *(",".join(row.values()) for row in rows.to_pylist())]),
        "jsonl": "\n".join(map(json.dumps, rows.to_pylist())),
    }
    data = parquet(rows) if kind == "parquet" else text[kind].encode()
    read_, whys = faults(tmp_path, {f"metadata.{kind}": data, **THREE})
    assert read_ == ["v", "z"]
    assert ["an address" in whys[0], "lies outside" in whys[1], "lies outside" in whys[2]] == [True] * 3
    with pytest.raises(DatasetError, match=r"names no file that can be read .*an address"):
        captions(tmp_path / "all", {"metadata.csv": b"file_name,caption\nhttps://example.com/b.png,x\n", **THREE})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"x.zip": archive(THREE), "captions.csv": b"file_name,caption\na.png,x\n"},
            'a table that says of the members of "x.zip" what they are is called metadata.csv',
        ),
        (
            {"x.zip": archive(THREE), "train.jsonl": b'{"image": "a.png", "caption": "x"}\n'},
            'a table that says of the members of "x.zip" what they are is called metadata.csv',
        ),
        ({"d/a.png": A, "t.csv": b"path,caption\nd/a.png,x\n"}, 'set image_column to "path", if it names the media'),
    ],
)
def test_a_table_beside_media_that_is_not_read_is_said_how(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        captions(tmp_path, files)


def test_rows_that_name_what_is_not_there_are_counted(tmp_path: Path) -> None:
    data = b"image,caption\na.png,x\nz.png,y\nhttps://example.com/b.png,z\n"
    found, _, _ = read(folder(tmp_path, {"train.csv": data, **THREE}), tmp_path / "memory")
    assert (len(found.table), found.missing) == (3, (2, "z.png"))

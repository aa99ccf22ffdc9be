"""Local folders in the Hub's layout, and how the columns of several files become one table."""

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError
from hf_assets.hub import hashes
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.places.local_repository import LocalSource
from hf_assets.sources.rows import Rows
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import SourceSpec
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.parquet_files import parquet
from hf_assets_tests.sources.parquet_files import rows as rows_file

README = b"---\nconfigs:\n- config_name: x\n  data_files:\n  - split: train\n    path: odd/*.parquet\n---\n"
ENCODED = pa.struct([("x", pa.dictionary(pa.int32(), pa.string()))])
VIEWS = pa.struct([("x", pa.string_view())])
WANTED = WantedColumns("image", ("caption",))


def folder_of(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        os.utime(folder / path, (1, 1))
    return folder


def source(folder: Path, memory: Path, **spec: str) -> LocalSource:
    made = source_of(SourceSpec(dataset_name=str(folder), **spec), memory)
    assert isinstance(made, LocalSource)
    return made


def read(folder: Path, memory: Path, wanted: WantedColumns = WANTED) -> Rows:
    one = source(folder, memory)
    return rows.read(one, one.resolve(), wanted, memory / "columns", lambda line: None)


LAYOUTS: list[dict[str, bytes]] = [
    {"data/train-00000-of-00002.parquet": rows_file(["a"]), "data/train-00001-of-00002.parquet": rows_file(["b"])},
    {"train.parquet": rows_file(["a"]), "test.parquet": rows_file(["b"])},
    {"train/10.parquet": rows_file(["a"]), "train/9.parquet": rows_file(["b"]), "README.md": b"hello"},
    {"README.md": README, "odd/2.parquet": rows_file(["a"]), "odd/1.parquet": rows_file(["b"]), "train.parquet": b""},
]


@pytest.mark.parametrize("files", LAYOUTS)
def test_a_folder_is_read_as_the_hub_is(files: dict[str, bytes], hub: LocalHub, tmp_path: Path) -> None:
    name = f"local/d{LAYOUTS.index(files)}"
    hub.commit(name, dict(files))
    remote = source_of(SourceSpec(dataset_name=name), tmp_path / "memory")
    there = remote.resolve()
    here = source(folder_of(tmp_path / "folder", files), tmp_path / "memory").resolve()
    assert here.files == there.files
    assert here.fingerprint == there.fingerprint
    assert (here.is_local, there.is_local) == (True, False)
    theirs = rows.read(remote, there, WANTED, tmp_path / "theirs", lambda line: None).table
    assert read(tmp_path / "folder", tmp_path / "memory").table.equals(theirs)


def test_a_folder_behind_a_link_is_read(tmp_path: Path) -> None:
    folder_of(tmp_path / "far" / "real", LAYOUTS[0])
    (tmp_path / "near").symlink_to(tmp_path / "far" / "real")
    assert [len(read(tmp_path / folder, tmp_path / "m").table) for folder in ("near", "far/real")] == [2, 2]


def test_errors_of_a_folder_say_what_to_do(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", LAYOUTS[1])
    cases = {
        "does not exist: correct dataset_name": source(tmp_path / "none", tmp_path),
        'has no revisions: remove revision "main"': source(folder, tmp_path, revision="main"),
        'has no split "val": set split to one of "train", "test"': source(folder, tmp_path, split="val"),
        'has no dataset_config "x": set dataset_config to one of "default"': source(
            folder, tmp_path, dataset_config="x"
        ),
        "holds no data files": source(folder_of(tmp_path / "empty", {"notes": b""}), tmp_path),
    }
    for message, one in cases.items():
        with pytest.raises(DatasetError) as caught:
            one.resolve()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_that_changed_since_stops_the_run(tmp_path: Path) -> None:
    one = source(folder_of(tmp_path / "folder", {"train.parquet": rows_file(["a"])}), tmp_path)
    snapshot = one.resolve()
    path = tmp_path / "folder" / "train.parquet"
    assert one.fetch(snapshot, snapshot.files[0]) == path
    path.write_bytes(rows_file(["b"]))
    for use in (one.fetch, one.open_ranges):
        with pytest.raises(DatasetError, match=r"has changed since raw_dataset was made: materialize raw_dataset"):
            use(snapshot, snapshot.files[0])
    path.unlink()
    with pytest.raises(DatasetError, match="has changed since raw_dataset was made"):
        one.fetch(snapshot, snapshot.files[0])


def test_a_hash_is_taken_once_and_again_after_a_touch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    real = hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: taken.append(path.name) or real(path))
    monkeypatch.setattr(hashes, "SETTLED_AFTER_NS", -1)
    folder = folder_of(tmp_path / "folder", LAYOUTS[0])
    one = source(folder, tmp_path)
    snapshot = one.resolve()
    assert len(taken) == 2
    assert source(folder, tmp_path).resolve() == snapshot
    assert len(taken) == 2
    os.utime(folder / snapshot.files[0].path)
    assert one.fetch(snapshot, snapshot.files[0]).exists()  # touched, not changed
    one.fetch(snapshot, snapshot.files[0])
    assert len(taken) == 3
    (tmp_path / "file_hashes.json").write_bytes(b"{")
    assert one.resolve() == snapshot
    assert len(taken) == 5


def test_the_hash_of_a_file_that_changed_just_now_is_not_trusted(tmp_path: Path) -> None:
    """A second change within one tick of the clock leaves size and times as they were."""
    one = source(folder_of(tmp_path / "folder", {"train.parquet": rows_file(["a"])}), tmp_path)
    one.resolve()
    assert not (tmp_path / "file_hashes.json").exists()
    assert time.time_ns() - (tmp_path / "folder/train.parquet").stat().st_ctime_ns < hashes.SETTLED_AFTER_NS


# Several files


def column_of(folder: Path, *parts: Any, column: str = "value") -> pa.ChunkedArray:
    """Read one column of files that hold these parts, and once more from memory, where it must be the same."""
    files = {f"train-{n}.parquet": parquet({"image": [b"x"] * len(part), column: part}) for n, part in enumerate(parts)}
    folder_of(folder / "folder", files)
    first = read(folder / "folder", folder / "memory", WantedColumns("image", (column,)))
    again = read(folder / "folder", folder / "memory", WantedColumns("image", (column,)))
    assert (first.computed, again.computed) == (len(first.table), 0)
    assert again.table.schema == first.table.schema
    assert str(again.table.to_pylist()) == str(first.table.to_pylist())  # as text, since NaN differs from itself
    return schema.column(first.table, column)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b", "a", None]).dictionary_encode(),
        pa.array(["a", None], pa.large_string()),
        pa.array([["a", "b"], [], None]),
        pa.array([{"x": 1, "y": {"z": "t"}}, None, {"x": None, "y": None}]),
        pa.array([None, None]),
        pa.array([1.5, float("nan"), None]),
        pa.array([True, False]),
        pa.array([b"x", None]),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
        pa.array([], pa.string()),
        pa.array(["one row"]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_column_of_any_type_is_the_same_from_the_file_and_from_memory(values: pa.Array, tmp_path: Path) -> None:
    assert str(column_of(tmp_path, values).to_pylist()) == str(values.to_pylist())


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (pa.array([1, 2]), pa.array([0.5]), pa.float64()),
        (pa.array([1], pa.int32()), pa.array([2]), pa.int64()),
        (pa.array(["a"]), pa.array(["b"], pa.large_string()), pa.large_string()),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), pa.string()),
        (pa.array(["a"], pa.string_view()), pa.array(["b"]), pa.string()),
        (pa.array([{"x": "a"}, None], ENCODED), pa.array([{"x": "b"}]), pa.struct([("x", pa.string())])),
        (pa.array([{"x": "a"}], VIEWS), pa.array([{"x": "b"}]), pa.struct([("x", pa.string())])),
        (pa.array([["a"]], pa.list_(ENCODED.field(0).type)), pa.array([["b"]]), pa.list_(pa.string())),
        (pa.array([None]), pa.array(["b"]), pa.string()),
        (pa.array([{"x": 1}]), pa.array([{"y": 0.5}]), pa.struct([("x", pa.int64()), ("y", pa.float64())])),
    ],
)
def test_files_whose_types_differ_a_little_are_joined(
    one: pa.Array, other: pa.Array, kind: Any, tmp_path: Path
) -> None:
    found = column_of(tmp_path, one, other)
    assert found.type == fingerprint.large(kind)  # text in the form without a limit of 2 GiB
    assert len(found) == len(one) + len(other)


def test_files_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"disagree about the type of a column: .*value"):
        column_of(tmp_path, pa.array([1]), pa.array(["a"]))


def test_a_column_that_one_file_lacks_is_named_with_the_file(tmp_path: Path) -> None:
    files = {"train-0.parquet": rows_file(["a"]), "train-1.parquet": parquet({"image": [b"x"], "captions": ["a"]})}
    with pytest.raises(DatasetError, match=r'"caption" is not in the dataset \("train-1.*did you mean "captions"\?'):
        read(folder_of(tmp_path / "folder", files), tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("value.capton", r'column "value.capton" is not in the dataset: did you mean "caption"\? "value" has caption'),
        ("value.caption.x", r'"value.caption" holds string, which has no fields'),
        ("valu", r'did you mean "value"\? It has image, value'),
    ],
)
def test_a_dotted_path_that_leads_nowhere_names_the_nearest(path: str, message: str, tmp_path: Path) -> None:
    files = {"train.parquet": parquet({"image": [b"x"], "value": [{"caption": "a"}]})}
    with pytest.raises(DatasetError, match=message):
        read(folder_of(tmp_path / "folder", files), tmp_path, WantedColumns("image", (path,)))


def test_a_dotted_path_leads_into_structs_of_which_one_file_lacks_the_field(tmp_path: Path) -> None:
    parts = [[{"a": {"b": "deep"}}], [{"a": None}], [{"c": 1}]]
    files = {f"train-{n}.parquet": parquet({"image": [b"x"], "s": part}) for n, part in enumerate(parts)}
    found = read(folder_of(tmp_path / "folder", files), tmp_path, WantedColumns("image", ("s.a.b",)))
    assert schema.column(found.table, "s.a.b").to_pylist() == ["deep", None, None]


@pytest.mark.parametrize(
    ("values", "path", "expected"),
    [
        ([{"a": {"b": 1}}, {"a": None}, None], "s.a.b", [7, 1, None, None]),
        ([{"other": b"x"}, None], "s.a.b", [7, None, None]),
        ([None, None], "s.a.b", [7, None, None]),
        ([{"a": 1, "other": b"x"}], "s.a.b", "disagree about the type of a column"),
        ([[b"x"], None], "s.a.b", "disagree about the type of a column"),
        ([{"other": b"x"}], "s.a.c", r'"s.a.c" is not in the dataset: "s.a" has b'),
        ([None], "s.c", r'"s.c" is not in the dataset: "s" has a'),
    ],
)
def test_a_file_whose_struct_lacks_a_field_beside_one_that_has_it(
    values: list[Any], path: str, expected: Any, tmp_path: Path
) -> None:
    parts = [[{"a": {"b": 7}}], values]
    files = {f"train-{n}.parquet": parquet({"image": [b"x"] * len(part), "s": part}) for n, part in enumerate(parts)}
    folder = folder_of(tmp_path / "folder", files)
    for _ in range(2):  # from the files, then from memory
        if isinstance(expected, list):
            found = read(folder, tmp_path, WantedColumns("image", (path,)))
            assert schema.column(found.table, path).to_pylist() == expected
        else:
            with pytest.raises(DatasetError, match=expected):
                read(folder, tmp_path, WantedColumns("image", (path,)))


@pytest.mark.parametrize("captions", [[], ["one"]])
def test_a_small_dataset_has_the_same_columns(captions: list[str], tmp_path: Path) -> None:
    data = parquet({"image": pa.array([b"x"] * len(captions), pa.binary()), "caption": pa.array(captions, pa.string())})
    found = read(folder_of(tmp_path / "folder", {"train.parquet": data}), tmp_path)
    assert found.table.column_names == ["row", *schema.LOCATION.names, schema.SOURCE_PATH.name, "columns"]
    assert found.table["row"].to_pylist() == list(range(len(captions)))
    assert schema.column(found.table, "caption").to_pylist() == captions


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "foreign"])
def test_a_damaged_memory_of_columns_is_read_anew_from_the_source(damage: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", {"train.parquet": rows_file([f"row {n}" for n in range(50)])})
    first = read(folder, tmp_path / "memory")
    (kept,) = (tmp_path / "memory" / "columns").iterdir()
    data = bytearray(kept.read_bytes())
    if damage == "flip":
        data[40] ^= 0xFF  # within the first page's values
    damaged = {
        "truncate": bytes(data[:-30]),
        "flip": bytes(data),
        "empty": b"",
        "foreign": parquet({"columns": [{"caption": "x"}]}),
    }[damage]
    kept.write_bytes(damaged)
    again = read(folder, tmp_path / "memory")
    assert (again.computed, again.bytes_read) == (50, first.bytes_read)
    assert again.table.equals(first.table)
    assert read(folder, tmp_path / "memory").computed == 0  # and mended


def test_files_of_equal_content_are_rows_of_their_own(tmp_path: Path) -> None:
    same = rows_file(["a", "b"])
    found = read(folder_of(tmp_path / "folder", {"train-0.parquet": same, "train-1.parquet": same}), tmp_path)
    assert found.table["file_path"].to_pylist() == ["train-0.parquet"] * 2 + ["train-1.parquet"] * 2
    assert found.table["file_row"].to_pylist() == [0, 1, 0, 1]
    assert rows.snapshot_of(found.table.schema) == source(tmp_path / "folder", tmp_path).resolve()

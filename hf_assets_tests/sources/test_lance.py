"""Lance datasets: their rows are those of the newest version at a commit, and only fragments that are new are read."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.hub import api
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import SourceSpec
from hf_assets_tests.contract.image_rows import Row, image_bytes
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.kinds import files_below, write_lance
from hf_assets_tests.sources.reading import WANTED, as_datasets_reads, read, samples

NUMBERS = count()
ROWS = [Row(image_bytes(n, 16, 16), f"picture {n}") for n in range(4)]
ALL = [(row.caption, row.image) for row in ROWS]
ROOT = "data/train.lance"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WAITS_S", (0.0, 0.0, 0.0, 0.0))


class Pushed:
    """A folder, and a dataset on the Hub that is made to hold the same."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.name = f"lance/d{next(NUMBERS)}"
        self.names: set[str] = set()

    def push(self) -> str:
        files = files_below(self.folder)
        commit = self.hub.commit(self.name, {**dict.fromkeys(self.names - files.keys()), **files})
        self.names = set(files)
        self.hub.reset_counters()
        return commit

    @property
    def sent(self) -> set[str]:
        """The folders of all files that were sent, each without those above it."""
        return {Path(path).parent.name for path in self.hub.files_sent(self.name)}


@pytest.fixture
def data(hub: LocalHub, tmp_path: Path) -> Pushed:
    return Pushed(hub, tmp_path / "data")


def plain(folder: Path, root: str, **options: Any) -> Any:
    """Rows with their media in a column of bytes."""
    import lance

    table = pa.table({"image": [row.image for row in ROWS], "caption": [row.caption for row in ROWS]})
    return lance.write_dataset(table, folder / root, **options)


def opened(folder: Path, version: int | None = None) -> Any:
    import lance

    return lance.dataset(folder / ROOT, version=version)


def blobs(folder: Path, root: str, values: Any = None, field: pa.Field | None = None, **options: Any) -> Any:
    import lance

    field = field or lance.blob_field("image")
    values = lance.blob_array([row.image for row in ROWS]) if values is None else values
    fields = pa.schema([field, pa.field("caption", pa.string())])
    table = pa.table([values, pa.array([row.caption for row in ROWS][: len(values)])], schema=fields)
    return lance.write_dataset(table, folder / root, **options)


def large_blobs(folder: Path, root: str) -> None:
    """Blobs in files of their own."""
    import lance

    field = lance.blob_field("image", inline_size_threshold=1, dedicated_size_threshold=2)
    blobs(folder, root, field=field, data_storage_version="2.2")
    assert list((folder / root).rglob("*.blob"))


def old_blobs(folder: Path, root: str) -> None:
    field = pa.field("image", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    blobs(folder, root, pa.array([row.image for row in ROWS], pa.large_binary()), field, data_storage_version="2.0")


def deleted(folder: Path, root: str) -> None:
    """Rows, with more lists of deleted ones than files of rows."""
    write_lance(folder, root, [Row(b"x", "gone"), *ROWS, Row(b"x", "gone too"), Row(b"x", "gone as well")])
    for caption in ("gone", "gone too", "gone as well"):
        opened(folder).delete(f"caption = '{caption}'")


def branched(folder: Path, root: str) -> None:
    """With a branch in it, which has more rows."""
    import lance

    side = plain(folder, root).create_branch("side")
    lance.write_dataset(pa.table({"image": [b"x"], "caption": ["x"]}), side, mode="append")


def single_file(folder: Path, root: str) -> None:
    import lance.file

    table = pa.table({"image": [row.image for row in ROWS], "caption": [row.caption for row in ROWS]})
    (folder / root).parent.mkdir(parents=True)
    with lance.file.LanceFileWriter(folder / root, table.schema) as writer:
        writer.write_batch(table)


WAYS: dict[str, Callable[[Path], Any]] = {
    "structs": lambda folder: write_lance(folder, ROOT, ROWS),
    "bytes": lambda folder: plain(folder, ROOT),
    "the oldest format": lambda folder: plain(folder, ROOT, data_storage_version="legacy"),
    "manifests that count up": lambda folder: plain(folder, ROOT, enable_v2_manifest_paths=False),
    "many fragments": lambda folder: plain(folder, ROOT, max_rows_per_file=1),
    "blobs": lambda folder: blobs(folder, ROOT, data_storage_version="2.2"),
    "blobs in files": lambda folder: large_blobs(folder, ROOT),
    "blobs of old": lambda folder: old_blobs(folder, ROOT),
    "rows deleted": lambda folder: deleted(folder, ROOT),
    "a branch": lambda folder: branched(folder, ROOT),
    "in the root": lambda folder: plain(folder, "."),
    "two datasets": lambda folder: [
        write_lance(folder, f"train/{n}.lance", part) for n, part in enumerate([ROWS[:1], ROWS[1:]])
    ],
    "a single file": lambda folder: single_file(folder, ROOT),
}
# `datasets` cannot read blobs of the newer kind, adds branches, and reads several datasets in no order.
LEFT_OUT = ("blobs", "blobs in files", "a branch", "two datasets")


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_those_that_datasets_reads(way: str, data: Pushed, tmp_path: Path) -> None:
    WAYS[way](data.folder)
    data.push()
    assert samples(data.name, tmp_path / "hub") == ALL
    assert samples(str(data.folder), tmp_path / "local") == ALL
    if way not in LEFT_OUT:
        assert as_datasets_reads(str(data.folder), WANTED) == ALL


CAPTIONS = [row.caption for row in ROWS]
Edit = Callable[[Path], Any]
# What is done to two fragments of two rows; the captions then, the rows read anew, and the folders of fetched files.
EDITS: dict[str, tuple[Edit, list[Any], int, set[str]]] = {
    "nothing": (lambda folder: (folder / "README.md").write_text("about"), CAPTIONS, 0, {""}),
    "rows appended": (
        lambda folder: write_lance(folder, ROOT, [Row(b"x", "new")]),
        [*CAPTIONS, "new"],
        1,
        {"_versions", "data"},
    ),
    "a row deleted": (
        lambda folder: opened(folder).delete("caption = 'picture 2'"),
        [CAPTIONS[0], CAPTIONS[1], CAPTIONS[3]],
        1,
        {"_versions", "_deletions"},
    ),
    "a fragment deleted": (
        lambda folder: opened(folder).delete("caption < 'picture 2'"),
        CAPTIONS[2:],
        0,
        {"_versions"},
    ),
    "all deleted": (lambda folder: opened(folder).delete("true"), [], 0, {"_versions"}),
    "a caption changed": (
        lambda folder: opened(folder).update({"caption": "'new'"}, "caption = 'picture 0'"),
        [*CAPTIONS[1:], "new"],
        2,  # the row that is left in its fragment, and the one that is written anew
        {"_versions", "_deletions", "data"},
    ),
    "an index made": (
        lambda folder: opened(folder).create_scalar_index("caption", "BTREE"),
        CAPTIONS,
        0,
        {"_versions"},
    ),
    "old versions removed": (
        lambda folder: opened(folder).cleanup_old_versions(retain_versions=1),
        CAPTIONS,
        0,
        set(),
    ),
    "an older version restored": (
        lambda folder: opened(folder, 1).restore(),
        CAPTIONS[:2],
        0,
        {"_versions"},
    ),
    "fragments joined": (
        lambda folder: opened(folder).optimize.compact_files(),
        CAPTIONS,
        4,
        {"_versions", "data"},
    ),
    "the dataset renamed": (
        lambda folder: (folder / ROOT).rename(folder / "data/train-2.lance"),
        CAPTIONS,
        0,
        set(),  # of the same content, the Hugging Face cache needs no second copy
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_reads_fragments_that_changed(edit: str, data: Pushed, tmp_path: Path) -> None:
    change, expected, computed, folders = EDITS[edit]
    for part in (ROWS[:2], ROWS[2:]):
        write_lance(data.folder, ROOT, part, data_storage_version="2.2")
    data.push()
    assert samples(data.name, tmp_path) == ALL
    change(data.folder)
    data.push()
    found, *_ = read(data.name, tmp_path)
    assert schema.column(found.table, "caption").to_pylist() == expected
    assert (found.computed, data.sent) == (computed, folders)
    data.hub.reset_counters()
    again, *_ = read(data.name, tmp_path)
    assert (again.computed, again.bytes_read, len(data.hub.requests)) == (0, 0, 1)


def test_columns_may_be_added_renamed_and_dropped(data: Pushed, tmp_path: Path) -> None:
    write_lance(data.folder, ROOT, ROWS)
    dataset = opened(data.folder)
    dataset.alter_columns({"path": "caption", "name": "text"})
    dataset.add_columns({"length": "character_length(text)"})
    data.push()
    assert samples(data.name, tmp_path, WantedColumns("image", ("text",))) == ALL
    assert [length for length, _ in samples(data.name, tmp_path, WantedColumns("image", ("length",)))] == [9] * 4
    dataset.drop_columns(["text"])
    data.push()
    with pytest.raises(DatasetError, match='column "text" is not in the dataset'):
        read(data.name, tmp_path, WantedColumns("image", ("text",)))


def test_a_run_stays_at_its_commit(data: Pushed, tmp_path: Path) -> None:
    write_lance(data.folder, ROOT, ROWS[:2])
    old = data.push()
    source = source_of(SourceSpec(dataset_name=data.name), tmp_path)
    snapshot = source.resolve()
    write_lance(data.folder, ROOT, ROWS[2:])
    opened(data.folder).cleanup_old_versions(retain_versions=1)
    data.push()
    found = rows.read(source, snapshot, WANTED, tmp_path / "columns", lambda line: None)
    assert len(found.table) == 2
    assert samples(data.name, tmp_path) == ALL
    # in another process, from what is remembered of the commit
    shutil.rmtree(tmp_path / "columns")
    shutil.rmtree(tmp_path / "converted")
    assert samples(data.name, tmp_path, revision=old) == ALL[:2]


def test_splits_slices_and_patterns_choose_datasets(data: Pushed, tmp_path: Path) -> None:
    for part in (ROWS[:1], ROWS[1:3]):
        write_lance(data.folder, ROOT, part)
    write_lance(data.folder, "data/test.lance", ROWS[3:])
    data.push()
    for spec, expected in (
        ({}, ALL[:3]),
        ({"split": "test"}, ALL[3:]),
        ({"split": "test+train"}, [ALL[3], *ALL[:3]]),
        ({"split": "train[1:2]+test+train[-1:]"}, [ALL[1], ALL[3], ALL[2]]),
        ({"split": "train[:67%]"}, ALL[:2]),
        ({"data_files": "data/test.lance/**"}, ALL[3:]),
    ):
        for name in (data.name, str(data.folder)):
            assert samples(name, tmp_path / "memory", **spec) == expected  # type: ignore[arg-type]


def test_a_dataset_is_named_by_its_files(data: Pushed, tmp_path: Path) -> None:
    write_lance(data.folder, "a/one.lance", ROWS[:1])
    write_lance(data.folder, "a/two.lance", ROWS[1:])
    readme = data.folder / "README.md"
    configs = "- config_name: one\n  data_files: a/one.lance/**\n- config_name: two\n  data_dir: a/two.lance\n"
    readme.write_text(f"---\nconfigs:\n{configs}---\n")
    data.push()
    assert samples(data.name, tmp_path, dataset_config="one") == ALL[:1]
    assert samples(data.name, tmp_path, dataset_config="two") == ALL[1:]
    remedy = r"; of a Lance dataset, all files are named, as x\.lance/\*\*$"
    with pytest.raises(DatasetError, match=f"data_files match no file .+{remedy}"):
        read(data.name, tmp_path, data_files="a/one.lance")
    readme.write_text("---\nconfigs:\n- config_name: default\n  data_files: a/one.lance\n---\n")
    data.push()
    with pytest.raises(DatasetError, match=rf"matches no file \(hf://.+/a/one.lance\): mend it there{remedy}"):
        read(data.name, tmp_path)


def test_the_readme_says_what_columns_are(data: Pushed, tmp_path: Path) -> None:
    write_lance(data.folder, ROOT, ROWS)
    opened(data.folder).add_columns({"stars": "3"})
    features = (
        "- name: stars\n    dtype: string\n  - name: image\n    dtype: image\n  - name: caption\n    dtype: string"
    )
    readme = f"---\ndataset_info:\n  features:\n  {features}\n---\n"
    (data.folder / "README.md").write_text(readme)
    data.push()
    assert samples(data.name, tmp_path, WantedColumns("image", ("stars",))) == [("3", row.image) for row in ROWS]


def files_removed(folder: Path, pattern: str) -> None:
    write_lance(folder, ROOT, ROWS)
    for path in (folder / ROOT).glob(pattern):
        path.unlink()


def damaged(folder: Path, pattern: str) -> None:
    write_lance(folder, ROOT, ROWS)
    [path] = (folder / ROOT).glob(pattern)
    path.write_bytes(bytes(reversed(path.read_bytes())))


def cloned(folder: Path) -> None:
    """A dataset whose rows lie in another."""
    other = folder.parent / "other"
    write_lance(other, ROOT, ROWS)
    opened(other).shallow_clone(str(folder / ROOT), 1)


def naming_a_file(folder: Path) -> None:
    """A blob that is a file of this machine."""
    import lance

    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    values = lance.blob_array([lance.Blob.from_uri(f"file://{secret}")])
    blobs(folder, ROOT, values, data_storage_version="2.2", allow_external_blob_outside_bases=True)


REFUSED: dict[str, tuple[Edit, str]] = {
    "a lost file": (
        lambda folder: files_removed(folder, "data/*"),
        r'names "data/train.lance/data/.+", which isn\'t there',
    ),
    "no manifest": (
        lambda folder: files_removed(folder, "_versions/*"),
        '"data/train.lance/_versions" holds no manifest',
    ),
    "a damaged manifest": (
        lambda folder: damaged(folder, "_versions/*.manifest"),
        r"manifest\" can't be read as lance \(",
    ),
    "a damaged file": (lambda folder: damaged(folder, "data/*"), r"\.lance\" can't be read as lance \(.+\): mend"),
    "rows elsewhere": (cloned, "keeps rows in another place"),
    "media elsewhere": (naming_a_file, "image keeps media outside the dataset"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_said_in_a_line(what: str, data: Pushed, tmp_path: Path) -> None:
    make, message = REFUSED[what]
    make(data.folder)
    data.push()
    for name in (data.name, str(data.folder)):
        with pytest.raises(DatasetError, match=message) as caught:
            read(name, tmp_path / "memory")
        assert "\n" not in str(caught.value)
        assert ".rs:" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value).replace(str(data.folder), "")


def test_a_folder_that_changes_stops_the_run(data: Pushed, tmp_path: Path) -> None:
    write_lance(data.folder, ROOT, ROWS)
    source = source_of(SourceSpec(dataset_name=str(data.folder)), tmp_path / "memory")
    snapshot = source.resolve()
    shutil.rmtree(data.folder / ROOT)
    write_lance(data.folder, ROOT, ROWS[:1])
    with pytest.raises(DatasetError, match="has changed since raw_dataset was made"):
        rows.read(source, snapshot, WANTED, tmp_path / "columns", lambda line: None)


def test_without_pylance_the_extra_is_named(data: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lance(data.folder, ROOT, ROWS)
    data.push()
    source = source_of(SourceSpec(dataset_name=data.name), tmp_path)
    snapshot = source.resolve()
    monkeypatch.setitem(sys.modules, "lance", None)
    for attempt in (
        lambda: read(data.name, tmp_path / "other"),
        lambda: rows.read(source, snapshot, WANTED, tmp_path / "columns", lambda line: None),
    ):
        with pytest.raises(DatasetError, match=r"pip install 'hf_assets\[lance\]'"):
            attempt()


UNTOUCHED = """
import sys
sys.modules["lance"] = None
from pathlib import Path
from datasets import load
from hf_assets.errors import DatasetError
from hf_assets.sources.data_files import data_files_of
from hf_assets.sources.spec import SourceSpec
before = dict(vars(load))
listed = data_files_of(SourceSpec(dataset_name=sys.argv[1]), None)
assert [Path(path).name for path in listed.paths] == ["a.csv"], listed
try:
    data_files_of(SourceSpec(dataset_name=sys.argv[2]), None)
except DatasetError as error:
    assert "pip install 'hf_assets[lance]'" in str(error), error
else:
    raise AssertionError("lists of deleted rows were taken for rows")
assert {name for name, value in vars(load).items() if before.get(name) is not value} == set()
"""


def test_without_pylance_nothing_of_datasets_is_replaced_and_deletions_are_no_rows(tmp_path: Path) -> None:
    plain(tmp_path / "lance", ROOT)
    dataset = opened(tmp_path / "lance")
    for caption in ("picture 0", "picture 2", "picture 3"):  # more lists of deletions than files with rows
        dataset.delete(f"caption = '{caption}'")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/a.csv").write_text("caption\nowl\n")
    command = [sys.executable, "-c", UNTOUCHED, str(tmp_path / "csv"), str(tmp_path / "lance")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

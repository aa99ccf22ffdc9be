"""Datasets on the Hub: which files a split is, what they cost to read, and what is said when they can't be."""

import errno
import itertools
import socket
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from hf_assets.errors import DatasetError
from hf_assets.hub import api, hashes
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.places.hub_repository import HubSource
from hf_assets.sources.rows import Rows
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import Snapshot, SourceSpec
from hf_assets_tests.local_hub import Fault, LocalHub
from hf_assets_tests.sources.parquet_files import images, noise, parquet
from hf_assets_tests.sources.parquet_files import rows as rows_file

NUMBERS = itertools.count()
WANTED = WantedColumns("image", ("caption",))
TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"
TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def name() -> str:
    return f"sources/d{next(NUMBERS)}"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WAITS_S", (0.0, 0.0, 0.0, 0.0))


def resolve(name: str, memory: Path, **spec: str) -> Snapshot:
    return source_of(SourceSpec(dataset_name=name, **spec), memory).resolve()


def paths(name: str, memory: Path, **spec: str) -> list[str]:
    return [file.path for file in resolve(name, memory, **spec).files]


def read(name: str, memory: Path, wanted: WantedColumns = WANTED, **spec: str) -> Rows:
    source = source_of(SourceSpec(dataset_name=name, **spec), memory)
    return rows.read(source, source.resolve(), wanted, memory / "columns", lambda line: None)


def refused(name: str, memory: Path, **spec: str) -> str:
    with pytest.raises(DatasetError) as caught:
        resolve(name, memory, **spec)
    assert "\n" not in str(caught.value)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


# Which files


def test_splits_of_one_layout_are_distinguished(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"]), TEST: rows_file(["b"]), "README.md": b"text", "data/notes.md": b"x"})
    assert paths(name, tmp_path) == [TRAIN]
    assert paths(name, tmp_path, split="test") == [TEST]
    assert refused(name, tmp_path, split="val") == (
        f'dataset "{name}" has no split "val": set split to one of "train", "test"'
    )


CONFIGS = b"""---
configs:
- config_name: small
  data_files:
  - split: train
    path: "nested/deeply/small-*.parquet"
  - split: held out
    path: ["a b/one.parquet", "nested/two.parquet"]
- config_name: large
  data_files: "nested/deeply/large-*.parquet"
---
"""


def test_configs_and_patterns_of_the_readme_are_followed(hub: LocalHub, name: str, tmp_path: Path) -> None:
    listed = ["nested/deeply/small-1.parquet", "nested/deeply/small-2.parquet", "nested/deeply/large-1.parquet"]
    more = ["a b/one.parquet", "nested/two.parquet", "data/train.parquet"]
    hub.commit(
        name, {"README.md": CONFIGS.replace(b"held out", b"heldout"), **{p: rows_file([p]) for p in listed + more}}
    )
    assert paths(name, tmp_path, dataset_config="small") == listed[:2]
    assert paths(name, tmp_path, dataset_config="small", split="heldout") == more[:2]
    assert paths(name, tmp_path, dataset_config="large") == listed[2:]
    remedy = 'set dataset_config to one of "small", "large"'
    assert refused(name, tmp_path) == f'dataset "{name}" has several: {remedy}'
    assert refused(name, tmp_path, dataset_config="big") == f'dataset "{name}" has no dataset_config "big": {remedy}'
    assert 'no split "x" in dataset_config "large"' in refused(name, tmp_path, dataset_config="large", split="x")
    # names with spaces are read, too
    assert read(name, tmp_path, dataset_config="small", split="heldout").table["columns"].to_pylist() == [
        {"caption": path} for path in more[:2]
    ]


def test_a_folder_of_that_name_in_the_working_directory_is_not_the_dataset(
    hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / "train.parquet").write_bytes(rows_file(["b"]))
    monkeypatch.chdir(tmp_path)
    assert paths(name, tmp_path) == [TRAIN]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"nothing"}, "holds no data files in the Hub's usual layout"),
        ({"data/train.h5": b"a,b\n1,2\n"}, "holds hdf5 files, which aren't read: use its Parquet conversion"),
        ({"README.md": b"---\nconfigs: 5\n---\n", TRAIN: rows_file(["a"])}, "can't be listed"),
        ({"README.md": b"---\nconfigs: [\n---\n", TRAIN: rows_file(["a"])}, "can't be listed"),
        (
            {
                "README.md": b"---\nconfigs:\n- config_name: x\n  data_files: no/*.parquet\n---\n",
                TRAIN: rows_file(["a"]),
            },
            "or where the configs of its README.md say: add files there that `datasets` reads",
        ),
    ],
)
def test_what_is_no_parquet_dataset_is_refused(
    files: dict[str, bytes], message: str, hub: LocalHub, name: str, tmp_path: Path
) -> None:
    hub.commit(name, dict(files))
    assert message in refused(name, tmp_path)


def test_a_file_that_is_no_parquet_is_named(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, {TRAIN: noise(500)})
    with pytest.raises(DatasetError, match=rf'^"{TRAIN}" can\'t be read as Parquet \(.*\): mend the file'):
        read(name, tmp_path)


# Who may read


def test_a_missing_dataset_revision_or_name_is_said(
    hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    no_sleep = SimpleNamespace(monotonic=time.monotonic)  # nothing of this passes by itself: nothing is waited for
    monkeypatch.setattr("hf_assets.hub.api.time", no_sleep)
    assert f'dataset "{name}x" is not on the Hub, or is private: check the name' in refused(f"{name}x", tmp_path)
    assert refused(name, tmp_path, revision="v9").startswith(f'dataset "{name}" has no revision "v9": name a branch')
    assert refused("not a name", tmp_path).startswith('"not a name" is neither a folder nor a Hub id')


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_a_closed_dataset_needs_the_token_of_the_environment(
    kind: str, hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    getattr(hub, f"set_{kind}")(name)
    hub.reset_counters()
    message = refused(name, tmp_path)
    assert f'dataset "{name}" is ' + ("gated" if kind == "gated" else "not on the Hub, or is private") in message
    assert "set HF_TOKEN to a token" in message
    assert len(hub.requests) <= 2
    hub.add_token(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert read(name, tmp_path).table["columns"].to_pylist() == [{"caption": "a"}]
    snapshot = resolve(name, tmp_path)
    monkeypatch.delenv("HF_TOKEN")  # access may end later, too
    source = HubSource(SourceSpec(dataset_name=name), tmp_path)
    with pytest.raises(DatasetError, match=f'dataset "{name}" is (gated|not on the Hub, or is private)'):
        source.fetch(snapshot, snapshot.files[0])
    with pytest.raises(DatasetError, match=f'dataset "{name}" is (gated|not on the Hub, or is private)'):
        source.open_ranges(snapshot, snapshot.files[0]).read(4)


@pytest.mark.parametrize("token", ["hf_wrong" + TOKEN, TOKEN + "\x01", "hf_é" + TOKEN])
def test_a_wrong_token_is_not_shown(
    token: str, hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    monkeypatch.setenv("HF_TOKEN", token)
    assert "HF_TOKEN" in refused(name, tmp_path)


# Hiccups


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("path", "method"),
    [("/api/datasets/", None), ("README.md", "HEAD"), ("README.md", "GET"), ("/tree/", None), ("data/train", None)],
)
def test_a_hiccup_is_waited_for(
    status: int, path: str, method: str | None, hub: LocalHub, name: str, tmp_path: Path
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"]), TEST: rows_file(["b"]), "README.md": name.encode()})
    hub.faults.append(Fault(path, status=status, method=method, times=2 if path == "/api/datasets/" else 1))
    assert read(name, tmp_path).table["columns"].to_pylist() == [{"caption": "a"}]
    assert hub.faults[0].times == 0


def test_the_wait_that_the_hub_asks_for_is_kept(
    hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    hub.faults.append(Fault("/api/datasets/", status=429, retry_after_s=7))
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    assert paths(name, tmp_path) == [TRAIN]
    assert [wait for wait in slept if wait] == [8.0]


@pytest.mark.parametrize(("status", "hint"), [(429, "HF_TOKEN for a higher limit"), (503, "run again later")])
def test_a_hiccup_that_lasts_is_given_up(
    status: int, hint: str, hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    snapshot = resolve(name, tmp_path)
    hub.faults.append(Fault("/api/datasets/", status=status, times=1000))
    assert f"the Hub answered {status}" in (message := refused(name, tmp_path / "elsewhere"))
    assert hint in message
    assert 1000 - hub.faults[0].times == 5
    monkeypatch.setattr(time, "sleep", lambda wait: None)
    hub.faults[:] = [Fault("/resolve/", status=status, times=1000)]
    with pytest.raises(DatasetError, match=f"the Hub answered {status}"):
        HubSource(SourceSpec(dataset_name=name), tmp_path).fetch(snapshot, snapshot.files[0])


def test_a_cache_of_the_hub_that_cannot_be_written_to_is_a_line(
    hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    snapshot = resolve(name, tmp_path)
    (tmp_path / "file").write_text("")
    source = source_of(SourceSpec(dataset_name=name), tmp_path)
    whole = source.fetch(snapshot, snapshot.files[0]).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(
            DatasetError, match=r"can't be kept \(.*file.*\): set HF_HOME, or HF_HUB_CACHE, to a folder"
        ):
            source.fetch(snapshot, snapshot.files[0])

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("huggingface_hub.file_download.WeakFileLock", refuse)
    assert source.fetch(snapshot, snapshot.files[0]).read_bytes() == whole  # what is there is read


def test_a_dataset_that_is_neither_here_nor_on_the_hub_is_said_to_be_no_folder_either(
    hub: LocalHub, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r'there is no folder "my/photos" here, and dataset "my/photos" is not on'):
        resolve("my/photos", tmp_path)


def test_a_hub_that_is_down_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: LocalHub) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    snapshot = resolve(name, tmp_path)
    monkeypatch.setattr(time, "sleep", lambda wait: None)
    source = HubSource(SourceSpec(dataset_name=name), tmp_path)
    hub.down()
    try:
        assert f'the Hub can\'t be reached for dataset "{name}" (' in refused(name, tmp_path / "elsewhere")
        assert resolve(name, tmp_path) == snapshot  # as it was seen last
        with pytest.raises(DatasetError, match="the Hub can't be reached"):
            source.fetch(snapshot, snapshot.files[0])
        with pytest.raises(DatasetError, match="the Hub can't be reached"):
            source.open_ranges(snapshot, snapshot.files[0]).read(4)
    finally:
        hub.up()


def test_no_further_attempt_follows_one_that_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=16.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    calls = []

    def request() -> None:
        calls.append(1)
        raise ConnectionError("refused")

    with pytest.raises(DatasetError, match=r"can't be reached for dataset \"d\" \(refused\)"):
        api.call(request, api.Subject("dataset", "d", None, DatasetError))
    assert len(calls) == 1


def test_what_is_not_the_hubs_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        api.call(lambda: 1 // 0, api.Subject("dataset", "d", None, DatasetError))


# What reading costs


def big(captions: list[str]) -> bytes:
    """A file of which the images are nearly all."""
    return parquet(
        {
            "image": images([noise(40_000, n) for n in range(len(captions))]),
            "caption": captions,
            "quality_assessment": [{"clip": 0.5, "aesthetic": 5.0}] * len(captions),
            "other": captions,
        },
        row_group_size=25,
    )


def test_columns_cost_less_than_two_hundredths_of_the_bytes_and_nothing_twice(
    hub: LocalHub, name: str, tmp_path: Path
) -> None:
    wanted = WantedColumns("image", ("caption", "quality_assessment.clip"), ("width",))
    first = big([f"row {n}" for n in range(100)])
    hub.commit(name, {"data/train-00000.parquet": first})
    hub.reset_counters()
    found = read(name, tmp_path, wanted)
    assert (found.computed, len(found.table)) == (100, 100)
    assert 0 < hub.bytes_sent(name, "data/") < 0.02 * len(first)
    assert found.bytes_read <= hub.bytes_sent(name, "data/")

    hub.reset_counters()
    again = read(name, tmp_path, wanted)
    assert (again.computed, again.bytes_read, hub.bytes_sent(name)) == (0, 0, 0)
    assert len(hub.requests) == 1  # the commit
    assert again.table.equals(found.table)

    second = big([f"new {n}" for n in range(30)])
    hub.commit(name, {"data/train-00001.parquet": second})
    hub.reset_counters()
    grown = read(name, tmp_path, wanted)
    assert (grown.computed, len(grown.table)) == (30, 130)
    assert hub.files_sent(name) == {"data/train-00001.parquet"}
    assert grown.table["file_row"].to_pylist() == [*range(100), *range(30)]
    assert grown.table["row"].to_pylist() == list(range(130))

    before = resolve(name, tmp_path)
    hub.commit(name, {"README.md": b"about"})
    renamed: dict[str, bytes | Path | None] = {"data/train-00000.parquet": None, "data/train-00000-of-2.parquet": first}
    hub.commit(name, renamed)
    hub.reset_counters()
    moved = read(name, tmp_path, wanted)
    assert hub.bytes_sent(name, "data/") == moved.bytes_read == moved.computed == 0
    after = resolve(name, tmp_path)
    assert after.commit != before.commit
    assert after.fingerprint == before.fingerprint

    hub.reset_counters()
    assert read(name, tmp_path, WantedColumns("image", ("caption", "other"))).computed == 130
    assert hub.files_sent(name) == {"data/train-00000-of-2.parquet", "data/train-00001.parquet"}


@pytest.mark.parametrize("column", ["image.path", "quality_assessment.clip"])
def test_a_field_costs_as_little_as_a_column(column: str, hub: LocalHub, name: str, tmp_path: Path) -> None:
    data = big([f"row {n}" for n in range(100)])
    hub.commit(name, {TRAIN: data})
    hub.reset_counters()
    assert read(name, tmp_path, WantedColumns("image", (column,))).bytes_read <= hub.bytes_sent(name, "data/")
    assert 0 < hub.bytes_sent(name, "data/") < 0.02 * len(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_file_damaged_in_the_cache_is_fetched_again_and_each_is_hashed_once(
    hub: LocalHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    real = hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: taken.append(path) or real(path))
    data = big(["a", name])
    hub.commit(name, {TRAIN: data})
    snapshot = resolve(name, tmp_path)
    source = HubSource(SourceSpec(dataset_name=name), tmp_path)
    path = source.fetch(snapshot, snapshot.files[0])
    assert (path.read_bytes(), len(taken)) == (data, 1)

    hub.commit(name, {"README.md": b"about"})  # another commit, the same blob
    later = resolve(name, tmp_path)
    hub.reset_counters()
    HubSource(SourceSpec(dataset_name=name), tmp_path).fetch(later, later.files[0])
    assert (hub.bytes_sent(name, "data/"), len(taken)) == (0, 1)

    flip(path)
    assert source.fetch(snapshot, snapshot.files[0]).read_bytes() == data
    assert (hub.bytes_sent(name, "data/"), len(taken)) == (len(data), 3)
    source.fetch(snapshot, snapshot.files[0])
    assert (hub.bytes_sent(name, "data/"), len(taken)) == (len(data), 3)


def test_a_file_that_stays_damaged_is_said(hub: LocalHub, name: str, tmp_path: Path) -> None:
    data = big(["b", name])
    hub.commit(name, {TRAIN: data})
    snapshot = resolve(name, tmp_path)
    flip(hub.root / "blobs" / snapshot.files[0].hash)
    with pytest.raises(
        DatasetError, match=f'^"{TRAIN}" of dataset "{name}" isn\'t what its hash says, .*check the disk'
    ):
        HubSource(SourceSpec(dataset_name=name), tmp_path).fetch(snapshot, snapshot.files[0])


def test_a_pinned_commit_is_asked_for_once(hub: LocalHub, name: str, tmp_path: Path) -> None:
    sha = hub.commit(name, {TRAIN: rows_file(["a"])})
    hub.commit(name, {TRAIN: rows_file(["b"])})
    first = resolve(name, tmp_path, revision=sha)
    hub.reset_counters()
    assert resolve(name, tmp_path, revision=sha) == first
    assert not hub.requests
    assert resolve(name, tmp_path) != first


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{", b'["a"]', b"null"])
def test_a_damaged_listing_is_asked_for_anew(damage: bytes, hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, {TRAIN: rows_file(["a"])})
    first = resolve(name, tmp_path)
    (kept,) = (tmp_path / "splits").iterdir()
    kept.write_bytes(damage)
    assert resolve(name, tmp_path) == first


def test_a_different_content_has_a_different_fingerprint_and_order_counts(
    hub: LocalHub, name: str, tmp_path: Path
) -> None:
    one, two = rows_file(["a"]), rows_file(["b"])
    prints = []
    for first, second in [(one, two), (two, one), (one, one)]:
        hub.commit(name, {"data/train-0.parquet": first, "data/train-1.parquet": second})
        prints.append(resolve(name, tmp_path).fingerprint)
    assert len(set(prints)) == 3


def test_a_machine_that_finds_no_name_is_soon_done_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection, and for a folder that isn't there but might be a dataset's name."""
    monkeypatch.setattr(api, "_missed_at", float("-inf"))
    asked = []

    def unnamed() -> None:
        asked.append(1)
        try:
            raise socket.gaierror(-2, "Name or service not known")
        except socket.gaierror as error:
            raise ConnectionError("no connection") from error

    with pytest.raises(DatasetError, match="the Hub can't be reached"):
        api.call(unnamed, api.Subject("dataset", "data/pictures", None, DatasetError))
    assert len(asked) == 2

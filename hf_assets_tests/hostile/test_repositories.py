"""A repository, or a folder, names its own files only, and nothing that a Hub says leads anywhere else."""

import functools
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets.errors import DatasetError, ModelError
from hf_assets.hub import guard, model_repository
from hf_assets.hub.hashes import FileHashes
from hf_assets.sources import patterns, rows
from hf_assets.sources.source import Source, source_of
from hf_assets.sources.spec import CaptionTable, FolderRules, SourceSpec
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.parquet_files import rows as rows_file
from hf_assets_tests.sources.reading import WANTED

SECRET = "a line of a file that is none of the dataset's"

REACHING = [
    "/etc/passwd",
    "../other/*.txt",
    "data/../../other/*.txt",
    "~/x.txt",
    "ftp://127.0.0.1:1/x.csv",
    "http://127.0.0.1:1/x.csv",
    "file:///etc/passwd",
    "hf://datasets/private/other/x.csv",
    "hf://datasets/user/name-longer/x.csv",
    "zip://*::http://127.0.0.1:1/x.zip",
    "zip://x.csv::data.zip",
    "C:\\x.csv",
    "data\\..\\..\\x.csv",
]


def readme(pattern: Any) -> bytes:
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": pattern}]}]
    return f"---\nconfigs: {json.dumps(configs)}\n---\nA dataset.\n".encode()


@pytest.mark.parametrize("pattern", REACHING)
@pytest.mark.parametrize("commit", [None, "a" * 40])
def test_patterns_of_a_readme_reach_nothing_else(pattern: str, commit: str | None) -> None:
    for text in (readme(pattern), readme(["data/*.parquet", pattern])):
        with pytest.raises(DatasetError, match="may lead out of the dataset"):
            patterns.check({patterns.README: text}, "user/name", commit)
    folder = f"---\nconfigs:\n- config_name: x\n  data_dir: {json.dumps(pattern)}\n---\n".encode()
    with pytest.raises(DatasetError, match="may lead out of the dataset"):
        patterns.check({patterns.SETTINGS: folder.replace(b"---\n", b"")}, "user/name", commit)


@pytest.mark.parametrize("pattern", ["data/*.parquet", "**", "a..b/x.csv", "hf://datasets/user/name/x.csv"])
def test_patterns_within_the_repository_are_patterns(pattern: str) -> None:
    patterns.check({patterns.README: readme(pattern)}, "user/name", "a" * 40)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_the_header_of_a_readme_is_what_datasets_takes_for_it(tmp_path: Path, end: str) -> None:
    folder, other = tmp_path / "data", outside(tmp_path)
    folder.mkdir()
    (folder / "a.parquet").write_bytes(rows_file(["a"]))
    text = readme(f"{other}/*.parquet").removesuffix(b"\nA dataset.\n").replace(b"\n", end.encode())
    (folder / "README.md").write_bytes(text)
    with pytest.raises(DatasetError, match="may lead out of the dataset"):
        captions(local(folder, tmp_path / "memory"), tmp_path)


LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
MERGES = "".join(f"m{n}: &m{n}\n  <<: [{', '.join([f'*m{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "header",
    [
        f"a0: &a0 [x, y]\n{LAUGHS}configs: [{{data_files: *a7}}]",
        f"a0: &a0 {{name: x, dtype: string}}\n{LAUGHS}dataset_info: {{features: *a8}}",
        f"a0: &a0 [x]\n{LAUGHS}tags: *a8",
        f"m0: &m0 {{a: b, c: d}}\n{MERGES}",
        "configs: &a [*a]",
    ],
)
def test_few_lines_of_yaml_that_mean_millions_are_refused(header: str) -> None:
    for name, text in ((patterns.README, f"---\n{header}\n---\n"), (patterns.SETTINGS, header)):
        with pytest.raises(DatasetError, match="of which aliases make more than 500,000 values"):
            patterns.check({name: text.encode()}, "user/name", None)


def test_a_header_of_any_length_is_not_parsed() -> None:
    text = b"---\ntags:\n" + b"- a\n" * 300_000 + b"---\n"
    with pytest.raises(DatasetError, match=r"has 1,200,\d+ characters of YAML"):
        patterns.check({patterns.README: text}, "user/name", None)


def test_a_hub_dataset_with_such_a_pattern_asks_no_other_host(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit("hostile/patterns", {"README.md": readme("ftp://127.0.0.1:1/x.csv"), "x.parquet": rows_file(["a"])})
    with pytest.raises(DatasetError, match="may lead out of the dataset"):
        source_of(SourceSpec(dataset_name="hostile/patterns"), tmp_path).resolve()


def outside(folder: Path) -> Path:
    other = folder / "other"
    other.mkdir()
    (other / "x.txt").write_text(SECRET)
    (other / "x.parquet").write_bytes(rows_file([SECRET]))
    return other


def captions(source: Source, memory: Path) -> list[Any]:
    found = rows.read(source, source.resolve(), WANTED, memory / "columns", lambda line: None)
    return [row["columns"]["caption"] for row in found.table.to_pylist()]


def local(root: Path, memory: Path, **spec: Any) -> Source:
    return source_of(SourceSpec(dataset_name=str(root), **spec), memory)


def test_a_link_out_of_a_local_folder_is_refused_by_name_unless_the_config_allows_links(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.parquet").symlink_to(outside(tmp_path) / "x.parquet")
    with pytest.raises(
        DatasetError, match=r'data/train.parquet" leads out of the dataset\'s folder, to .*other/x.parquet'
    ):
        captions(local(folder, tmp_path / "memory"), tmp_path)
    assert captions(local(folder, tmp_path / "memory", follow_links=True), tmp_path) == [SECRET]


def test_a_folder_that_is_a_link_is_one_too(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "README.md").write_bytes(readme("inner/*.parquet"))
    (folder / "inner").symlink_to(outside(tmp_path))
    with pytest.raises(DatasetError, match="leads out of the dataset's folder"):
        captions(local(folder, tmp_path / "memory"), tmp_path)


def test_captions_and_media_of_a_folder_of_media_are_no_links_out_of_it(tmp_path: Path) -> None:
    folder, other = tmp_path / "data", outside(tmp_path)
    folder.mkdir()
    (folder / "a.png").write_bytes(b"any")
    (folder / "a.txt").symlink_to(other / "x.txt")
    rules = FolderRules(media="image", captions="textfile")
    with pytest.raises(DatasetError, match=r'data/a.txt" leads out'):
        local(folder, tmp_path / "memory", folder=rules).resolve()
    (folder / "a.txt").unlink()
    (folder / "b.png").symlink_to(other / "x.txt")
    with pytest.raises(DatasetError, match=r'data/b.png" leads out'):
        local(folder, tmp_path / "memory", folder=rules).resolve()


@pytest.mark.parametrize("name", ["a.txt", "a.png", "README.md", ".huggingface.yaml", "b.parquet"])
def test_pipes_in_a_folder_are_not_waited_for(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if name.startswith("a."):
        (folder / "b.png").write_bytes(b"any")
        (folder / "a.png").write_bytes(b"any")
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        local(folder, tmp_path / "memory", folder=FolderRules(media="image", captions="textfile")).resolve()
        return
    (folder / "a.parquet").write_bytes(rows_file(["a"]))
    os.mkfifo(folder / name)
    if name in (patterns.README, patterns.SETTINGS):
        with pytest.raises(DatasetError, match="is no file"):
            local(folder, tmp_path / "memory").resolve()
    else:
        assert captions(local(folder, tmp_path / "memory"), tmp_path) == ["a"]


def test_captions_beside_media_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"any")
    with (folder / "a.txt").open("wb") as sparse:
        sparse.truncate(1 << 36)
    monkeypatch.setattr(FileHashes, "of", lambda self, paths: dict.fromkeys(paths, "h" * 32))
    rules = FolderRules(media="image", captions="textfile")
    found = rows.read(
        source := local(folder, tmp_path / "memory", folder=rules),
        source.resolve(),
        WANTED,
        tmp_path / "columns",
        lambda line: None,
    )
    assert found.table["columns"].to_pylist() == [{"caption": None}]
    assert "has more than the 8,388,608 bytes of captions" in found.faults["message"][0].as_py()
    captions = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"filename": ["a.png"] * 1000, "caption": captions}), folder / "c.parquet")
    table = FolderRules(media="image", captions="table", table=CaptionTable(kind="parquet", path="c.parquet"))
    with pytest.raises(DatasetError, match="more than 200 times as many"):
        local(folder, tmp_path / "memory", folder=table).resolve()


def test_a_model_folder_with_pipes_and_links_that_lead_round_is_listed(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")
    for name in ("one", "two"):
        (tmp_path / "vae" / name).symlink_to(tmp_path / "vae")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "vae")
    os.mkfifo(tmp_path / "model_index.json")
    repository = model_repository.resolve(str(tmp_path))
    assert {path for path in repository.paths if path.count("/") < 2} == {"vae/config.json", "elsewhere/config.json"}
    with pytest.raises(ModelError, match=r"has no model_index.json"):
        repository.read_json("model_index.json")


def test_links_within_a_folder_and_the_hugging_face_cache_are_as_ever(tmp_path: Path) -> None:
    folder = tmp_path / "datasets--user--name" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    blob = tmp_path / "datasets--user--name" / "blobs" / "x"
    blob.parent.mkdir()
    blob.write_bytes(rows_file(["a"]))
    (folder / "train.parquet").symlink_to(os.path.relpath(blob, folder))
    assert captions(local(folder, tmp_path / "memory"), tmp_path) == ["a"]


def test_rows_that_name_files_elsewhere_find_none(tmp_path: Path) -> None:
    folder, other = tmp_path / "data", outside(tmp_path)
    folder.mkdir()
    (folder / "a.png").write_bytes(b"any")
    (folder / "b.png").symlink_to(other / "x.txt")
    source = local(folder, tmp_path / "memory", folder=FolderRules(media="image"), follow_links=True)
    snapshot = source.resolve()
    names = pa.array([str(other / "x.txt"), "../other/x.txt", "a.png"])
    assert local(folder, tmp_path / "memory").locate(snapshot, names).null_count == 2
    with pytest.raises(DatasetError, match="leads out"):
        local(folder, tmp_path / "memory").locate(snapshot, pa.array(["b.png"]))


def lie(hub: LocalHub, repo_id: str, repo_type: str, edit: Any) -> None:
    """Let the Hub say something else of the files of the newest commit."""
    repository = hub.load(repo_type, repo_id)  # type: ignore[arg-type]
    assert repository is not None
    sha = repository.branches["main"]
    path = repository.folder / "commits" / f"{sha}.json"
    commit = json.loads(path.read_bytes())
    edit(commit["files"])
    path.write_text(json.dumps(commit))


@pytest.mark.parametrize("name", ["a\0b.parquet", "a\x1b]0;x.parquet", f"{'a' * 260}.parquet", "a/../../b.parquet"])
def test_a_name_that_is_none_is_a_line(hub: LocalHub, tmp_path: Path, name: str) -> None:
    repo_id = f"hostile/name{abs(hash(name)) % 10**8}"
    hub.commit(repo_id, {"x.parquet": rows_file(["a"])})
    lie(hub, repo_id, "dataset", lambda files: files.update({name: files.pop("x.parquet")}))
    with pytest.raises(DatasetError) as caught:
        source_of(SourceSpec(dataset_name=repo_id), tmp_path).resolve()
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_hash_that_is_a_path_is_refused(hub: LocalHub, tmp_path: Path, kind: str) -> None:
    repo_id = f"hostile/hash-{kind}"
    hub.commit(repo_id, {"x.parquet": rows_file(["a"])}, repo_type=kind)  # type: ignore[arg-type]
    lie(hub, repo_id, kind, lambda files: files["x.parquet"].update(sha256="../../../written"))
    source = source_of(SourceSpec(dataset_name=repo_id), tmp_path)
    resolve = source.resolve if kind == "dataset" else lambda: model_repository.resolve(repo_id)
    with pytest.raises((DatasetError, ModelError), match=r"lists '../../../written' as the hash of 'x.parquet'"):
        resolve()  # type: ignore[operator]
    assert not list(tmp_path.rglob("written*"))


def test_bytes_of_a_model_that_are_not_what_was_listed_are_not_used(hub: LocalHub, tmp_path: Path) -> None:
    altered = {
        "config.json": b'{"of": "weights"}',
        "a.safetensors": b"x" * 2000,
        "vocab.txt": b"words of weights",
    }
    whole = {"merges.txt": b"merges of weights"}
    hub.commit("hostile/weights", {**altered, **whole}, repo_type="model")
    for blob in (hub.root / "blobs").rglob("*"):
        if blob.is_file() and blob.read_bytes() in altered.values():
            blob.chmod(0o644)
            blob.write_bytes(b"y" * blob.stat().st_size)
    repository = model_repository.resolve("hostile/weights", hash_cache=tmp_path / "hashes.json")
    with pytest.raises(ModelError, match=r'"a.safetensors" of hostile/weights isn.t what its hash says'):
        repository.fetch(["a.safetensors"])
    with pytest.raises(ModelError, match=r'"vocab.txt" of hostile/weights isn.t what its hash says'):
        repository.fetch(["merges.txt", "vocab.txt"])  # small files, which git hashes
    assert (repository.fetch(["merges.txt"]) / "merges.txt").read_bytes() == whole["merges.txt"]
    with pytest.raises(ModelError, match=r"config.json isn't what its hash says"):
        repository.read_json("config.json")


DESCRIPTIONS: list[tuple[Any, str]] = [
    ({"sha": "../../../../../written"}, "gives '../../../../../written' for a commit"),
    ({"sha": None}, "gives 'None' for a commit"),
    ({"siblings": "x.parquet"}, "is of no form that is known"),
    ({"siblings": [None]}, "is of no form that is known"),
    ({"siblings": [{"rfilename": "x.parquet", "size": -5}]}, "lists 'x.parquet' with '-5' bytes"),
    ({"siblings": [{"rfilename": "x.parquet", "size": 10**30}]}, r"lists 'x.parquet' with '10+' bytes"),
    ({"siblings": [{"rfilename": 7}]}, "lists '7' with 'None' bytes"),
    ({"siblings": [{"rfilename": "x.parquet", "size": 1, "blobId": "a" * 40, "lfs": 7}]}, "of no form that is known"),
    ([1, 2], "is of no form that is known"),
    (b"[" * 100_000 + b"]" * 100_000, "is of no form that is known"),
    (b"\xff<html>", "is of no form that is known"),
    (gzip.compress(bytes(2 << 20)), "answers with more than 1,048,576 bytes"),
    (bytes(2 << 20), "answers with more than 1,048,576 bytes"),
]


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_what_a_hub_says_of_a_repository_has_the_form_that_it_should_have(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    repo_id = f"hostile/described-{kind}"
    hub.commit(repo_id, {"x.parquet": rows_file(["a"])}, repo_type=kind)  # type: ignore[arg-type]
    monkeypatch.setattr(guard, "MAX_ANSWER_BYTES", 1 << 20)
    honest = LocalHub._answer
    for said, message in DESCRIPTIONS:

        def answer(self: LocalHub, asked: Any, said: Any = said) -> Any:
            given = honest(self, asked)
            if isinstance(said, dict):
                said = {**json.loads(given.body), **said}
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            packed = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
            return replace(given, body=body, length=len(body), headers={**given.headers, **packed})

        monkeypatch.setattr(LocalHub, "_answer", answer)
        source = source_of(SourceSpec(dataset_name=repo_id), tmp_path / "memory")
        model = functools.partial(model_repository.resolve, repo_id, hash_cache=tmp_path / "hashes.json")
        with pytest.raises((DatasetError, ModelError), match=message) as caught:
            (source.resolve if kind == "dataset" else model)()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("written*"))


class Answer:
    def __init__(self, method: str = "GET", url: str = "", **headers: str) -> None:
        from huggingface_hub import constants
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

        self.request = httpx.Request(method, url or f"{constants.ENDPOINT}/x", headers={"authorization": "Bearer hf_x"})
        self.url, self.headers = self.request.url, headers


@pytest.mark.parametrize(
    "headers", [{"etag": '"../../x"'}, {"x-linked-etag": '"/etc/x"'}, {"x-repo-commit": "../../x"}]
)
def test_an_answer_whose_headers_would_be_paths_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(guard.Refused, match="which would be a path"):
        guard.look_at_answer(Answer("HEAD", **headers))
    guard.look_at_answer(Answer("HEAD", **{"etag": 'W/"abc123-gzip"', "x-repo-commit": "a" * 40}))


def test_the_token_goes_to_the_hub_only() -> None:
    own, other = Answer().request, Answer(url="http://127.0.0.2:1/api/x?limit=5").request
    for request in (own, other):
        guard.look_at_request(request)
    assert "authorization" in own.headers
    assert "authorization" not in other.headers


def test_pages_without_an_end_are_an_error_in_one_line(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import get_session

    from hf_assets.hub import api

    monkeypatch.setattr(guard, "MAX_REPEATS", 5)
    subject = api.Subject("dataset", "hostile/pages", None, DatasetError)

    def page_for_ever() -> None:
        while True:
            get_session().get(f"{hub.endpoint}/api/datasets/hostile/pages/tree/main?cursor=1")

    with pytest.raises(DatasetError, match='dataset "hostile/pages" is not read: it lists its files in pages without'):
        api.call(page_for_ever, subject)

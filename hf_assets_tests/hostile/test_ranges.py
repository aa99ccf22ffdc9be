"""A Hub that gives other bytes of a file than it lists, by range or always."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets.errors import ConfigError, DatasetError, ModelError
from hf_assets.hub import model_repository, whole_files
from hf_assets.sources.spec import SourceSpec
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.reading import read, samples

TRUE, FALSE = b"a true caption", b"a false capt.."


def table(path: Path) -> Path:
    """Two row groups, in which texts lie as they are."""
    columns = {"caption": [TRUE.decode()] * 4, "image": pa.array([b"picture"] * 4, pa.binary())}
    pq.write_table(pa.table(columns), path, 2, compression="none", use_dictionary=False, write_statistics=False)
    return path


@pytest.fixture
def repository(hub: LocalHub, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dataset of which a Hub gives other bytes: to who asks for a range, or to everybody."""
    name = f"hostile/bytes-{abs(hash(request.node.name)) % 10**9}"
    path = table(tmp_path / "x.parquet")
    hub.commit(name, {"x.parquet": path.read_bytes()})
    altered = tmp_path / "altered"
    altered.write_bytes(path.read_bytes().replace(TRUE, FALSE))
    honest, always = LocalHub._download, "always" in request.node.name

    def lie(self: LocalHub, asked: Any, *names: Any) -> Any:
        answer = honest(self, asked, *names)
        is_other = answer.file == "x.parquet" and answer.repo_id == name and (always or answer.status == 206)
        return replace(answer, body=altered) if is_other else answer

    monkeypatch.setattr(LocalHub, "_download", lie)
    return name


@pytest.mark.parametrize("streaming", [False, True])
def test_with_whole_files_nothing_is_read_by_range(
    hub: LocalHub, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    found, source, _ = read(repository, tmp_path / "memory", streaming=streaming)
    assert found.table["columns"][0]["caption"].as_py() == FALSE.decode()  # which can't be known of a range
    monkeypatch.setenv(whole_files.VARIABLE, "1")
    hub.reset_counters()
    assert samples(repository, tmp_path / "memory", streaming=streaming) == [(TRUE.decode(), b"picture")] * 4
    assert not [one for one in hub.requests if one.file == "x.parquet" and one.range]
    assert source.spec.streaming == streaming


@pytest.mark.parametrize("streaming", [False, True])
def test_with_whole_files_bytes_that_are_always_others_are_a_line(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setenv(whole_files.VARIABLE, "1")
    with pytest.raises(DatasetError, match=r'"x.parquet" of dataset "hostile/bytes-\d+" isn.t what its hash says'):
        read(repository, tmp_path / "memory", streaming=streaming)


def test_what_was_read_by_range_is_compared_once_the_file_is_fetched(repository: str, tmp_path: Path) -> None:
    for _ in range(2):  # and again in the next run
        with pytest.raises(DatasetError, match=r'bytes \d+-\d+ of "x.parquet" .* were other ones when they were read'):
            samples(repository, tmp_path / "memory")


def test_ranges_of_an_honest_hub_are_compared_and_forgotten(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit("hostile/honest", {"x.parquet": table(tmp_path / "x.parquet")})
    assert samples("hostile/honest", tmp_path / "memory") == [(TRUE.decode(), b"picture")] * 4
    assert list((tmp_path / "memory" / "ranges").glob("[0-9a-f]*")) == []


def test_the_header_of_a_model_is_read_of_a_whole_file(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    import torch
    from safetensors.torch import save

    hub.commit("hostile/header", {"a.safetensors": save({"w": torch.zeros(2, 3)})}, repo_type="model")
    repository = model_repository.resolve("hostile/header", hash_cache=tmp_path / "hashes.json")
    monkeypatch.setenv(whole_files.VARIABLE, "1")
    assert model_repository.shapes_in(repository, "a.safetensors") == {"w": (2, 3)}
    assert not [one for one in hub.requests if one.file == "a.safetensors" and one.range]
    for blob in (hub.root / "blobs").iterdir():
        if b'"w"' in (data := blob.read_bytes()):
            blob.chmod(0o644)
            blob.write_bytes(data.replace(b"[2,3]", b"[3,2]"))
    other = model_repository.resolve("hostile/header", hash_cache=tmp_path / "others.json")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match="isn't what its hash says"):
        model_repository.shapes_in(other, "a.safetensors")


def test_the_setting_says_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(whole_files.VARIABLE, "yes")
    with pytest.raises(ConfigError, match='HF_ASSETS_WHOLE_FILES is "yes"; write 1 or 0, or unset it'):
        SourceSpec(dataset_name="user/name")

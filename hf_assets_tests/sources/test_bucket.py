"""Datasets in a bucket: in the Hub's layout, and folders of media."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import blobs as places
from hf_assets.blobs import Blobs, ObjectPath
from hf_assets.config import loading
from hf_assets.errors import ConfigError, DatasetError
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import FolderRules, SourceSpec
from hf_assets_tests.s3_server import S3Server

MODEL = {"pretrained_model_name_or_path": "user/model"}


@pytest.fixture
def bucket(address: str) -> Blobs:
    return places.at(ObjectPath(address))


def table(*texts: str) -> bytes:
    sink = io.BytesIO()
    image = pa.array([{"bytes": text.encode(), "path": None} for text in texts])
    pq.write_table(pa.table({"image": image, "text": list(texts)}), sink)
    return sink.getvalue()


def texts_of(spec: SourceSpec, memory: Path, column: str = "text") -> list[Any]:
    source = source_of(spec, memory)
    wanted = WantedColumns("image", (column,), ())
    found = rows.read(source, source.resolve(), wanted, memory / "columns", lambda _: None).table
    return [row[column] for row in found["columns"].to_pylist()]


def test_parquet_in_the_hubs_layout_is_read_by_range(bucket: Blobs, address: str, tmp_path: Path, s3: S3Server) -> None:
    bucket.put("data/train-0.parquet", table("a", "b"))
    bucket.put("data/train-1.parquet", table("c"))
    bucket.put("data/test-0.parquet", table("d"))
    spec = SourceSpec(dataset_name=address)
    assert texts_of(spec, tmp_path) == ["a", "b", "c"]
    s3.fail()
    assert texts_of(spec, tmp_path) == ["a", "b", "c"]
    assert not [request for request in s3.requests if request.endswith(".parquet")]  # columns are kept by ETag
    assert texts_of(spec.model_copy(update={"split": "test"}), tmp_path) == ["d"]


def test_a_renamed_object_is_known_and_a_changed_one_is_not(bucket: Blobs, address: str, tmp_path: Path) -> None:
    bucket.put("data/train-0.parquet", table("a"))
    source = source_of(SourceSpec(dataset_name=address), tmp_path)
    before = source.resolve()
    bucket.put("data/train-7.parquet", bucket.get("data/train-0.parquet"))
    bucket.delete("data/train-0.parquet")
    renamed = source.resolve()
    assert renamed.fingerprint == before.fingerprint
    bucket.put("data/train-7.parquet", table("b"))
    with pytest.raises(DatasetError, match="has changed since raw_dataset was made"):
        source.open_ranges(renamed, renamed.files[0]).read()
    assert source.resolve().fingerprint != before.fingerprint


def test_csv_and_its_readme_are_read_as_on_the_hub(bucket: Blobs, address: str, tmp_path: Path) -> None:
    bucket.put("some/rows.csv", b"image,text\n1.png,first\n2.png,second\n")
    bucket.put("README.md", b"---\nconfigs:\n- config_name: default\n  data_files: some/*.csv\n---\n")
    bucket.put("1.png", b"1")
    assert texts_of(SourceSpec(dataset_name=address), tmp_path) == ["first", "second"]


def test_a_folder_of_media_has_its_captions_beside_it(bucket: Blobs, address: str, tmp_path: Path) -> None:
    objects = {"b.png": b"b", "deep/a.png": b"a", "b.txt": b"of b", "deep/a.txt": b"of a", "c.wav": b""}
    for name, data in objects.items():
        bucket.put(name, data)
    spec = SourceSpec(dataset_name=address, folder=FolderRules(captions="textfile"))
    assert texts_of(spec, tmp_path, "caption") == ["of b", "of a"]
    source = source_of(spec, tmp_path)
    snapshot = source.resolve()
    hashes = source.locate(snapshot, pa.array(["b.png", "deep/a.png", "none.png"]))
    assert hashes[2].as_py() is None
    bucket.put("b.txt", b"another")
    assert texts_of(spec, tmp_path, "caption") == ["another", "of a"]


def test_an_address_without_files_is_one_line(address: str, tmp_path: Path) -> None:
    for spec in (SourceSpec(dataset_name=address), SourceSpec(dataset_name=address, folder=FolderRules())):
        with pytest.raises(DatasetError, match=f'^"{address}" holds no files: correct the address'):
            source_of(spec, tmp_path).resolve()


def test_simpletuners_bucket_is_a_folder_at_an_address(tmp_path: Path) -> None:
    entry = {
        "id": "photos",
        "type": "aws",
        "aws_bucket_name": "training",
        "aws_data_prefix": "photos/2024/",
        "aws_endpoint_url": "https://store.example",
        "aws_region_name": "eu-west-1",
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": "hidden",
        "caption_strategy": "textfile",
    }
    config = loading.parse({"model": MODEL, "datasets": [entry]}, tmp_path / "datasets.json")
    (recipe,) = config.recipes
    assert recipe.source.dataset_name == "s3://training/photos/2024"
    assert (recipe.source.endpoint, recipe.source.region) == ("https://store.example", "eu-west-1")
    assert recipe.source.folder == FolderRules(captions="textfile")
    assert "hidden" not in repr(recipe)
    assert any("AWS_ACCESS_KEY_ID" in note for note in config.notes)


def test_an_endpoint_without_a_bucket_is_a_mistake(tmp_path: Path) -> None:
    entry = {"id": "a", "type": "huggingface", "dataset_name": "user/a", "aws_endpoint_url": "https://store.example"}
    with pytest.raises(ConfigError, match="aws_endpoint_url: has no effect unless the dataset lies in a bucket"):
        loading.parse({"model": MODEL, "datasets": [entry]}, tmp_path / "datasets.json")


def test_simpletuners_bucket_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="aws_bucket_name: is missing; name the bucket of the media"):
        loading.parse({"model": MODEL, "datasets": [{"id": "photos", "type": "aws"}]}, tmp_path / "datasets.json")

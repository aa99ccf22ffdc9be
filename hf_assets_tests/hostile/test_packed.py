"""Archives, tables and settings of which few bytes ask for many."""

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets.errors import DatasetError
from hf_assets.sources import data_files
from hf_assets.sources.formats import bounds, parquet
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.spec import SourceSpec


def header(kind: bytes) -> bytes:
    """A tar of which a header that is read whole has 2 MB."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 2 << 20
    return member.tobuf(tarfile.USTAR_FORMAT) + bytes(2 << 20)


def sparse(path: Path) -> bytes:
    """A tar whose member has the attributes of a sparse file, and a list of pieces that never ends."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("x.png")
        member.size = 100_000
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}
        tar.addfile(member, io.BytesIO(b"1000000\n" + b"0\n" * 50_000))
    return path.read_bytes()


def zipped(method: int, claimed: int = 0) -> bytes:
    """A zip whose member is said to have so many bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.png", bytes(123_457))
    sizes = (struct.pack("<I", 123_457), struct.pack("<I", claimed or 123_457))
    return file.getvalue().replace(*sizes)


@pytest.mark.parametrize(
    ("name", "kind", "made", "message"),
    [
        (
            "a.tar",
            "webdataset",
            lambda _: header(tarfile.GNUTYPE_LONGNAME),
            '"a.tar" holds a member whose name or attrib',
        ),
        ("a.tar", "webdataset", lambda _: header(tarfile.XHDTYPE), "attributes have 2,097,152 bytes"),
        ("a.tar", "webdataset", lambda _: header(tarfile.XGLTYPE), "attributes have 2,097,152 bytes"),
        ("a.tar", "webdataset", sparse, '"a.tar" holds a sparse file'),
        ("a.zip", "imagefolder", lambda _: zipped(zipfile.ZIP_BZIP2, 10), "isn't packed with deflate"),
        ("a.zip", "text", lambda _: zipped(zipfile.ZIP_LZMA, 10), "isn't packed with deflate"),
        ("a.csv", "csv", lambda _: b"a;" * 20_001 + b"\n1;2\n", "has more than 20,000 columns"),
        ("a.jsonl", "json", lambda _: json.dumps(dict.fromkeys(map(str, range(20_001)))).encode(), "20,000 columns"),
        ("b.jsonl", "json", lambda _: b"".join(b'{"%d": 1}\n' % n for n in range(20_001)), "20,000 columns"),
    ],
)
def test_what_is_unpacked_whole_is_looked_at_before(
    tmp_path: Path, name: str, kind: str, made: Callable[[Path], bytes], message: str
) -> None:
    (tmp_path / name).write_bytes(made(tmp_path / name))
    with pytest.raises(DatasetError, match=message):
        bounds.check(tmp_path / name, name, kind, {})


def test_all_members_of_an_archive_together_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MIN_RATIO_BYTES", 100_000)
    (tmp_path / "a.zip").write_bytes(zipped(zipfile.ZIP_DEFLATED))
    with pytest.raises(DatasetError, match="unpacks to more than 200 times its size"):
        bounds.check(tmp_path / "a.zip", "a.zip", "imagefolder", {})
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(member := tarfile.TarInfo("a.png"), io.BytesIO(b""))
        member.size = 150_000
        tar.addfile(member, io.BytesIO(bytes(150_000)))
    with pytest.raises(DatasetError, match="unpacks to more than 200 times its size"):
        bounds.check(tmp_path / "a.tar", "a.tar", "webdataset", {})


LONG = "x" * 5_000_000


@pytest.mark.parametrize(
    "column",
    [
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array([LONG])),
        pa.StructArray.from_arrays(
            [pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array([LONG]))], ["a"]
        ),
        pa.RunEndEncodedArray.from_arrays(pa.array([1000], pa.int32()), pa.array([LONG])),
        pa.nulls(1 << 25),
    ],
)
def test_rows_of_an_arrow_file_that_share_their_bytes_are_refused(tmp_path: Path, column: pa.Array) -> None:
    path = tmp_path / "a.arrow"
    few = pa.record_batch([column.slice(0, 1)], names=["caption"])
    with pa.ipc.new_stream(path, few.schema) as file:
        file.write_batch(few)
    bounds.check(path, "a.arrow", "arrow", {})
    batch = pa.record_batch([column], names=["caption"])
    with pa.ipc.new_stream(path, batch.schema) as file:
        file.write_batch(batch)
        if len(column) > 1000:
            file.write_batch(batch)
    with pytest.raises(DatasetError, match="rows that unpack to more than 4 times its size"):
        bounds.check(path, "a.arrow", "arrow", {})


@pytest.mark.parametrize(("chunk", "settings"), [(10**9, {}), (7, {"chunksize": 7})])
def test_a_readme_makes_no_builder_read_more_at_a_time(tmp_path: Path, chunk: int, settings: dict[str, int]) -> None:
    text = f"---\nconfigs:\n- config_name: default\n  data_files: '*.csv'\n  chunksize: {chunk}\n---\n"
    (tmp_path / "README.md").write_text(text)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    format = data_files.data_files_of(SourceSpec(dataset_name=str(tmp_path)), None).format
    assert format is not None
    assert format.settings == settings


def classes(names: str) -> io.BytesIO:
    """A Parquet file with a column of classes, and a hundred rows of the first."""
    noted = '{"info": {"features": {"caption": {"_type": "ClassLabel", "names": ' + names + "}}}}"
    columns = pa.table({"image": pa.array([b"a"] * 100, pa.binary()), "caption": [0] * 100})
    file = io.BytesIO()
    pq.write_table(columns.replace_schema_metadata({"huggingface": noted}), file)
    return file


def read(file: io.BytesIO) -> pa.Table:
    file.seek(0)
    return parquet.read_columns(file, WantedColumns("image", ("caption",)), "x.parquet").table["columns"]


def test_names_of_classes_are_of_bounded_length_and_text() -> None:
    with pytest.raises(DatasetError, match="unpack from 0 to 300,000,000 bytes"):
        read(classes(json.dumps(["x" * 3_000_000])))
    assert read(classes('["\\ud800"]'))[0].as_py() == {"caption": 0, "caption#names": "?"}
    assert read(classes("[" * 100_000 + "]" * 100_000))[0].as_py() == {"caption": 0}


def test_values_that_are_written_as_what_differs_are_read_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encodings = {"image": "DELTA_BYTE_ARRAY", "caption": "DELTA_BYTE_ARRAY"}

    def written(size: int) -> Path:
        rows = {"image": pa.array([b"x" * size] * 40, pa.binary()), "caption": ["x" * size] * 40}
        options = {"use_dictionary": False, "compression": "none", "write_statistics": False}
        pq.write_table(pa.table(rows), tmp_path / "x.parquet", column_encoding=encodings, **options)
        return tmp_path / "x.parquet"

    assert len(read(io.BytesIO(written(1000).read_bytes()))) == 40
    file = pq.ParquetFile(written(7_000_000))
    assert parquet._media_batch_rows(file, 0, "image") == 9
    monkeypatch.setattr(parquet, "LARGE_BYTES", 270_000_000)
    with pytest.raises(DatasetError, match="bytes, more than 20 times as many"):
        read(io.BytesIO((tmp_path / "x.parquet").read_bytes()))

"""Media of chosen rows, and columns as they lie in files of many kinds."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets.errors import DatasetError
from hf_assets.sources.formats.parquet import MEDIA_BATCH_ROWS, WantedColumns, read_columns, read_media
from hf_assets_tests.sources.parquet_files import images, noise, parquet

MEDIA = [b"0", b"1", b"2", b"3", None, b"5", b"6", b"7", b"8", b"9"]  # row groups: 0-3, 4-7, 8-9


def file(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "file.parquet"
    path.write_bytes(parquet(columns, **options))
    return path


@pytest.mark.parametrize(
    "rows", [[], [0], [3], [4], [7], [8], [9], [3, 4], [0, 3, 4, 7, 8, 9], [1, 8], list(range(10))], ids=str
)
@pytest.mark.parametrize("kind", ["struct", "binary", "large_binary", "binary_view", "extra fields", "dictionary"])
def test_chosen_rows_come_with_their_own_bytes_in_order(rows: list[int], kind: str, tmp_path: Path) -> None:
    columns: dict[str, pa.Array] = {
        "struct": images(MEDIA),
        "dictionary": pa.array(MEDIA).dictionary_encode(),
        "extra fields": pa.array(
            [{"name": "n", "path": "p", "bytes": data, "label": 1} if data else None for data in MEDIA],
            pa.struct([("name", pa.string()), ("path", pa.string()), ("bytes", pa.binary()), ("label", pa.int64())]),
        ),
    }
    column = columns[kind] if kind in columns else pa.array(MEDIA, getattr(pa, kind)())
    path = file(tmp_path, {"before": MEDIA, "image": column, "image.bytes": [b"other"] * 10})
    found = list(read_media(path, "image", rows))
    assert found == [(row, MEDIA[row]) for row in rows]
    assert list(read_media(path, "image", np.array(rows, np.int32))) == found


def test_a_null_struct_and_null_bytes_in_a_struct_are_no_media(tmp_path: Path) -> None:
    media = pa.array([None, {"bytes": None, "path": "x.jpg"}, {"bytes": b"", "path": None}], images([]).type)
    assert list(read_media(file(tmp_path, {"image": media}), "image", [0, 1, 2])) == [(0, None), (1, None), (2, b"")]


def test_groups_longer_than_a_batch_and_empty_groups_keep_the_count(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    numbers = [str(n).encode() for n in range(3 * MEDIA_BATCH_ROWS)]
    table = pa.table({"image": images(numbers)})  # type: ignore[arg-type]
    with pq.ParquetWriter(path, table.schema) as writer:
        for part in (table.slice(0, 0), table.slice(0, 2 * MEDIA_BATCH_ROWS + 1), table.slice(0, 0)):
            writer.write_table(part)
        writer.write_table(table.slice(2 * MEDIA_BATCH_ROWS + 1))
    edges = [
        0,
        MEDIA_BATCH_ROWS - 1,
        MEDIA_BATCH_ROWS,
        2 * MEDIA_BATCH_ROWS,
        2 * MEDIA_BATCH_ROWS + 1,
        len(numbers) - 1,
    ]
    assert list(read_media(path, "image", edges)) == [(row, numbers[row]) for row in edges]


def test_only_row_groups_with_wanted_rows_are_read(tmp_path: Path) -> None:
    """The other groups' pages are overwritten, so reading one would fail."""
    path = file(tmp_path, {"image": images([noise(1000, n) for n in range(12)])}, compression="none")
    damaged = bytearray(path.read_bytes())
    for group in (0, 2):
        chunk = pq.read_metadata(path).row_group(group).column(0)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        damaged[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(damaged)
    assert [data for _, data in read_media(path, "image", [4, 7])] == [noise(1000, 4), noise(1000, 7)]
    with pytest.raises(DatasetError, match="can't be read as Parquet"):
        list(read_media(path, "image", [3]))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("image", [7], r'column "image" \(".*"\) holds int64, neither media bytes nor paths'),
        ("image", [[{"bytes": b"x", "path": None}]], "holds lists: name one of their items"),
        ("image", [{"inner": {"bytes": b"x"}}], "holds struct<.*neither media bytes"),
        ("image", [{"bytes": "text"}], "holds struct<.*neither media bytes"),
        ("image.inner", [{"inner": {"bytes": b"x"}}], r'column "image.inner" .* lies inside another'),
        ("imge", [b"x"], r'column "imge" is not in the dataset .*: did you mean "image"\? It has image, caption'),
    ],
)
def test_a_column_without_media_is_refused_before_a_row_is_read(
    column: str, values: list[Any], message: str, tmp_path: Path
) -> None:
    path = file(tmp_path, {"image": values, "caption": ["a"]})
    with pytest.raises(DatasetError, match=message):
        list(read_media(path, column, [0]))
    with pytest.raises(DatasetError, match=message):
        columns_of(path.read_bytes(), WantedColumns(column, ("caption",)))


def columns_of(data: bytes, wanted: WantedColumns) -> pa.Table:
    return read_columns(io.BytesIO(data), wanted, "file").table


def test_columns_are_taken_by_their_name_not_by_its_beginning() -> None:
    data = parquet({"a.b": [1], "a": [2], "image": [b"x"], "a.c": [3], "s": [{"t": 4, "u": 5}]})
    table = columns_of(data, WantedColumns("image", ("a", "a.b", "s.t"), ("absent", "a.c")))
    assert table["columns"].to_pylist() == [{"a": 2, "a.b": 1, "s": {"t": 4}, "a.c": 3}]


def test_of_a_struct_only_the_named_fields_are_read() -> None:
    def data(seed: int) -> bytes:
        media = [
            {"bytes": noise(200_000, n + seed), "path": f"{n}.jpg", "inner": {"a": n, "b": seed}} for n in range(20)
        ]
        return parquet({"image": media, "caption": [str(n) for n in range(20)]}, row_group_size=5)

    wanted = WantedColumns("image", ("image.path", "image.inner.a"))
    found = read_columns(io.BytesIO(data(0)), wanted, "file")
    assert found.table["columns"].to_pylist() == [{"image": {"path": f"{n}.jpg", "inner": {"a": n}}} for n in range(20)]
    assert 0 < found.bytes_read < 0.02 * len(data(0))
    assert columns_of(data(100), wanted).equals(found.table)
    whole = read_columns(io.BytesIO(data(0)), WantedColumns("image", ("image.path", "image")), "file")
    assert whole.table["columns"].to_pylist()[3]["image"].keys() == {"bytes", "path", "inner"}


def test_no_wanted_columns_still_count_the_rows() -> None:
    found = read_columns(io.BytesIO(parquet({"image": [b"x"] * 5})), WantedColumns("image", ()), "file")
    assert (found.num_rows, found.table.num_columns) == (5, 0)


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.Table.from_arrays([pa.array([b"x"]), pa.array(["a"]), pa.array(["b"])], ["image", "caption", "caption"])
    stream = io.BytesIO()
    pq.write_table(table, stream)
    with pytest.raises(DatasetError, match='"file" has 2 columns called "caption"'):
        columns_of(stream.getvalue(), WantedColumns("image", ("caption",)))


def test_a_file_of_nothing_is_called_empty() -> None:
    with pytest.raises(DatasetError, match=r"^\"file\" is empty: fetch it again, or remove it$"):
        columns_of(b"", WantedColumns("image", ("caption",)))


@pytest.mark.parametrize("data", [b"PAR1", noise(100), parquet({"image": [b"x"], "caption": ["a"]})[:-20]])
def test_what_is_no_parquet_is_refused(data: bytes) -> None:
    with pytest.raises(DatasetError, match=r"^\"file\" can't be read as Parquet \(.+\): mend the file"):
        columns_of(data, WantedColumns("image", ("caption",)))

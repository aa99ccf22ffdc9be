"""One row of an Arrow, a Lance or a Parquet file that can't be read costs one sample."""

import io
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import schema
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.errors import DatasetError
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets_tests.sources.reading import read
from hf_assets_tests.sources.test_mistakes import A, B, faults

NUM_ROWS = 40
CAPTIONS = [f"picture {row}" for row in range(NUM_ROWS)]


def table(not_text: tuple[int, ...] = (), moved: int | None = None) -> pa.Table:
    """Rows of which some captions aren't UTF-8, or one's end lies behind all of them."""
    texts = [b"gr\xfcn" if row in not_text else caption.encode() for row, caption in enumerate(CAPTIONS)]
    _, offsets, data = pa.array(texts).buffers()
    if moved is not None:
        changed = bytearray(offsets.to_pybytes())
        struct.pack_into("<i", changed, 4 * (moved + 1), 2**30)
        offsets = pa.py_buffer(bytes(changed))
    return pa.table({"image": [A] * NUM_ROWS, "caption": pa.StringArray.from_buffers(NUM_ROWS, offsets, data)})


def arrow(rows: pa.Table, new: Any = pa.ipc.new_file, **options: Any) -> bytes:
    stream = io.BytesIO()
    with new(stream, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in rows.to_batches(max_chunksize=16):
            writer.write_batch(batch)
    return stream.getvalue()


def damaged() -> bytes:
    """Of three batches, which are compressed, the second can't be unpacked."""
    data = bytearray(arrow(table(), compression="zstd"))
    frames = [at for at in range(len(data)) if data[at : at + 4] == b"\x28\xb5\x2f\xfd"]
    at = frames[len(frames) // 2]
    data[at : at + 4] = bytes(4)
    return bytes(data)


OTHERS = [caption for row, caption in enumerate(CAPTIONS) if row not in (3, 20)]
CASES: dict[str, tuple[bytes, list[str], list[str]]] = {
    "no UTF-8": (arrow(table((3, 20))), OTHERS, ["row 4", "row 21"]),
    "no UTF-8, streamed": (arrow(table((3, 20)), pa.ipc.new_stream), OTHERS, ["row 4", "row 21"]),
    # the text behind begins where this one ends
    "offset": (
        arrow(table(moved=3)),
        [one for row, one in enumerate(CAPTIONS) if row not in (3, 4)],
        ["row 4", "row 5"],
    ),
    "a batch": (damaged(), CAPTIONS[:16] + CAPTIONS[32:], ["batch 2"]),
    "cut": (arrow(table())[: arrow(table()).rindex(b"picture 33")], CAPTIONS[:32], ["batch 3"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_row_of_an_arrow_file_costs_its_row(case: str, tmp_path: Path) -> None:
    data, expected, members = CASES[case]
    found, whys = faults(tmp_path, {"train.arrow": data})
    assert found == expected
    assert [why.split(": it can't be read")[0] for why in whys] == [f"train.arrow#{member}" for member in members]


def test_an_arrow_file_of_bad_rows_only_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none of its rows can"):
        faults(tmp_path, {"train.arrow": arrow(table(tuple(range(NUM_ROWS))))})


@pytest.mark.parametrize("is_dataset", [True, False], ids=["dataset", "file"])
def test_a_bad_row_of_a_lance_file_costs_its_row(is_dataset: bool, tmp_path: Path) -> None:
    import lance
    import lance.file

    rows, place = table((3, 20)), tmp_path / "data" / "train.lance"
    place.parent.mkdir()
    if is_dataset:
        lance.write_dataset(rows, place)
    else:
        with lance.file.LanceFileWriter(str(place), rows.schema) as writer:
            writer.write_batch(rows)
    found, _, _ = read(str(place.parent), tmp_path / "memory", WantedColumns("image", ("caption",)))
    assert schema.column(found.table, "caption").to_pylist() == OTHERS
    assert found.faults["source_path"].to_pylist() == ["row 4", "row 21"]
    assert set(found.faults["reason"].to_pylist()) == {"undecodable"}


def not_text_within(rows: pa.Table, form: str) -> pa.Table:
    """A table with its captions in a column of another form."""
    texts = rows["caption"].combine_chunks()
    if form == "list":
        texts = pa.ListArray.from_arrays(pa.array(range(NUM_ROWS + 1), pa.int32()), texts)
    elif form == "struct":
        texts = pa.StructArray.from_arrays([texts], ["text"])
    return rows.set_column(1, "caption", texts)


@pytest.mark.parametrize("form", ["text", "list", "struct"])
def test_a_text_of_a_parquet_file_that_is_not_utf_8_costs_its_row(form: str, tmp_path: Path) -> None:
    pictures = [A if row % 2 else B for row in range(NUM_ROWS)]
    column = {"text": "caption", "list": "caption", "struct": "caption.text"}[form]
    wanted = WantedColumns("image", (column,))
    rows = table((3, 20)).set_column(0, "image", pa.array(pictures))
    (tmp_path / "data").mkdir()
    pq.write_table(not_text_within(rows, form), tmp_path / "data" / "train.parquet", row_group_size=16)
    found, source, snapshot = read(str(tmp_path / "data"), tmp_path / "memory", wanted)
    others = schema.column(found.table, column).to_pylist()
    assert [one[0] if form == "list" else one for one in others] == OTHERS
    media = media_of(by_file(found.table, snapshot), source, snapshot, "image")
    assert [one.data for one in media] == [data for row, data in enumerate(pictures) if row not in (3, 20)]
    assert found.faults["address"].to_pylist() == ["train.parquet#row 4", "train.parquet#row 21"]
    assert all("is not UTF-8" in why for why in found.faults["message"].to_pylist())
    again, _, _ = read(str(tmp_path / "data"), tmp_path / "memory", wanted)
    assert (again.computed, again.version, again.table) == (0, found.version, found.table)


def test_a_parquet_file_without_one_text_in_utf_8_stops_the_run(tmp_path: Path) -> None:
    stream = io.BytesIO()
    pq.write_table(table(tuple(range(NUM_ROWS))), stream)
    with pytest.raises(DatasetError, match="none of its rows can"):
        faults(tmp_path, {"train.parquet": stream.getvalue()})


def test_a_name_of_a_file_that_is_not_utf_8_costs_its_row(tmp_path: Path) -> None:
    names = pa.array([b"a.png", b"gr\xfcn.png", b"a.png"])
    image = pa.StringArray.from_buffers(3, *names.buffers()[1:])
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": image, "caption": ["x", "y", "z"]}), stream)
    found, whys = faults(tmp_path, {"train.parquet": stream.getvalue(), "a.png": A})
    assert found == ["x", "z"]
    assert [why.split(" is not")[0] for why in whys] == ['train.parquet#row 2: a text in its column "image"']

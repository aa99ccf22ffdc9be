"""One row of an Arrow or a Lance file that can't be read costs one sample."""

import io
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.errors import DatasetError
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets_tests.sources.reading import read
from hf_assets_tests.sources.test_mistakes import A, faults

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

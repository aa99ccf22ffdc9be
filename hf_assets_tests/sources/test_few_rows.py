"""Of a file on the Hub with few wanted rows, just the row groups that hold them are fetched."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets.encode.media_files import FileRows, Media, media_of
from hf_assets.plan import estimates
from hf_assets.sources.source import Source, source_of
from hf_assets.sources.spec import Snapshot, SourceSpec
from hf_assets_tests.local_hub import LocalHub

NUM_ROWS, ROW_BYTES = 100, 100_000
WHOLE_BYTES = NUM_ROWS * ROW_BYTES
# Of each opening: what Arrow reads from the end to find the footer; the file is opened to look, and to read.
OVERHEAD_BYTES = 2 * (128 << 10)
PATH = "data/train-00000-of-00001.parquet"


def media(row: int) -> bytes:
    return np.random.default_rng(row).bytes(ROW_BYTES)


def parquet(group_rows: int) -> bytes:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": media(row), "path": None} for row in range(NUM_ROWS)], kind)
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": rows}), stream, row_group_size=group_rows, compression="none")
    return stream.getvalue()


@pytest.fixture(scope="module", params=[1, 10])
def dataset(hub: LocalHub, request: pytest.FixtureRequest) -> tuple[str, int]:
    """A repository for each size of row groups."""
    name = f"few/rows{request.param}"
    hub.commit(name, {PATH: parquet(request.param)})
    return name, request.param


def read(source: Source, snapshot: Snapshot, rows: np.ndarray) -> list[Media]:
    parts = iter([FileRows(snapshot.files[0], rows, rows)])
    found = list(media_of(parts, source, snapshot, "image"))
    assert [one.data for one in found] == [media(row) for row in rows]
    return found


WANTED = {
    "1 %": np.array([37]),
    "10 % clustered": np.arange(40, 50),
    "10 % spread": np.arange(3, NUM_ROWS, 10),
    "90 % clustered": np.arange(5, 95),
    "90 % spread": np.array([row for row in range(NUM_ROWS) if row % 10]),
}


@pytest.mark.parametrize("wanted", WANTED)
def test_bytes_fetched_for_few_and_for_most_rows(
    wanted: str, dataset: tuple[str, int], hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    name, group_rows = dataset
    source = source_of(SourceSpec(dataset_name=name), tmp_path)
    snapshot, rows = source.resolve(), WANTED[wanted]
    num_groups = len(set((rows // group_rows).tolist()))
    group_bytes = num_groups * group_rows * ROW_BYTES
    parts = [FileRows(snapshot.files[0], rows, rows)]
    planned = estimates.bytes_to_fetch(source, snapshot, "image", [], parts)
    looked_at = estimates.bytes_to_fetch(source, snapshot, "image", parts, [])
    hub.requests.clear()
    found = read(source, snapshot, rows)
    sent = sum(one.bytes_sent for one in hub.requests if one.file == PATH)
    if 2 * group_bytes < WHOLE_BYTES:
        assert group_bytes <= sent <= group_bytes + OVERHEAD_BYTES
        assert sum(one.num_bytes for one in found) <= group_bytes + OVERHEAD_BYTES
        assert source.fetches(snapshot, snapshot.files[0])  # nothing is kept
        assert abs(planned - sent) <= OVERHEAD_BYTES
        assert looked_at == 2 * planned  # to be looked at, and to be encoded
    else:
        assert WHOLE_BYTES <= sent <= WHOLE_BYTES + OVERHEAD_BYTES
        assert planned == looked_at == snapshot.files[0].num_bytes
        hub.requests.clear()
        read(source, snapshot, rows)
        assert sum(one.bytes_sent for one in hub.requests if one.file == PATH) == 0
    assert (sent < WHOLE_BYTES) == (wanted == "1 %" or (wanted.startswith("10 %") and num_groups * group_rows < 100))
